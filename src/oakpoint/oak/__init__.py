"""OAK cameras through DepthAI v3, and the same pipeline with no camera.

Only ``runtime`` imports depthai; the modules that derive from its classes (``node``, ``stand_in``) take it from there,
and so load it when they are imported. What knows nothing of depthai stands in modules of its own: ``feed``, ``live``,
``pairing``, ``faults``, ``bandwidth``.
"""

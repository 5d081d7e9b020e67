"""Features of more images than fit into one file or one process, as parts in a folder or an object store.

=========================== ==========================================================================================
``settings.json``           what makes the features, and the format of the parts; another model is refused
``features/PART.parquet``   features, a row for each *content* (SHA-256 of an image's file); or ``PART.h5``, a group
                            for each, as hloc lays it out
``names/PART.parquet``      a row for each image: name → content, what its file was, or why it has no features
``manifest/PART.json``      written last: a part counts once its row is there
``features.h5``             of HDF5 parts: a link for each name into them, by which hloc reads all as one file
``plan/``                   what a run has still to do; gone when it has ended
=========================== ==========================================================================================

Data passes the modules in this order: ``listing`` (which images), ``known`` (what is there already), ``plan`` (what is
left, cut into portions), an engine (who does them; ``ray_engine``), ``portion`` (a worker's
part of it) with ``claims`` (no content twice) and ``features_files``, ``manifest``; then ``reading`` and ``merging``.
"""

"""The folder that a conversion makes: artefacts with hashes and parents, a manifest, a report."""

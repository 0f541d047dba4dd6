"""One file a modality, each defining ``SPEC``. Files here are discovered, not listed."""

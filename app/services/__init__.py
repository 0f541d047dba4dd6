"""The rules of the product, between the pages and the stores. No Flask, no torch.

Each folder is a subject. ``decoding`` is used by ``analyses``, and these by ``uploads``,
``certificates`` and ``reviews``; ``administration`` stands on ``accounts``, ``detectors`` and
``upkeep``. What all may use lies here: the audit trail, the clock, the site's settings.
``container`` puts everything together.
"""

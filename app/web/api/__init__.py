"""The API for scripts: the same analyses, as JSON, by bearer token."""

from app.web.api import analyses, description, modalities, notes, reference, studies, uploads
from app.web.api.blueprint import bp

__all__ = [
    "analyses",
    "bp",
    "description",
    "modalities",
    "notes",
    "reference",
    "studies",
    "uploads",
]

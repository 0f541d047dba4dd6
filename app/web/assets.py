"""Addresses of static files that change with their content, so that browsers may keep them."""

from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from flask import Flask

DIGEST_CHARACTERS = 12


def init_app(app: Flask) -> None:
    """Add the parameter ``v`` to every address that ``url_for("static", …)`` builds."""
    folder = Path(app.static_folder or "")

    @cache
    def version(filename: str) -> str | None:
        path = folder / filename
        if not path.is_file():
            return None
        return sha256(path.read_bytes()).hexdigest()[:DIGEST_CHARACTERS]

    @app.url_defaults
    def add_version(endpoint: str, values: dict[str, Any]) -> None:
        if endpoint == "static" and "filename" in values:
            values.setdefault("v", version(values["filename"]))

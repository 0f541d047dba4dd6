"""What a request works with: the services of its application and the person behind it."""

from flask import current_app, g
from flask_login import current_user

from app.records import User
from app.services.container import Services

EXTENSION = "veriscan"


def services() -> Services:
    """Return the services of the application that answers this request."""
    found: Services = current_app.extensions[EXTENSION]
    return found


def viewer() -> User:
    """Return the user for whom this request speaks; only behind a guard that lets users in."""
    if "token_user" in g:
        token_user: User = g.token_user
        return token_user
    record: User = current_user.record
    return record

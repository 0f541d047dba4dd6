"""Who the tests register."""

from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from app.records import Role, User
from app.services.accounts.registration import Application

PASSWORD = "ravine otter lamp 91"


def application_of(username: str, /, **changes: Any) -> Application:
    """Return what somebody of this name types to get an account; ``changes`` replace fields."""
    fields: dict[str, Any] = {
        "username": username,
        "email": f"{username}@hospital.org",
        "mobile": "+49 151 23456789",
        "password": PASSWORD,
        "confirm": PASSWORD,
    }
    return Application(**(fields | changes))


def person(role: Role = Role.CLINICIAN) -> User:
    """Return somebody without an account; to analyse scans, they need one."""
    identity = uuid4()
    return User(
        id=identity,
        username=f"user-{identity}",
        email=f"{identity}@hospital.org",
        mobile="",
        password_hash="",
        role=role,
        is_active=True,
        created=datetime.now(UTC),
    )

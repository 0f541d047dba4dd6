"""Who the tests register."""

from typing import Any

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

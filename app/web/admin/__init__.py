"""The administrators' pages: one module a page, all on one blueprint."""

from app.web.admin import (
    audit,
    calibration,
    detectors,
    health,
    invitations,
    navigation,
    overview,
    settings,
    storage,
    usage,
    user,
    users,
)
from app.web.admin.blueprint import bp

__all__ = [
    "audit",
    "bp",
    "calibration",
    "detectors",
    "health",
    "invitations",
    "navigation",
    "overview",
    "settings",
    "storage",
    "usage",
    "user",
    "users",
]

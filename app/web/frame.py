"""What the frame around every page needs: navigation and colours."""

from dataclasses import dataclass

from flask import Flask, request
from flask_login import current_user

from app.records import Role
from app.services.accounts.passwords import MIN_CHARACTERS
from app.services.site_settings import RegistrationMode
from app.web.context import services

OPEN_TO_STRANGERS = (RegistrationMode.OPEN, RegistrationMode.APPROVAL)
THEME_COOKIE = "veriscan-theme"
MEDIA = {"dark": "all", "light": "not all"}
FOLLOW_THE_SYSTEM = "(prefers-color-scheme: dark)"


@dataclass(frozen=True, slots=True)
class NavigationItem:
    """A page of the navigation.

    Attributes:
        endpoint: Of the page.
        label: How it is called.
        waiting: How many things wait there for whoever is signed in.
    """

    endpoint: str
    label: str
    waiting: int = 0


NAVIGATION = (
    NavigationItem("pages.home", "Overview"),
    NavigationItem("analyses.new", "New analysis"),
    NavigationItem("analyses.history", "History"),
)


def theme_media() -> str:
    """Return for which media the dark colours hold: as chosen, else as the system is set."""
    return MEDIA.get(request.cookies.get(THEME_COOKIE, ""), FOLLOW_THE_SYSTEM)


def main_nav() -> tuple[NavigationItem, ...]:
    """Return the pages of the navigation for whoever is signed in."""
    if not current_user.is_authenticated:
        return NAVIGATION
    if current_user.is_admin:
        return (*NAVIGATION, NavigationItem("admin.overview", "Administration"))
    if current_user.record.role is Role.REVIEWER:
        waiting = services().reviews.count_waiting_for(current_user.record)
        return (*NAVIGATION, NavigationItem("reviews.queue", "Reviews", waiting))
    return NAVIGATION


def is_registration_open() -> bool:
    """Return whether strangers may make an account."""
    return services().identity.registration.mode() in OPEN_TO_STRANGERS


def init_app(app: Flask) -> None:
    """Make the functions, and who is signed in, known to the templates."""
    for function in (theme_media, main_nav, is_registration_open):
        app.add_template_global(function)
    app.jinja_env.globals["current_user"] = current_user
    app.jinja_env.globals["min_password"] = MIN_CHARACTERS

"""Where somebody may be sent after signing in: a list of our own pages, never a foreign address."""

from urllib.parse import urlsplit

from flask import current_app, url_for
from werkzeug.exceptions import HTTPException
from werkzeug.routing import RequestRedirect

AFTER_SIGN_IN = frozenset(
    {
        "account.account",
        "account.contact",
        "account_data.delete",
        "account.security",
        "second_factor.set_up",
        "admin.audit",
        "admin.calibration",
        "admin.confirm_delete",
        "admin.detectors",
        "admin.health",
        "admin.invitations",
        "admin.overview",
        "admin.settings",
        "admin.storage",
        "admin.usage",
        "admin.user",
        "admin.users",
        "analyses.history",
        "analyses.new",
        "analyses.show",
        "pages.home",
    }
)


def after_sign_in(target: str | None) -> str:
    """Return the address of the page that was asked for, or of the overview.

    The address is built anew from the page's name and its typed variables, so nothing that the
    client wrote is sent back to it. The query is dropped.
    """
    home = url_for("pages.home")
    if not target:
        return home
    adapter = current_app.url_map.bind("")
    try:
        endpoint, arguments = adapter.match(urlsplit(target).path, method="GET")
    except (HTTPException, RequestRedirect, ValueError):
        return home
    return url_for(endpoint, **arguments) if endpoint in AFTER_SIGN_IN else home

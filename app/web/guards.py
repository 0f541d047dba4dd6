"""Who may open a page. Every view states it with one of these decorators, also those for all."""

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec

from flask import abort, g, redirect, request, url_for
from flask.typing import ResponseReturnValue
from flask_login import current_user
from werkzeug.datastructures import WWWAuthenticate
from werkzeug.exceptions import Unauthorized

from app.web.context import services

GUARD = "veriscan_guard"

P = ParamSpec("P")
View = Callable[P, ResponseReturnValue]


def public(view: View[P]) -> View[P]:
    """Let everybody in."""
    return _stated(view, "public")


def signed_in(view: View[P]) -> View[P]:
    """Let active users in; others are sent to the sign-in page and come back afterwards."""

    @wraps(view)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> ResponseReturnValue:
        if not current_user.is_authenticated:
            return _to_sign_in()
        return view(*args, **kwargs)

    return _stated(guarded, "signed_in")


def admin_only(view: View[P]) -> View[P]:
    """Let active administrators in."""

    @wraps(view)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> ResponseReturnValue:
        if not current_user.is_authenticated:
            return _to_sign_in()
        if not current_user.is_admin:
            abort(403)
        return view(*args, **kwargs)

    return _stated(guarded, "admin_only")


def token_required(view: View[P]) -> View[P]:
    """Let scripts in that send the secret of an active user's API token."""

    @wraps(view)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> ResponseReturnValue:
        authorization = request.authorization
        secret = authorization.token if authorization and authorization.type == "bearer" else None
        user = services().accounts.user_of_token(secret) if secret else None
        if user is None:
            raise Unauthorized(
                "Send the header “Authorization: Bearer TOKEN” with a token made on the "
                "account page.",
                www_authenticate=WWWAuthenticate("bearer"),
            )
        g.token_user = user
        return view(*args, **kwargs)

    return _stated(guarded, "token_required")


def guard_of(view: Callable[..., object]) -> str | None:
    """Return the guard that a view states, or None."""
    return getattr(view, GUARD, None)


def _stated(view: View[P], guard: str) -> View[P]:
    if guard_of(view) not in (None, guard):
        raise TypeError(f"{view.__name__} states two guards: {guard_of(view)} and {guard}")
    setattr(view, GUARD, guard)
    return view


def _to_sign_in() -> ResponseReturnValue:
    # Only a page can be come back to; a form would be lost.
    target = request.full_path.rstrip("?") if request.method == "GET" else None
    return redirect(url_for("auth.sign_in", next=target))

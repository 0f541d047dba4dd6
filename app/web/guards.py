"""Who may open a page. Every view states it with one of these decorators, also those for all."""

from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from typing import Any, ParamSpec
from urllib.parse import urlsplit

from flask import abort, g, redirect, request, session, url_for
from flask.typing import ResponseReturnValue
from flask_login import current_user
from werkzeug.datastructures import WWWAuthenticate
from werkzeug.exceptions import Forbidden, Unauthorized

from app.errors import TokenExpiredError, TooManyRequestsError
from app.records import Role, Scope, User
from app.services.accounts.api_tokens import Bearer
from app.services.audit import acting_token
from app.web.context import services

GUARD = "veriscan_guard"
NEEDS_PROOF = "veriscan_needs_proof"
NEEDS_SCOPE = "veriscan_needs_scope"
KEEPS_TYPED = "veriscan_keeps_typed"
TYPED = "typed"  # in the session
MAX_TYPED_VALUES = 5
MAX_TYPED_CHARACTERS = 100

# Open also to administrators who have yet to set up the codes that this site asks them for.
ACCOUNT_PAGES = frozenset({"account", "account_data", "passwords", "second_factor"})

NEEDS_CODES = (
    "This site asks administrators for codes at sign-in. Set them up on the account page first."
)

P = ParamSpec("P")
View = Callable[P, ResponseReturnValue]


class InsufficientScopeError(Forbidden):
    """A token is good for less than what a script wants to do; told as RFC 6750 has it."""

    def __init__(self, scope: Scope) -> None:
        super().__init__(
            f"This token may not do that: it lacks the scope “{scope}”. Make another one on the "
            "account page."
        )
        self._scope = scope

    def get_headers(self, *args: Any, **kwargs: Any) -> list[tuple[str, str]]:
        """Return the headers of the answer."""
        challenge = f'Bearer error="insufficient_scope", scope="{self._scope}"'
        return [*super().get_headers(*args, **kwargs), ("WWW-Authenticate", challenge)]


def public(view: View[P]) -> View[P]:
    """Let everybody in."""
    return _stated(view, "public")


def signed_in(view: View[P]) -> View[P]:
    """Let active users in; others are sent to the sign-in page and come back afterwards."""

    @wraps(view)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> ResponseReturnValue:
        return _way_in() or view(*args, **kwargs)

    return _stated(guarded, "signed_in")


def admin_only(view: View[P]) -> View[P]:
    """Let active administrators in."""

    @wraps(view)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> ResponseReturnValue:
        if way_in := _way_in():
            return way_in
        if not current_user.is_admin:
            abort(403)
        return view(*args, **kwargs)

    return _stated(guarded, "admin_only")


def reviewer_only(view: View[P]) -> View[P]:
    """Let active reviewers in."""
    return _for_roles(view, "reviewer_only", frozenset({Role.REVIEWER}))


def reviewer_or_admin(view: View[P]) -> View[P]:
    """Let active reviewers and administrators in."""
    return _for_roles(view, "reviewer_or_admin", frozenset({Role.REVIEWER, Role.ADMIN}))


def _for_roles(view: View[P], guard: str, roles: frozenset[Role]) -> View[P]:
    @wraps(view)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> ResponseReturnValue:
        if way_in := _way_in():
            return way_in
        if current_user.record.role not in roles:
            abort(403, "It is for users with another role than yours. An administrator gives it.")
        return view(*args, **kwargs)

    return _stated(guarded, guard)


def recently_authenticated(view: View[P]) -> View[P]:
    """Let users in who proved only lately who they are; others are asked to and come back.

    For dangerous acts. It stands right above the view, below the guard that says who may come in:
    ``@bp.post(…)``, ``@admin_only``, ``@recently_authenticated``. What was typed into a form is
    lost on the way, so the page that shows the form has it as well, or the view says with
    ``keeps_typed`` what is kept.
    """
    kept: Sequence[str] = getattr(view, KEEPS_TYPED, ())

    @wraps(view)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> ResponseReturnValue:
        if not current_user.is_recent:
            if kept:
                session[TYPED] = {name: _typed(name) for name in kept}
            target = _wanted_page() or urlsplit(request.referrer or "").path
            return redirect(url_for("passwords.confirm", next=target or None), 303)
        return view(*args, **kwargs)

    setattr(guarded, NEEDS_PROOF, True)
    return guarded


def keeps_typed(*names: str) -> Callable[[View[P]], View[P]]:
    """Keep some fields of a form, none of them secret, while somebody proves who they are.

    It stands below ``@recently_authenticated``; ``take_typed`` gives them back.
    """

    def noted(view: View[P]) -> View[P]:
        setattr(view, KEEPS_TYPED, names)
        return view

    return noted


def take_typed() -> Mapping[str, Sequence[str]]:
    """Return, once the proof is given, what was typed into a form before it was asked for."""
    typed: Mapping[str, Sequence[str]] = session.pop(TYPED, {}) if current_user.is_recent else {}
    return typed


def _typed(name: str) -> list[str]:
    """Return the values of a field, as much of them as fits into a cookie."""
    values = request.form.getlist(name)[:MAX_TYPED_VALUES]
    return [value[:MAX_TYPED_CHARACTERS] for value in values]


def needs_proof(view: Callable[..., object]) -> bool:
    """Return whether a view is open only to who proved lately who they are."""
    return getattr(view, NEEDS_PROOF, False)


def token_required(scope: Scope) -> Callable[[View[P]], View[P]]:
    """Let scripts in that send the secret of an active user's API token that may do this.

    It counts the request, too: how many are left is in ``g.allowance``.

    Args:
        scope: What the view does.
    """

    def guard(view: View[P]) -> View[P]:
        @wraps(view)
        def guarded(*args: P.args, **kwargs: P.kwargs) -> ResponseReturnValue:
            bearer = _bearer()
            g.token_user = bearer.user
            acting_token.set(bearer.token.name)
            g.allowance = allowance = services().rate_limits.api_requests.take(bearer.user.id)
            if allowance and allowance.is_exceeded:
                raise TooManyRequestsError(allowance.limit, allowance.reset_s)
            if lacks_codes(bearer.user):
                abort(403, NEEDS_CODES)
            if scope not in bearer.token.scopes:
                raise InsufficientScopeError(scope)
            return view(*args, **kwargs)

        setattr(guarded, NEEDS_SCOPE, scope)
        return _stated(guarded, "token_required")

    return guard


def scope_of(view: Callable[..., object]) -> Scope | None:
    """Return what an API token must be good for to open a view; None where it needs no token."""
    return getattr(view, NEEDS_SCOPE, None)


def _bearer() -> Bearer:
    authorization = request.authorization
    secret = authorization.token if authorization and authorization.type == "bearer" else None
    try:
        bearer = services().identity.tokens.bearer_of(secret) if secret else None
    except TokenExpiredError as error:
        challenge = WWWAuthenticate("bearer", {"error": "invalid_token"})
        raise Unauthorized(str(error), www_authenticate=challenge) from error
    if bearer is None:
        raise Unauthorized(
            "Send the header “Authorization: Bearer TOKEN” with a token made on the account page.",
            www_authenticate=WWWAuthenticate("bearer"),
        )
    return bearer


def lacks_codes(user: User) -> bool:
    """Return whether a user has yet to set up the second factor that this site asks them for."""
    return (
        user.role is Role.ADMIN
        and services().site_settings.get().admins_need_codes
        and not services().identity.second_factors.is_on(user.id)
    )


def guard_of(view: Callable[..., object]) -> str | None:
    """Return the guard that a view states, or None."""
    return getattr(view, GUARD, None)


def _stated(view: View[P], guard: str) -> View[P]:
    if guard_of(view) not in (None, guard):
        raise TypeError(f"{view.__name__} states two guards: {guard_of(view)} and {guard}")
    setattr(view, GUARD, guard)
    return view


def _way_in() -> ResponseReturnValue | None:
    """Lead to where somebody has to go first; None where they may go on."""
    if not current_user.is_authenticated:
        return redirect(url_for("auth.sign_in", next=_wanted_page()))
    if request.blueprint not in ACCOUNT_PAGES and lacks_codes(current_user.record):
        return redirect(url_for("account.security"), 303)
    return None


def _wanted_page() -> str | None:
    # Only a page can be come back to; a form would be lost.
    return request.full_path.rstrip("?") if request.method == "GET" else None

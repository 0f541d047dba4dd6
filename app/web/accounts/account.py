"""A user's own account: who they are, how they sign in, where they are signed in, API tokens."""

from collections.abc import Sequence, Set
from uuid import UUID

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from app.errors import AccountError
from app.records import Scope
from app.services.accounts.api_tokens import DEFAULT_DAYS, MAX_DAYS
from app.web.accounts.login import begin_session, current_session
from app.web.api.operations import SCOPES
from app.web.context import services, viewer
from app.web.forms import Form, refusal
from app.web.guards import (
    keeps_typed,
    lacks_codes,
    recently_authenticated,
    signed_in,
    take_typed,
)

PASSWORD_FIELDS = {
    "current": "your current password",
    "password": "a new password",
    "confirm": "the new password once more",
}
TOKEN_FIELDS = {"name": "a name", "scopes": "what it may do", "days": "how long it lasts"}
TOKEN_DAYS = (7, 30, DEFAULT_DAYS, MAX_DAYS)
USUAL_SCOPES = frozenset({Scope.READ, Scope.ANALYSE})
CONTACT_FIELDS = {"email": "your e-mail address", "mobile": "your mobile number"}

bp = Blueprint("account", __name__)


@bp.get("/account")
@signed_in
def account() -> ResponseReturnValue:
    """Show a user's details, their data and the API tokens."""
    typed = take_typed()  # into the form for a token, just before a proof was asked for
    if not typed:
        return _account_page()
    flash("Thank you. Your token is not made yet: make it now.", "done")
    form = Form(TOKEN_FIELDS, {name: "".join(typed[name]) for name in ("name", "days")})
    return _account_page(form, ticked=_ticked(typed["scopes"]))


# --- who they are ---------------------------------------------------------------------------


@bp.get("/account/contact")
@signed_in
@recently_authenticated
def contact() -> ResponseReturnValue:
    """Show the form for another e-mail address and mobile number."""
    user = viewer()
    form = Form(CONTACT_FIELDS, {"email": user.email, "mobile": user.mobile})
    return render_template("account/contact.html", form=form)


@bp.post("/account/contact")
@signed_in
@recently_authenticated
def change_contact() -> ResponseReturnValue:
    """Change e-mail address and mobile number."""
    form = Form(CONTACT_FIELDS, request.form)
    try:
        services().accounts.change_contact(viewer().id, email=form["email"], mobile=form["mobile"])
    except AccountError as error:
        form.refuse_for(error)
        return refusal(error, render_template("account/contact.html", form=form))
    flash("Your details are changed.", "done")
    return redirect(url_for("account.account"), 303)


# --- how they sign in, and where they are signed in -----------------------------------------


@bp.get("/account/security")
@signed_in
def security() -> ResponseReturnValue:
    """Show the form for a new password, the second factor and all sessions."""
    return _security_page(Form(PASSWORD_FIELDS))


@bp.post("/account/password")
@signed_in
def change_password() -> ResponseReturnValue:
    """Change the password; all other sessions of the user end."""
    form = Form(PASSWORD_FIELDS, request.form, secret=PASSWORD_FIELDS)
    if not form.is_complete():
        return _security_page(form), 422
    try:
        user = services().accounts.change_password(
            viewer().id,
            current=form["current"],
            password=form["password"],
            confirm=form["confirm"],
        )
    except AccountError as error:
        form.refuse_for(error)
        return refusal(error, _security_page(form))
    begin_session(user)
    flash("Your password is changed. Other devices were signed out.", "done")
    return redirect(url_for("account.security"), 303)


@bp.post("/account/sessions/<uuid:session_id>/end")
@signed_in
def end_session(session_id: UUID) -> ResponseReturnValue:
    """Sign one device out."""
    user = viewer()
    services().identity.sessions.end_one(user.id, session_id, actor=user.id)
    flash("That device is signed out.", "done")
    return redirect(url_for("account.security"), 303)


@bp.post("/account/sessions/end-others")
@signed_in
def end_other_sessions() -> ResponseReturnValue:
    """Sign all other devices out."""
    services().identity.sessions.end_all(viewer().id, keep=current_session().id)
    flash("All other devices are signed out.", "done")
    return redirect(url_for("account.security"), 303)


def _security_page(form: Form) -> str:
    user, identity = viewer(), services().identity
    return render_template(
        "account/security.html",
        form=form,
        second_factor=identity.second_factors.status(user.id),
        lacks_codes=lacks_codes(user),
        sessions=identity.sessions.list_of_user(user.id),
        current_session=current_session(),
    )


# --- API tokens -----------------------------------------------------------------------------


@bp.post("/account/tokens")
@signed_in
@recently_authenticated
@keeps_typed("name", "days", "scopes")
def create_token() -> ResponseReturnValue:
    """Make an API token and show its secret, this once."""
    form = Form(TOKEN_FIELDS, request.form)
    ticked = _ticked(request.form.getlist("scopes"))
    try:
        token, secret = services().identity.tokens.create(
            viewer().id, form["name"], scopes=ticked, days=_days(form["days"])
        )
    except AccountError as error:
        form.refuse_for(error)
        return refusal(error, _account_page(form, ticked=ticked))
    # Shown in this very answer: a redirect would have to keep the secret somewhere.
    return _account_page(new_token=token.name, secret=secret)


@bp.post("/account/tokens/<uuid:token_id>/revoke")
@signed_in
def revoke_token(token_id: UUID) -> ResponseReturnValue:
    """Make an API token useless."""
    services().identity.tokens.revoke(viewer().id, token_id)
    flash("The token is revoked. Scripts that used it no longer get in.", "done")
    return redirect(url_for("account.account"), 303)


def _ticked(sent: Sequence[str]) -> frozenset[Scope]:
    return frozenset(scope for scope in Scope if scope in sent)


def _days(text: str) -> int:
    """Return a number of days; 0, which no token lasts, where the text is none."""
    return int(text) if text.isdecimal() and len(text) < 5 else 0


def _account_page(
    form: Form | None = None,
    *,
    ticked: Set[Scope] = USUAL_SCOPES,
    new_token: str | None = None,
    secret: str | None = None,
) -> str:
    return render_template(
        "account/account.html",
        form=form or Form(TOKEN_FIELDS, {"days": str(DEFAULT_DAYS)}),
        scopes=SCOPES,
        ticked=ticked,
        token_days=TOKEN_DAYS,
        is_expired=services().identity.tokens.is_expired,
        tokens=services().identity.tokens.list_of_user(viewer().id),
        new_token=new_token,
        secret=secret,
    )

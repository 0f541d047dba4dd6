"""A user's own account: password and API tokens."""

from uuid import UUID

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from app.errors import AccountError
from app.web.context import services, viewer
from app.web.forms import Form
from app.web.guards import signed_in
from app.web.login import begin_session

PASSWORD_FIELDS = {
    "current": "your current password",
    "password": "a new password",
    "confirm": "the new password once more",
}
TOKEN_FIELDS = {"name": "a name for the token"}

bp = Blueprint("account", __name__)


@bp.get("/account")
@signed_in
def account() -> ResponseReturnValue:
    """Show a user's details, the form for a new password and the API tokens."""
    return _page()


@bp.post("/account/password")
@signed_in
def change_password() -> ResponseReturnValue:
    """Change the password; all other sessions of the user end."""
    form = Form(PASSWORD_FIELDS, request.form, secret=PASSWORD_FIELDS)
    if form.is_complete():
        try:
            user = services().accounts.change_password(
                viewer().id,
                current=form["current"],
                password=form["password"],
                confirm=form["confirm"],
            )
        except AccountError as error:
            form.refuse_for(error)
        else:
            begin_session(user)
            flash("Your password is changed. Other devices were signed out.", "done")
            return redirect(url_for("account.account"), 303)
    return _page(password_form=form), 422


@bp.post("/account/tokens")
@signed_in
def create_token() -> ResponseReturnValue:
    """Make an API token and show its secret, this once."""
    form = Form(TOKEN_FIELDS, request.form)
    if form.is_complete():
        try:
            token, secret = services().accounts.create_token(viewer().id, form["name"])
        except AccountError as error:
            form.refuse_for(error)
        else:
            # Shown in this very answer: a redirect would have to keep the secret somewhere.
            return _page(new_token=token.name, secret=secret)
    return _page(token_form=form), 422


@bp.post("/account/tokens/<uuid:token_id>/revoke")
@signed_in
def revoke_token(token_id: UUID) -> ResponseReturnValue:
    """Make an API token useless."""
    services().accounts.revoke_token(viewer().id, token_id)
    flash("The token is revoked. Scripts that used it no longer get in.", "done")
    return redirect(url_for("account.account"), 303)


def _page(
    *,
    password_form: Form | None = None,
    token_form: Form | None = None,
    new_token: str | None = None,
    secret: str | None = None,
) -> str:
    # At most one of the two forms has errors; ``form`` is the one that the summary speaks of.
    password_form = password_form or Form(PASSWORD_FIELDS)
    token_form = token_form or Form(TOKEN_FIELDS)
    return render_template(
        "account/account.html",
        form=token_form if token_form.errors else password_form,
        password_form=password_form,
        token_form=token_form,
        tokens=services().accounts.list_tokens(viewer().id),
        new_token=new_token,
        secret=secret,
    )

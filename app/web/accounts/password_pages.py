"""Proving once more who one is, and new passwords for who has forgotten theirs."""

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from app.errors import AccountError, LinkInvalidError, MailError
from app.web.accounts.login import current_session
from app.web.context import services, viewer
from app.web.forms import Form, refusal
from app.web.guards import public, signed_in
from app.web.redirects import after_sign_in

EMAIL_FIELDS = {"email": "your e-mail address"}
NEW_PASSWORD_FIELDS = {"password": "a new password", "confirm": "the new password once more"}
PASSWORD_FIELD = {"current": "your password"}
CODE_FIELD = {"code": "the code"}

bp = Blueprint("passwords", __name__)


@bp.get("/confirm-identity")
@signed_in
def confirm() -> ResponseReturnValue:
    """Ask somebody who is signed in for their password before a dangerous act."""
    return _confirm_page(Form(_proof_fields()), request.args.get("next", ""))


@bp.post("/confirm-identity")
@signed_in
def confirm_submit() -> ResponseReturnValue:
    """Take the proof and lead back."""
    fields = _proof_fields()
    form = Form(fields, request.form, secret=fields)
    target = request.form.get("next", "")
    if not form.is_complete():
        return _confirm_page(form, target), 422
    try:
        services().identity.sign_in.prove(
            viewer(), current_session(), form["current"], form["code"]
        )
    except AccountError as error:
        form.refuse_for(error)
        return refusal(error, _confirm_page(form, target))
    return redirect(after_sign_in(target), 303)


def _proof_fields() -> dict[str, str]:
    has_code = services().identity.second_factors.is_on(viewer().id)
    return PASSWORD_FIELD | (CODE_FIELD if has_code else {})


def _confirm_page(form: Form, target: str) -> str:
    needs_code = "code" in _proof_fields()
    return render_template("auth/confirm.html", form=form, target=target, needs_code=needs_code)


# --- forgotten passwords --------------------------------------------------------------------


@bp.get("/forgot-password")
@public
def forgot() -> ResponseReturnValue:
    """Ask for the address to which a link is to be sent; or say that none can be."""
    if not services().identity.resets.can_mail:
        return render_template("auth/forgot_ask_admin.html")
    return render_template("auth/forgot.html", form=Form(EMAIL_FIELDS))


@bp.post("/forgot-password")
@public
def forgot_submit() -> ResponseReturnValue:
    """Send a link; the answer is the same whether there is such an account or not."""
    form = Form(EMAIL_FIELDS, request.form)
    if not form.is_complete():
        return render_template("auth/forgot.html", form=form), 422
    try:
        services().identity.resets.request_by_email(form["email"])
    except MailError:
        return render_template("auth/forgot_ask_admin.html"), 503
    except AccountError as error:
        form.refuse_for(error)
        return refusal(error, render_template("auth/forgot.html", form=form))
    return render_template("auth/forgot_sent.html")


@bp.get("/reset-password")
@public
def reset() -> ResponseReturnValue:
    """Show the form for a new password to who comes with a good link."""
    secret = request.args.get("link", "")
    try:
        services().identity.resets.user_of_link(secret)
    except LinkInvalidError as error:
        return refusal(error, render_template("auth/link_invalid.html"))
    return render_template("auth/reset.html", form=Form(NEW_PASSWORD_FIELDS), link=secret)


@bp.post("/reset-password")
@public
def reset_submit() -> ResponseReturnValue:
    """Set the new password and use the link up; all sessions of the user end."""
    secret = request.form.get("link", "")
    form = Form(NEW_PASSWORD_FIELDS, request.form, secret=NEW_PASSWORD_FIELDS)
    try:
        if not form.is_complete():
            services().identity.resets.user_of_link(secret)
            return render_template("auth/reset.html", form=form, link=secret), 422
        services().identity.resets.set_password(
            secret, password=form["password"], confirm=form["confirm"]
        )
    except LinkInvalidError as error:
        return refusal(error, render_template("auth/link_invalid.html"))
    except AccountError as error:
        form.refuse_for(error)
        return refusal(error, render_template("auth/reset.html", form=form, link=secret))
    flash("Your new password is set. Sign in with it.", "done")
    return redirect(url_for("auth.sign_in"), 303)

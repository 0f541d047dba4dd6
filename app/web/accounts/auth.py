"""Registering, signing in and signing out."""

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_login import current_user

from app.errors import AccountError, LinkInvalidError, RegistrationClosedError
from app.services.accounts.registration import Application
from app.web.accounts.login import begin_session, device, end_session, enter, half_way
from app.web.context import services
from app.web.errors import status_of
from app.web.forms import Form, refusal
from app.web.guards import public
from app.web.redirects import after_sign_in

REGISTER_FIELDS = {
    "username": "a username",
    "email": "your e-mail address",
    "mobile": "your mobile number",
    "password": "a password",
    "confirm": "the password once more",
}
SIGN_IN_FIELDS = {"username": "your username", "password": "your password"}
CODE_FIELDS = {"code": "the code"}

bp = Blueprint("auth", __name__)


# --- registering ----------------------------------------------------------------------------


@bp.get("/register")
@public
def register() -> ResponseReturnValue:
    """Show the form for a new account, to who may make one."""
    if current_user.is_authenticated:
        return redirect(url_for("pages.home"))
    secret = request.args.get("invitation", "")
    try:
        invitation = services().identity.registration.invitation(secret)
    except (RegistrationClosedError, LinkInvalidError) as error:
        return _closed(error)
    email = invitation.email if invitation else ""
    form = Form(REGISTER_FIELDS, {"email": email} if email else None)
    return _register_page(form, secret)


@bp.post("/register")
@public
def register_submit() -> ResponseReturnValue:
    """Make an account; its owner is signed in, unless an administrator has to approve it."""
    secret = request.form.get("invitation", "")
    form = Form(REGISTER_FIELDS, request.form, secret=("password", "confirm"))
    application = Application(**{name: form[name] for name in REGISTER_FIELDS})
    try:
        user = services().identity.registration.register(application, secret)
    except (RegistrationClosedError, LinkInvalidError) as error:
        return _closed(error)
    except AccountError as error:
        form.refuse_for(error)
        if status_of(error) == 422:
            form.is_complete()  # of an empty field it is enough to say that it is empty
        return refusal(error, _register_page(form, secret))
    if user.awaits_approval:
        return render_template("auth/awaits_approval.html", user=user)
    begin_session(user)
    flash(f"Welcome, {user.username}. Your account is ready.", "done")
    return redirect(url_for("pages.home"), 303)


def _register_page(form: Form, secret: str) -> str:
    return render_template("auth/register.html", form=form, invitation=secret)


def _closed(error: AccountError) -> ResponseReturnValue:
    page = render_template(
        "auth/closed.html",
        mode=services().identity.registration.mode(),
        is_link_invalid=isinstance(error, LinkInvalidError),
    )
    return refusal(error, page)


# --- signing in and out ---------------------------------------------------------------------


@bp.get("/sign-in")
@public
def sign_in() -> ResponseReturnValue:
    """Show the form to sign in."""
    target = request.args.get("next", "")
    if current_user.is_authenticated:
        return redirect(after_sign_in(target))
    return _sign_in_page(Form(SIGN_IN_FIELDS), target)


@bp.post("/sign-in")
@public
def sign_in_submit() -> ResponseReturnValue:
    """Sign a user in and bring them to the page they wanted, or to where a code is asked for."""
    form = Form(SIGN_IN_FIELDS, request.form, secret=("password",))
    target = request.form.get("next", "")
    if not form.is_complete():
        return _sign_in_page(form, target), 422
    try:
        entry = services().identity.sign_in.sign_in(form["username"], form["password"], device())
    except AccountError as error:
        form.refuse_for(error)
        return refusal(error, _sign_in_page(form, target))
    enter(entry)
    if entry.needs_code:
        return redirect(url_for("auth.code", next=target or None), 303)
    return redirect(after_sign_in(target), 303)


@bp.get("/sign-in/code")
@public
def code() -> ResponseReturnValue:
    """Ask for a one-time code, where the password was right."""
    target = request.args.get("next", "")
    if half_way() is None:
        return redirect(url_for("auth.sign_in", next=target or None))
    return _code_page(Form(CODE_FIELDS), target)


@bp.post("/sign-in/code")
@public
def code_submit() -> ResponseReturnValue:
    """Sign a user in who gave the right password before and now a one-time code."""
    target = request.form.get("next", "")
    secret = half_way()
    if secret is None:
        return redirect(url_for("auth.sign_in", next=target or None), 303)
    form = Form(CODE_FIELDS, request.form, secret=("code",))
    if not form.is_complete():
        return _code_page(form, target), 422
    try:
        entry = services().identity.sign_in.enter_code(secret, form["code"], device())
    except LinkInvalidError:
        end_session()
        flash("That took too long. Sign in once more.", "info")
        return redirect(url_for("auth.sign_in", next=target or None), 303)
    except AccountError as error:
        form.refuse_for(error)
        return refusal(error, _code_page(form, target))
    enter(entry)
    return redirect(after_sign_in(target), 303)


@bp.post("/sign-out")
@public
def sign_out() -> ResponseReturnValue:
    """End the session."""
    end_session()
    flash("You are signed out.", "done")
    return redirect(url_for("auth.sign_in"), 303)


def _sign_in_page(form: Form, target: str) -> str:
    can_mail = services().identity.resets.can_mail
    return render_template("auth/sign_in.html", form=form, target=target, can_mail=can_mail)


def _code_page(form: Form, target: str) -> str:
    return render_template("auth/code.html", form=form, target=target)

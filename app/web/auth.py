"""Registering, signing in and signing out."""

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_login import current_user

from app.errors import AccountError
from app.web.context import services
from app.web.forms import Form
from app.web.guards import public
from app.web.login import begin_session, end_session
from app.web.redirects import after_sign_in

REGISTER_FIELDS = {
    "username": "a username",
    "email": "your e-mail address",
    "mobile": "your mobile number",
    "password": "a password",
    "confirm": "the password once more",
}
SIGN_IN_FIELDS = {"username": "your username", "password": "your password"}

bp = Blueprint("auth", __name__)


@bp.get("/register")
@public
def register() -> ResponseReturnValue:
    """Show the form for a new account."""
    if current_user.is_authenticated:
        return redirect(url_for("pages.home"))
    if not services().settings.registration_open:
        return render_template("auth/closed.html"), 403
    return render_template("auth/register.html", form=Form(REGISTER_FIELDS))


@bp.post("/register")
@public
def register_submit() -> ResponseReturnValue:
    """Make an account and sign its owner in."""
    if not services().settings.registration_open:
        return render_template("auth/closed.html"), 403
    form = Form(REGISTER_FIELDS, request.form, secret=("password", "confirm"))
    try:
        user = services().accounts.register(**{name: form[name] for name in REGISTER_FIELDS})
    except AccountError as error:
        form.refuse_for(error)
        form.is_complete()  # of an empty field it is enough to say that it is empty
        return render_template("auth/register.html", form=form), 422
    begin_session(user)
    flash(f"Welcome, {user.username}. Your account is ready.", "done")
    return redirect(url_for("pages.home"), 303)


@bp.get("/sign-in")
@public
def sign_in() -> ResponseReturnValue:
    """Show the form to sign in."""
    target = request.args.get("next", "")
    if current_user.is_authenticated:
        return redirect(after_sign_in(target))
    return render_template("auth/sign_in.html", form=Form(SIGN_IN_FIELDS), target=target)


@bp.post("/sign-in")
@public
def sign_in_submit() -> ResponseReturnValue:
    """Sign a user in and bring them to the page they wanted."""
    form = Form(SIGN_IN_FIELDS, request.form, secret=("password",))
    target = request.form.get("next", "")
    if form.is_complete():
        try:
            user = services().accounts.sign_in(form["username"], form["password"])
        except AccountError as error:
            form.refuse_for(error)
        else:
            begin_session(user)
            return redirect(after_sign_in(target), 303)
    return render_template("auth/sign_in.html", form=form, target=target), 422


@bp.post("/sign-out")
@public
def sign_out() -> ResponseReturnValue:
    """End the session."""
    end_session()
    flash("You are signed out.", "done")
    return redirect(url_for("auth.sign_in"), 303)

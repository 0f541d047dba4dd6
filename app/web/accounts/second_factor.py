"""A user's second factor: setting it up with an authenticator app, and turning it off."""

from flask import Blueprint, Response, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from app.errors import CodeWrongError, SecondFactorNotBegunError, SecondFactorOnError
from app.web.context import services, viewer
from app.web.forms import Form, refusal
from app.web.guards import recently_authenticated, signed_in

CODE_FIELDS = {"code": "the code that your app shows"}
GROUP = 4

bp = Blueprint("second_factor", __name__, url_prefix="/account/second-factor")


@bp.post("/begin")
@signed_in
@recently_authenticated
def begin() -> ResponseReturnValue:
    """Make a new seed and lead to its picture."""
    try:
        services().identity.second_factors.begin(viewer().id)
    except SecondFactorOnError as error:
        flash(str(error), "error")
        return redirect(url_for("account.security"), 303)
    return redirect(url_for("second_factor.set_up"), 303)


@bp.get("/set-up")
@signed_in
@recently_authenticated
def set_up() -> ResponseReturnValue:
    """Show the picture for the authenticator app, and ask for its first code."""
    try:
        return _set_up_page(Form(CODE_FIELDS))
    except SecondFactorNotBegunError:
        return redirect(url_for("account.security"))


@bp.get("/picture")
@signed_in
@recently_authenticated
def picture() -> ResponseReturnValue:
    """Return the picture for the authenticator app as SVG, while it is being set up."""
    try:
        svg = services().identity.second_factors.qr_svg(viewer())
    except SecondFactorNotBegunError:
        return "", 404
    return Response(svg, mimetype="image/svg+xml")


@bp.post("/confirm")
@signed_in
@recently_authenticated
def confirm() -> ResponseReturnValue:
    """Turn codes on and show the recovery codes, this once."""
    form = Form(CODE_FIELDS, request.form, secret=CODE_FIELDS)
    try:
        if not form.is_complete():
            return _set_up_page(form), 422
        codes = services().identity.second_factors.confirm(viewer().id, form["code"])
    except CodeWrongError as error:
        form.refuse_for(error)
        return refusal(error, _set_up_page(form))
    except SecondFactorNotBegunError as error:
        flash(str(error), "error")
        return redirect(url_for("account.security"), 303)
    return render_template("account/recovery_codes.html", codes=codes, is_new=True)


@bp.post("/recovery-codes")
@signed_in
@recently_authenticated
def renew_recovery_codes() -> ResponseReturnValue:
    """Show new recovery codes, this once; those before are worth nothing now."""
    try:
        codes = services().identity.second_factors.renew_recovery_codes(viewer().id)
    except SecondFactorNotBegunError:
        return redirect(url_for("account.security"), 303)
    return render_template("account/recovery_codes.html", codes=codes, is_new=False)


@bp.post("/turn-off")
@signed_in
@recently_authenticated
def turn_off() -> ResponseReturnValue:
    """Ask for no codes any more."""
    services().identity.second_factors.turn_off(viewer().id, actor=viewer().id)
    flash("Codes are off. Your password alone signs you in.", "done")
    return redirect(url_for("account.security"), 303)


def _set_up_page(form: Form) -> str:
    """Return the page.

    Raises:
        SecondFactorNotBegunError: Nothing is being set up.
    """
    seed = services().identity.second_factors.seed(viewer().id)
    groups = [seed[start : start + GROUP] for start in range(0, len(seed), GROUP)]
    return render_template("account/set_up.html", form=form, seed=" ".join(groups))

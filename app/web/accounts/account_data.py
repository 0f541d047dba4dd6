"""A user's own data: taking it along, and deleting the account with all of it."""

from flask import Blueprint, Response, flash, redirect, render_template, request, send_file, url_for
from flask.typing import ResponseReturnValue

from app.errors import AccountError, ConfirmationWrongError
from app.web.accounts.login import end_session
from app.web.context import services, viewer
from app.web.forms import Form, refusal
from app.web.guards import recently_authenticated, signed_in

DELETE_FIELDS = {"username": "your username"}
FILE_NAME = "veriscan-data.zip"

bp = Blueprint("account_data", __name__)


@bp.get("/account/data")
@signed_in
@recently_authenticated
def download() -> ResponseReturnValue:
    """Send all that is stored of a user: JSON and their scans, in a ZIP file."""
    file = services().personal_data.export(viewer())
    response: Response = send_file(
        file, mimetype="application/zip", as_attachment=True, download_name=FILE_NAME
    )
    return response


@bp.get("/account/delete")
@signed_in
@recently_authenticated
def delete() -> ResponseReturnValue:
    """Ask whether the account is really to be deleted."""
    return render_template("account/delete.html", form=Form(DELETE_FIELDS))


@bp.post("/account/delete")
@signed_in
@recently_authenticated
def delete_submit() -> ResponseReturnValue:
    """Delete the account with its scans, for good."""
    user = viewer()
    form = Form(DELETE_FIELDS, request.form)
    try:
        if form["username"] != user.username:
            raise ConfirmationWrongError
        services().accounts.delete(user.id, actor=user.id)
    except AccountError as error:
        form.refuse_for(error)
        return refusal(error, render_template("account/delete.html", form=form))
    end_session()
    flash("Your account and all your scans are deleted.", "done")
    return redirect(url_for("auth.sign_in"), 303)

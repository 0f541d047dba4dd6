"""For administrators: the users, and how good the serving detectors are."""

from uuid import UUID

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from app.errors import LastAdminError, NotFoundError
from app.records import Role, User
from app.web.context import services
from app.web.guards import admin_only
from app.web.offers import offers
from app.web.performance import figures_by_generator, figures_of, plain_figures

bp = Blueprint("admin", __name__, url_prefix="/admin")


@bp.get("/users")
@admin_only
def users() -> ResponseReturnValue:
    """List all users."""
    return render_template("admin/users.html", users=services().accounts.list_users())


@bp.post("/users/<uuid:user_id>/activate")
@admin_only
def activate(user_id: UUID) -> ResponseReturnValue:
    """Let a user in again."""
    user = services().accounts.set_active(user_id, active=True)
    return _done(f"{user.username} can sign in again.")


@bp.post("/users/<uuid:user_id>/deactivate")
@admin_only
def deactivate(user_id: UUID) -> ResponseReturnValue:
    """Keep a user out from the next request on."""
    try:
        user = services().accounts.set_active(user_id, active=False)
    except LastAdminError as error:
        return _refused(error)
    return _done(f"{user.username} is deactivated and signed out.")


@bp.post("/users/<uuid:user_id>/role")
@admin_only
def change_role(user_id: UUID) -> ResponseReturnValue:
    """Make a user an administrator or a clinician."""
    try:
        role = Role(request.form.get("role", ""))
    except ValueError:
        return _refused(ValueError("Choose administrator or clinician."))
    try:
        user = services().accounts.set_role(user_id, role)
    except LastAdminError as error:
        return _refused(error)
    name = "an administrator" if role is Role.ADMIN else "a clinician"
    return _done(f"{user.username} is now {name}.")


@bp.get("/users/<uuid:user_id>/delete")
@admin_only
def confirm_delete(user_id: UUID) -> ResponseReturnValue:
    """Ask whether a user is really to be deleted."""
    return render_template("admin/delete_user.html", user=_user(user_id))


@bp.post("/users/<uuid:user_id>/delete")
@admin_only
def delete(user_id: UUID) -> ResponseReturnValue:
    """Delete a user with everything that belongs to them."""
    user = _user(user_id)
    try:
        services().accounts.delete(user_id)
    except LastAdminError as error:
        return _refused(error)
    return _done(f"{user.username} and all their scans are deleted.")


@bp.get("/detectors")
@admin_only
def detectors() -> ResponseReturnValue:
    """Show what serves each modality and how good it is."""
    return render_template(
        "admin/detectors.html",
        offers=offers(),
        figures_of=figures_of,
        figures_by_generator=figures_by_generator,
        plain_figures=plain_figures,
        device=services().engine.device,
        queue_length=services().engine.queue_length(),
    )


def _user(user_id: UUID) -> User:
    user = services().accounts.find(user_id)
    if user is None:
        raise NotFoundError("user")
    return user


def _done(message: str) -> ResponseReturnValue:
    flash(message, "done")
    return redirect(url_for("admin.users"), 303)


def _refused(error: Exception) -> ResponseReturnValue:
    flash(str(error), "error")
    return redirect(url_for("admin.users"), 303)

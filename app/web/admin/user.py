"""One user: what they did lately, the room that they take, and what may be done to them."""

from urllib.parse import urljoin
from uuid import UUID

from flask import flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from app.errors import LastAdminError, NotFoundError, SiteSettingError
from app.records import EventFilter, Role, User
from app.services.administration.user_directory import state_of
from app.web.admin.audit_rows import rows_of
from app.web.admin.blueprint import bp
from app.web.admin.users import ROLES, STATES
from app.web.context import services, viewer
from app.web.guards import admin_only, recently_authenticated

LATEST_EVENTS = 15


@bp.get("/users/<uuid:user_id>")
@admin_only
def user(user_id: UUID) -> ResponseReturnValue:
    """Show one user."""
    return _page(_user(user_id))


@bp.post("/users/<uuid:user_id>/activate")
@admin_only
def activate(user_id: UUID) -> ResponseReturnValue:
    """Let a user in, again or for the first time."""
    changed = services().accounts.set_active(user_id, active=True, actor=viewer().id)
    return _done(changed, f"{changed.username} can sign in now.")


@bp.post("/users/<uuid:user_id>/deactivate")
@admin_only
def deactivate(user_id: UUID) -> ResponseReturnValue:
    """Keep a user out from the next request on."""
    try:
        changed = services().accounts.set_active(user_id, active=False, actor=viewer().id)
    except LastAdminError as error:
        return _refused(user_id, str(error))
    return _done(changed, f"{changed.username} is deactivated and signed out.")


@bp.post("/users/<uuid:user_id>/role")
@admin_only
@recently_authenticated
def change_role(user_id: UUID) -> ResponseReturnValue:
    """Give a user another role."""
    try:
        role = Role(request.form.get("role", ""))
    except ValueError:
        return _refused(user_id, "Choose clinician, reviewer or administrator.")
    try:
        changed = services().accounts.set_role(user_id, role, actor=viewer().id)
    except LastAdminError as error:
        return _refused(user_id, str(error))
    article = "an" if role is Role.ADMIN else "a"
    return _done(changed, f"{changed.username} is now {article} {ROLES[role].lower()}.")


@bp.post("/users/<uuid:user_id>/quota")
@admin_only
def set_quota(user_id: UUID) -> ResponseReturnValue:
    """Give a user a limit of their own, or the site's where the field is left empty."""
    text = request.form.get("quota_mib", "").strip()
    try:
        mib = int(text) if text else None
        services().administration.quotas.set(_user(user_id).id, mib, actor=viewer().id)
    except ValueError:
        return _refused(user_id, "Give the limit as a whole number of megabytes.")
    except SiteSettingError as error:
        return _refused(user_id, str(error))
    return _done(_user(user_id), "The limit is set.")


@bp.post("/users/<uuid:user_id>/password-link")
@admin_only
@recently_authenticated
def make_password_link(user_id: UUID) -> ResponseReturnValue:
    """Make a link with which a user sets a new password, and show it, this once."""
    path = services().identity.resets.make_link(user_id, actor=viewer().id)
    # Shown in this very answer: a redirect would have to keep the secret somewhere.
    return _page(_user(user_id), link=urljoin(request.host_url, path))


@bp.post("/users/<uuid:user_id>/codes/turn-off")
@admin_only
@recently_authenticated
def turn_codes_off(user_id: UUID) -> ResponseReturnValue:
    """Ask a user who has lost telephone and recovery codes for no codes any more."""
    changed = _user(user_id)
    services().identity.second_factors.turn_off(changed.id, actor=viewer().id)
    return _done(changed, f"{changed.username} is asked for no codes at sign-in any more.")


@bp.post("/users/<uuid:user_id>/sessions/<uuid:session_id>/end")
@admin_only
def end_session_of(user_id: UUID, session_id: UUID) -> ResponseReturnValue:
    """Sign a user out of one browser."""
    services().identity.sessions.end_one(user_id, session_id, actor=viewer().id)
    return _done(_user(user_id), "The session is ended.")


@bp.get("/users/<uuid:user_id>/delete")
@admin_only
@recently_authenticated
def confirm_delete(user_id: UUID) -> ResponseReturnValue:
    """Ask whether a user is really to be deleted."""
    return render_template("admin/delete_user.html", user=_user(user_id))


@bp.post("/users/<uuid:user_id>/delete")
@admin_only
@recently_authenticated
def delete(user_id: UUID) -> ResponseReturnValue:
    """Delete a user with everything that belongs to them."""
    gone = _user(user_id)
    try:
        services().accounts.delete(user_id, actor=viewer().id)
    except LastAdminError as error:
        return _refused(user_id, str(error))
    services().administration.quotas.forget(user_id)
    flash(f"{gone.username} and all their scans are deleted.", "done")
    return redirect(url_for("admin.users"), 303)


def _page(found: User, *, link: str = "") -> str:
    events = services().audit.page(EventFilter(actor_id=found.id), limit=LATEST_EVENTS)
    return render_template(
        "admin/user.html",
        user=found,
        state=state_of(found),
        quota=services().administration.quotas.of(found.id),
        tokens=services().identity.tokens.list_of_user(found.id),
        sessions=services().identity.sessions.list_of_user(found.id),
        has_codes=services().identity.second_factors.is_on(found.id),
        link=link,
        rows=rows_of(events),
        roles=ROLES,
        states=STATES,
    )


def _user(user_id: UUID) -> User:
    found = services().accounts.find(user_id)
    if found is None:
        raise NotFoundError("user")
    return found


def _done(changed: User, message: str) -> ResponseReturnValue:
    flash(message, "done")
    return redirect(url_for("admin.user", user_id=changed.id), 303)


def _refused(user_id: UUID, message: str) -> ResponseReturnValue:
    flash(message, "error")
    return redirect(url_for("admin.user", user_id=_user(user_id).id), 303)

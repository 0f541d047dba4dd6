"""Invitations: made, listed and withdrawn."""

from datetime import UTC, datetime
from uuid import UUID

from flask import flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from app.errors import AccountError
from app.records import OneTimeLink, Role
from app.web.admin.blueprint import bp
from app.web.admin.users import ROLES
from app.web.context import services, viewer
from app.web.forms import Form
from app.web.guards import admin_only, recently_authenticated
from app.web.wording import Badge

FIELDS = {"email": "an e-mail address", "role": "a role"}
OPEN = Badge(label="Open", tone="real", icon="waiting")
USED = Badge(label="Used", tone="none", icon="real")
EXPIRED = Badge(label="Expired", tone="none", icon="not_judged")


@bp.get("/invitations")
@admin_only
@recently_authenticated
def invitations() -> ResponseReturnValue:
    """List the invitations, and show the form for another."""
    return _page(Form(FIELDS))


@bp.post("/invitations")
@admin_only
@recently_authenticated
def invite() -> ResponseReturnValue:
    """Make an invitation and show its link, this once."""
    form = Form(FIELDS, request.form)
    try:
        role = Role(form["role"])
    except ValueError:
        form.refuse("role", "Choose clinician, reviewer or administrator.")
        return _page(form), 422
    try:
        made, secret = services().identity.invitations.invite(
            actor=viewer().id, email=form["email"], role=role
        )
    except AccountError as error:
        form.refuse_for(error)
        return _page(form), 422
    # Shown in this very answer: a redirect would have to keep the secret somewhere.
    link = url_for("auth.register", invitation=secret, _external=True)
    return _page(Form(FIELDS), made=made, link=link)


@bp.post("/invitations/<uuid:invitation_id>/withdraw")
@admin_only
def withdraw_invitation(invitation_id: UUID) -> ResponseReturnValue:
    """Make an invitation void."""
    services().identity.invitations.withdraw(invitation_id, actor=viewer().id)
    flash("The invitation is withdrawn. Its link opens nothing any more.", "done")
    return redirect(url_for("admin.invitations"), 303)


def _page(form: Form, *, made: OneTimeLink | None = None, link: str = "") -> str:
    found = services().identity.invitations.list_all()
    makers = {one.made_by for one in found if one.made_by}
    return render_template(
        "admin/invitations.html",
        form=form,
        made=made,
        link=link,
        rows=[(one, _badge(one)) for one in found],
        names=services().administration.directory.names(makers),
        roles=ROLES,
        open_badge=OPEN,
    )


def _badge(invitation: OneTimeLink) -> Badge:
    if invitation.used:
        return USED
    return OPEN if invitation.expires > datetime.now(UTC) else EXPIRED

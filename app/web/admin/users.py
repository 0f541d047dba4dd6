"""The list of users: searched, filtered, sorted, paged, and changed many at a time."""

from enum import StrEnum
from typing import TypeVar
from uuid import UUID

from flask import flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from app.errors import LastAdminError
from app.records import Role
from app.services.administration.bulk_acts import BulkAct
from app.services.administration.user_directory import UserOrder, UserQuery, UserState, state_of
from app.web.admin.blueprint import bp
from app.web.context import services, viewer
from app.web.guards import admin_only, recently_authenticated

MAX_WORDS = 8
ROLES = {
    Role.CLINICIAN: "Clinician",
    Role.REVIEWER: "Reviewer",
    Role.ADMIN: "Administrator",
}
STATES = {
    UserState.ACTIVE: "Active",
    UserState.WAITING: "Waiting for approval",
    UserState.DEACTIVATED: "Deactivated",
}
ORDERS = {
    UserOrder.NAME: "Username",
    UserOrder.EMAIL: "E-mail address",
    UserOrder.ROLE: "Role",
    UserOrder.NEWEST: "Newest first",
    UserOrder.OLDEST: "Oldest first",
}
BULK_ACTS = {
    BulkAct.ACTIVATE: "Activate",
    BulkAct.DEACTIVATE: "Deactivate",
    BulkAct.MAKE_CLINICIANS: "Make clinicians",
    BulkAct.MAKE_REVIEWERS: "Make reviewers",
}

Choice = TypeVar("Choice", bound=StrEnum)


@bp.get("/users")
@admin_only
def users() -> ResponseReturnValue:
    """List the users that are looked for."""
    query = _query()
    return render_template(
        "admin/users.html",
        page=services().administration.directory.find(query),
        query=query,
        kept=_kept(query),
        state_of=state_of,
        roles=ROLES,
        states=STATES,
        orders=ORDERS,
        acts=BULK_ACTS,
    )


@bp.post("/users/bulk")
@admin_only
@recently_authenticated
def bulk() -> ResponseReturnValue:
    """Do the same to all users that were ticked; their own account is passed over."""
    back = url_for("admin.users", page=_query().page, _external=False, **_kept(_query()))
    act = _choice(BulkAct, request.form.get("act"))
    if act is None:
        flash("Choose what to do with the users.", "error")
        return redirect(back, 303)
    chosen = _chosen(request.form.getlist("user"))
    if not chosen:
        flash("Tick the users first.", "error")
        return redirect(back, 303)
    try:
        result = services().administration.bulk_acts.change(chosen, act, actor=viewer().id)
    except LastAdminError as error:
        flash(str(error), "error")
        return redirect(back, 303)
    if result.changed:
        noun = "account is" if result.changed == 1 else "accounts are"
        flash(f"{result.changed} {noun} changed.", "done")
    if result.kept:
        flash("Your own account was left as it is.", "error")
    return redirect(back, 303)


def _chosen(texts: list[str]) -> list[UUID]:
    found = []
    for text in texts:
        try:
            found.append(UUID(text))
        except ValueError:
            continue
    return list(dict.fromkeys(found))


def _query() -> UserQuery:
    args = request.args
    return UserQuery(
        words=tuple(args.get("q", "").split()[:MAX_WORDS]),
        role=_choice(Role, args.get("role")),
        state=_choice(UserState, args.get("state")),
        order=_choice(UserOrder, args.get("order")) or UserOrder.NAME,
        page=max(1, args.get("page", 1, type=int)),
    )


def _choice(kind: type[Choice], text: str | None) -> Choice | None:
    try:
        return kind(text or "")
    except ValueError:
        return None


def _kept(query: UserQuery) -> dict[str, str]:
    """Return what has to stand in the address for the same list, less the page."""
    found = {
        "q": " ".join(query.words),
        "role": query.role.value if query.role else "",
        "state": query.state.value if query.state else "",
        "order": query.order.value if query.order is not UserOrder.NAME else "",
    }
    return {name: value for name, value in found.items() if value}

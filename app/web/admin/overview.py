"""What an administrator should see to, at one glance."""

from dataclasses import dataclass

from flask import render_template, url_for
from flask.typing import ResponseReturnValue

from app.records import EventFilter
from app.services.administration.user_directory import UserState
from app.web.admin.audit_rows import rows_of
from app.web.admin.blueprint import bp
from app.web.context import services
from app.web.guards import admin_only
from app.web.offers import offers

LATEST_EVENTS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Concern:
    """Something that an administrator should see to.

    Attributes:
        link: The page where that is done.
    """

    text: str
    link: str


@bp.get("")
@admin_only
def overview() -> ResponseReturnValue:
    """Show what needs attention and the state of the server in a few figures."""
    administration = services().administration
    health = administration.monitoring.health()
    return render_template(
        "admin/overview.html",
        concerns=_concerns(health.problems),
        health=health,
        waiting=administration.directory.count(UserState.WAITING),
        users=administration.directory.count(UserState.ACTIVE),
        events=services().audit.count(),
        rows=rows_of(services().audit.page(EventFilter(), limit=LATEST_EVENTS)),
    )


def _concerns(problems: tuple[str, ...]) -> list[Concern]:
    directory = services().administration.directory
    found = [Concern(text=text, link=url_for("admin.health")) for text in problems]
    waiting = directory.count(UserState.WAITING)
    if waiting:
        who = "1 person waits" if waiting == 1 else f"{waiting} people wait"
        link = url_for("admin.users", state=UserState.WAITING.value)
        found.append(Concern(text=f"{who} for an account.", link=link))
    if not services().site_settings.get().admins_need_codes:
        text = "Administrators may sign in with a password alone. Let this site ask them for codes."
        found.append(Concern(text=text, link=url_for("admin.settings")))
    for offer in offers():
        if offer.card is None:
            continue
        report = services().administration.drift.report(offer.spec.key, offer.card.sha256)
        found += [
            Concern(text=f"{offer.spec.title}: {alarm}", link=url_for("admin.usage"))
            for alarm in report.alarms
        ]
    return found

"""The first page: for strangers what this is, for users what they can check."""

from flask import Blueprint, render_template
from flask.typing import ResponseReturnValue
from flask_login import current_user

from app.web.analyses.performance import in_short
from app.web.context import services, viewer
from app.web.guards import public
from app.web.history.rows import rows_in_brief
from app.web.offers import offers

RECENT = 5

bp = Blueprint("pages", __name__)


@bp.get("/")
@public
def home() -> ResponseReturnValue:
    """Show the overview to a user, and to a stranger what Veriscan does."""
    if not current_user.is_authenticated:
        return render_template("pages/landing.html", offers=offers(), in_short=in_short)
    recent = services().history.recent(viewer(), RECENT)
    return render_template(
        "pages/dashboard.html",
        offers=offers(),
        in_short=in_short,
        recent=rows_in_brief(recent),
        is_waiting=any(not line.is_final for line in recent),
    )

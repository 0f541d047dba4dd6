"""How the server is: engine, queue, device, disk, memory and versions."""

from flask import render_template
from flask.typing import ResponseReturnValue

from app.web.admin.blueprint import bp
from app.web.context import services
from app.web.guards import admin_only
from app.web.offers import offers


@bp.get("/health")
@admin_only
def health() -> ResponseReturnValue:
    """Show the state of the server now."""
    report = services().administration.monitoring.health()
    return render_template("admin/health.html", report=report, offers=offers())

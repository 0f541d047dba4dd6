"""What is stored, how much room is left, and what the retention setting will remove."""

from flask import render_template
from flask.typing import ResponseReturnValue

from app.web.admin.blueprint import bp
from app.web.context import services
from app.web.guards import admin_only


@bp.get("/storage")
@admin_only
def storage() -> ResponseReturnValue:
    """Show what is stored."""
    administration = services().administration
    site = services().site_settings.get()
    report = administration.monitoring.storage(site.retention_days)
    return render_template(
        "admin/storage.html",
        report=report,
        site=site,
        names=administration.directory.names({one.user_id for one in report.largest}),
    )

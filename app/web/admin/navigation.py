"""The administrators' own navigation, beside each of their pages."""

from app.web.admin.blueprint import bp

PAGES = (
    ("admin.overview", "Overview"),
    ("admin.users", "Users"),
    ("admin.invitations", "Invitations"),
    ("admin.detectors", "Detectors"),
    ("admin.calibration", "Site calibration"),
    ("admin.usage", "Usage and drift"),
    ("reviews.agreement", "Second opinions"),
    ("admin.audit", "Audit trail"),
    ("admin.storage", "Storage"),
    ("admin.health", "System health"),
    ("admin.settings", "Settings"),
)


@bp.app_template_global()
def admin_nav() -> tuple[tuple[str, str], ...]:
    """Return the administrators' pages, each with its label."""
    return PAGES

"""Settings of the site that an administrator changes while it runs."""

from flask import flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from app.errors import SiteSettingError
from app.services.site_settings import RegistrationMode
from app.web.admin.blueprint import bp
from app.web.context import services, viewer
from app.web.forms import Form
from app.web.guards import admin_only, recently_authenticated

FIELDS = {
    "registration": "who may make an account",
    "retention_days": "a number of days",
    "quota_mib": "a number of megabytes",
    "admins_need_codes": "whether administrators need codes",
}
NUMBERS = ("retention_days", "quota_mib")
MAX_DIGITS = 12  # more than any of the limits has; Python reads no number of thousands of digits
MODES = {
    RegistrationMode.OPEN: ("Open", "Anybody who reaches this server can make an account."),
    RegistrationMode.APPROVAL: (
        "By approval",
        "Anybody can ask for an account; an administrator lets them in.",
    ),
    RegistrationMode.INVITATION: (
        "By invitation",
        "Only with a one-time link that an administrator makes.",
    ),
    RegistrationMode.CLOSED: ("Closed", "Nobody. Administrators are made on the command line."),
}


@bp.get("/settings")
@admin_only
@recently_authenticated
def settings() -> ResponseReturnValue:
    """Show the settings."""
    return _page(Form(FIELDS))


@bp.post("/settings")
@admin_only
@recently_authenticated
def change_settings() -> ResponseReturnValue:
    """Change the settings."""
    form = Form(FIELDS, request.form)
    values: dict[str, str | int] = {
        "registration": form["registration"],
        "admins_need_codes": form["admins_need_codes"] == "yes",
    }
    for name in NUMBERS:
        if form[name].isascii() and form[name].isdigit() and len(form[name]) <= MAX_DIGITS:
            values[name] = int(form[name])
        else:
            form.refuse(name, "Give a whole number; 0 is without limit.")
    if values["admins_need_codes"] and not services().identity.second_factors.is_on(viewer().id):
        form.refuse(
            "admins_need_codes",
            "Set up codes for yourself first, on your account page under “Security”.",
        )
    if not form.errors:
        try:
            services().site_settings.change(values, actor=viewer().id)
        except SiteSettingError as error:
            form.refuse(error.field, str(error))
        else:
            flash("The settings are saved and hold from now on.", "done")
            return redirect(url_for("admin.settings"), 303)
    return _page(form), 422


def _page(form: Form) -> str:
    return render_template(
        "admin/settings.html",
        form=form,
        site=services().site_settings.get(),
        modes=MODES,
    )

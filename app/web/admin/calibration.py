"""Site calibration: authentic scans in, the site's own false-alarm rate and limit out."""

from flask import flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from app.errors import (
    CalibrationError,
    ModalityUnavailableError,
    QueueFullError,
    UnknownModalityError,
    UploadError,
)
from app.web.admin.blueprint import bp
from app.web.admin.charts import scores_of
from app.web.context import services, viewer
from app.web.guards import admin_only, recently_authenticated
from app.web.offers import offers, title_of

MAX_FILES = 50
REFUSALS = (UploadError, QueueFullError, UnknownModalityError, ModalityUnavailableError)


@bp.get("/calibration")
@admin_only
def calibration() -> ResponseReturnValue:
    """Show the site's false-alarm rate with each detector, and the limits that can be set."""
    service = services().administration.calibration
    found = [
        (offer.spec, service.of(offer.spec.key)) for offer in offers() if offer.card is not None
    ]
    return render_template(
        "admin/calibration.html",
        found=[(spec, known, scores_of(known) if known.scans else None) for spec, known in found],
        max_files=MAX_FILES,
    )


@bp.post("/calibration/scans")
@admin_only
def add_calibration_scans() -> ResponseReturnValue:
    """Have scans judged that are known to be authentic; only their scores are kept."""
    modality = request.form.get("modality", "")
    files = [file for file in request.files.getlist("images") if file.filename][:MAX_FILES]
    taken, refused = 0, ""
    for file in files:
        try:
            data = file.stream.read(services().settings.max_upload_bytes + 1)
            services().administration.calibration.add(modality, data)
        except REFUSALS as error:
            refused = str(error)
        else:
            taken += 1
    if taken:
        flash(f"{taken} of {len(files)} scans are being judged. Reload the page to see.", "done")
    if refused or not files:
        what = f"{len(files) - taken} of the files could not be taken in. The last: {refused}"
        flash(what if files else "Choose files first.", "error")
    return _back()


@bp.post("/calibration/limit")
@admin_only
@recently_authenticated
def set_site_limit() -> ResponseReturnValue:
    """Use a limit of this site from now on."""
    modality = request.form.get("modality", "")
    target = request.form.get("target", 0.0, type=float)
    try:
        limit = services().administration.calibration.set_limit(modality, target, actor=viewer().id)
    except (CalibrationError, UnknownModalityError, ModalityUnavailableError) as error:
        flash(str(error), "error")
    else:
        flash(
            f"{title_of(modality)}: from now on a scan is called fake above "
            f"{limit.fake_above:.3f}.",
            "done",
        )
    return _back()


@bp.post("/calibration/limit/remove")
@admin_only
@recently_authenticated
def remove_site_limit() -> ResponseReturnValue:
    """Go back to the limit on the detector's card."""
    try:
        services().administration.calibration.clear_limit(
            request.form.get("modality", ""), actor=viewer().id
        )
    except (UnknownModalityError, ModalityUnavailableError) as error:
        flash(str(error), "error")
    else:
        flash("The detector's own limit holds again.", "done")
    return _back()


@bp.post("/calibration/scans/discard")
@admin_only
def discard_calibration_scans() -> ResponseReturnValue:
    """Forget the scores that were collected."""
    try:
        services().administration.calibration.clear_scores(
            request.form.get("modality", ""), actor=viewer().id
        )
    except (UnknownModalityError, ModalityUnavailableError) as error:
        flash(str(error), "error")
    else:
        flash("The scores are forgotten.", "done")
    return _back()


def _back() -> ResponseReturnValue:
    return redirect(url_for("admin.calibration"), 303)

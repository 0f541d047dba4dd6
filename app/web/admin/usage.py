"""How much is judged, with which verdicts, and whether a detector's scores have moved."""

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta

from flask import render_template
from flask.typing import ResponseReturnValue

from app.detection.labels import Verdict
from app.detection.spec import ModalitySpec
from app.services.detectors.drift import (
    CHANCE_LEVEL,
    LARGE_SHIFT,
    MIN_RECENT_SCANS,
    MIN_REFERENCE_SCANS,
    DriftReport,
)
from app.web.admin.blueprint import bp
from app.web.admin.charts import Columns, Histogram, columns_of, histogram_of
from app.web.context import services
from app.web.guards import admin_only
from app.web.offers import offers

WEEKS = 12
ORDER = (Verdict.REAL, Verdict.INCONCLUSIVE, Verdict.FAKE, Verdict.NOT_JUDGED)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModalityUsage:
    """What a modality was used for, and whether its detector still judges as it did.

    Attributes:
        drift: None where nothing serves the modality.
        histogram: None where there are too few scans yet.
    """

    spec: ModalitySpec
    columns: Columns
    total: int
    drift: DriftReport | None
    histogram: Histogram | None


@bp.get("/usage")
@admin_only
def usage() -> ResponseReturnValue:
    """Show the verdicts of the last weeks and the drift of each detector."""
    return render_template(
        "admin/usage.html",
        usages=_usages(),
        weeks=WEEKS,
        needed=MIN_REFERENCE_SCANS + MIN_RECENT_SCANS,
        large=LARGE_SHIFT,
        chance=CHANCE_LEVEL,
    )


def _usages() -> list[ModalityUsage]:
    administration = services().administration
    midnight = datetime.combine(datetime.now(UTC).date() + timedelta(days=1), time(), UTC)
    starts = [midnight - timedelta(weeks=WEEKS - i) for i in range(WEEKS)]
    counts = [
        administration.statistics.verdicts(start, start + timedelta(weeks=1)) for start in starts
    ]
    found = []
    for offer in offers():
        key = offer.spec.key
        weeks = [{v: week.get((key, v), 0) for v in ORDER} for week in counts]
        report = administration.drift.report(key, offer.card.sha256) if offer.card else None
        found.append(
            ModalityUsage(
                spec=offer.spec,
                columns=columns_of([start.date() for start in starts], weeks),
                total=sum(sum(week.values()) for week in weeks),
                drift=report,
                histogram=histogram_of(report) if report and report.is_ready else None,
            )
        )
    return found

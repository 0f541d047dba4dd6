"""What serves each modality, how good it is, and which checkpoint is to serve it."""

from dataclasses import dataclass

from flask import flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from app.detection.card import Card
from app.errors import EngineError, UnknownModalityError, WeightsError
from app.services.detectors.detectors import VERDICTS, ShadowReport
from app.web.admin.blueprint import bp
from app.web.admin.charts import NAMES, whisker_of
from app.web.analyses.performance import figures_by_generator, figures_of, plain_figures
from app.web.context import services, viewer
from app.web.guards import admin_only, recently_authenticated
from app.web.offers import Offer, offers, title_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A checkpoint as the page lists it.

    Attributes:
        figures: AUC, false alarms and misses, in text.
        problem: Why it cannot be chosen; None where it can.
    """

    name: str
    card: Card | None
    figures: tuple[str, str, str]
    is_active: bool
    problem: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectorView:
    """A modality with what serves it and what could."""

    offer: Offer
    checkpoints: tuple[Checkpoint, ...]
    shadow: ShadowReport | None


@bp.get("/detectors")
@admin_only
def detectors() -> ResponseReturnValue:
    """Show what serves each modality, how good it is and what else could."""
    return render_template(
        "admin/detectors.html",
        views=[_view(offer) for offer in offers()],
        can_shadow=services().administration.detectors.can_shadow,
        figures_of=figures_of,
        figures_by_generator=figures_by_generator,
        plain_figures=plain_figures,
        whisker_of=whisker_of,
        verdict_names=[NAMES[verdict] for verdict in VERDICTS],
        names=NAMES,
        device=services().engine.device,
        queue_length=services().engine.queue_length(),
    )


@bp.post("/detectors/activate")
@admin_only
@recently_authenticated
def activate_detector() -> ResponseReturnValue:
    """Let another checkpoint serve a modality."""
    modality, name = request.form.get("modality", ""), request.form.get("name", "")
    try:
        card = services().administration.detectors.activate(modality, name, actor=viewer().id)
    except (UnknownModalityError, WeightsError, EngineError) as error:
        flash(str(error), "error")
    else:
        flash(f"{title_of(modality)} is now judged by {card.name}.", "done")
    return redirect(url_for("admin.detectors"), 303)


@bp.post("/detectors/shadow")
@admin_only
def start_shadow() -> ResponseReturnValue:
    """Let a candidate judge new scans beside the active checkpoint; users do not see it."""
    modality, name = request.form.get("modality", ""), request.form.get("name", "")
    try:
        services().administration.detectors.start_shadow(modality, name, actor=viewer().id)
    except (UnknownModalityError, WeightsError, EngineError) as error:
        flash(str(error), "error")
    else:
        flash(f"{name} judges new scans in the shadow. Users do not see what it says.", "done")
    return redirect(url_for("admin.detectors"), 303)


@bp.post("/detectors/shadow/stop")
@admin_only
def stop_shadow() -> ResponseReturnValue:
    """End a shadow run."""
    try:
        services().administration.detectors.stop_shadow(
            request.form.get("modality", ""), actor=viewer().id
        )
    except UnknownModalityError as error:
        flash(str(error), "error")
    else:
        flash("The shadow run has ended; what it found stays here.", "done")
    return redirect(url_for("admin.detectors"), 303)


def _view(offer: Offer) -> DetectorView:
    service = services().administration.detectors
    return DetectorView(
        offer=offer,
        checkpoints=tuple(
            Checkpoint(
                name=candidate.name,
                card=candidate.card,
                figures=_figures(candidate.card),
                is_active=candidate.is_active,
                problem=candidate.problem,
            )
            for candidate in service.candidates(offer.spec.key)
        ),
        shadow=service.report(offer.spec.key),
    )


def _figures(card: Card | None) -> tuple[str, str, str]:
    auc, false_alarms, misses = (
        _value(card, name) for name in ("auc", "false_alarm_rate", "miss_rate")
    )
    return (
        "–" if auc is None else f"{auc:.3f}",
        "–" if false_alarms is None else f"{100 * false_alarms:.1f} %",
        "–" if misses is None else f"{100 * misses:.1f} %",
    )


def _value(card: Card | None, name: str) -> float | None:
    estimate = card.metrics.get(name) if card else None
    return estimate.value if estimate else None

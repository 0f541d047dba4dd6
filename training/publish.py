"""The last stage: choose the operating point, measure once on the test side, write the card."""

import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from app.detection.card import Card, Estimate
from app.detection.weights import LoadedDetector, active_checkpoint, load_detector
from app.errors import VeriscanError
from training.candidate import Candidate, checkpoint_bytes, trained_detector
from training.classifiers.calibration import calibrate
from training.data.manifest import LABELS
from training.errors import ActivationRefusedError, PublicationRefusedError
from training.evaluation.compare import PREDICTIONS_FILE, predictions_of, read_system
from training.evaluation.controls import sides_of
from training.evaluation.evaluation import Options, evaluate, write_evaluation
from training.evaluation.left_out import left_out_file, made_with, read_left_out
from training.evaluation.metrics import auc
from training.evaluation.paired import Comparison, compare_metrics
from training.evaluation.predict import predict
from training.evaluation.prediction_file import write_predictions
from training.evaluation.report import Report
from training.evaluation.robustness import Sample
from training.evaluation.slices import slices_of
from training.minimums import demands, missed
from training.shelf import Shelf
from training.tables import figure_text, p_value_text

SIGNIFICANT = 0.05
"""A p-value below this makes a difference count."""


def evaluate_candidate(
    candidate: Candidate, besides: Options | None = None
) -> tuple[LoadedDetector, bytes, Report]:
    """Calibrate on the validation side and measure on the test side.

    Both happen with the weights as they will be published, rounded to float16.

    Args:
        candidate: What was trained.
        besides: What to measure besides the test side as it is; nothing where None.

    Returns:
        The detector with its card, the checkpoint file and the report.

    Raises:
        StageMissingError: The system is not trained.
        TooFewScansError: The validation side is too small.
    """
    data = checkpoint_bytes(candidate)
    detector = trained_detector(candidate, data)
    index = candidate.scans[0].path.parent / "index"
    besides = besides or Options()
    validation = predict(
        detector,
        candidate.judged("validation"),
        index,
        task="judging validation",
        journal=besides.journal,
    )
    logits = np.array([row.logit for row in validation])
    labels = np.array([int(LABELS[row.label]) for row in validation])
    point = calibrate(logits, labels, max_error=candidate.config.max_error_outside_band)
    detector = replace(detector, card=replace(detector.card, operating_point=point))
    options = replace(
        besides,
        in_distribution=[f.generator for f in candidate.dataset.fakes],
        strict=True,
    )
    evaluation = evaluate(detector, candidate.judged("test"), index, options)
    write_evaluation(candidate.paths.evaluation_dir, evaluation, run=candidate.paths.root)
    measured = evaluation.report
    card = replace(
        detector.card,
        metrics=_card_metrics(measured, candidate),
        metrics_by_generator=dict(measured.auc_by_generator),
        slices=slices_of(measured),
    )
    return replace(detector, card=card), data, measured


@dataclass(frozen=True, slots=True, kw_only=True)
class Publication:
    """What came of a publication.

    Attributes:
        card: Of the weights.
        measured: On the test side.
        serves: Whether these weights serve their modality now.
        rival: How they stand against those that served, in words; empty where none did.
    """

    card: Card
    measured: Report
    serves: bool
    rival: str


def publish(
    candidate: Candidate,
    weights_dir: Path,
    *,
    activation: bool | None = None,
    sample: Sample | None = None,
) -> Publication:
    """Evaluate and, if the minimums are reached, write checkpoint and card.

    What is said of each scan is kept until the weights are published: a publication that was
    stopped or refused goes on from there when it is begun again.

    Args:
        candidate: What to publish.
        weights_dir: The folder that the application serves from.
        activation: Whether the weights are to serve their modality; where None they do unless
            they are worse than those that serve now, by a paired test on the test side.
        sample: Of the test side, for robustness; the usual one where None.

    Raises:
        ConfigError: A minimum is demanded of something that is no metric.
        PublicationRefusedError: A figure does not reach what the config demands, or figures of
            other settings or scans lie beside the run.
        ActivationRefusedError: The weights would replace those that serve without leave.
        RollbackError: What served before cannot be read.
    """
    if candidate.config.diagnosis is not None:
        raise PublicationRefusedError(["it learned a finding, not forgery"])
    demands(candidate.config)
    _require_current_left_out(candidate)
    shelf = Shelf(weights_dir, candidate.dataset.modality)
    shelf.served_before()  # damaged, it would stop the publication after all the measuring
    tested = candidate.judged("test")
    journals = candidate.paths.journals
    besides = Options(
        robustness=sample or Sample(), control_sides=sides_of(tested), journal=journals
    )
    detector, data, measured = evaluate_candidate(candidate, besides)
    if shortfalls := missed(candidate.config, candidate.paths):
        raise PublicationRefusedError(shortfalls)
    card = detector.card
    serving = shelf.serving()
    rival = None if activation is not None else _against_serving(candidate, weights_dir, card)
    serves = activation if activation is not None else rival is None or not rival.is_better
    if not serves and serving is not None and serving.name == card.name:
        reason = "it is not to be replaced" if rival is None else str(rival)
        raise ActivationRefusedError(card.name, reason)
    shelf.put(card, data)
    if serves:
        shelf.activate(card.name)
    shutil.rmtree(journals)
    return Publication(
        card=card, measured=measured, serves=serves, rival="" if rival is None else str(rival)
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rival:
    """The weights that serve, and how the candidate stands against them by AUC."""

    name: str
    comparison: Comparison

    @property
    def is_better(self) -> bool:
        gap, p_value = self.comparison.difference.value, self.comparison.p_value
        return gap is not None and gap < 0 and p_value is not None and p_value < SIGNIFICANT

    def __str__(self) -> str:
        relation = "worse than" if self.is_better else "not worse than"
        ours, theirs = self.comparison.second, self.comparison.first
        return (
            f"the new weights are {relation} {self.name} on the same test scans "
            f"(AUC {figure_text(ours)} against {figure_text(theirs)}, "
            f"p {p_value_text(self.comparison.p_value)})"
        )


def _against_serving(candidate: Candidate, weights_dir: Path, card: Card) -> _Rival | None:
    """Judge the candidate's test side with the weights that serve, unless none can."""
    try:
        serving = load_detector(active_checkpoint(weights_dir, card.modality))
    except VeriscanError:
        return None
    if serving.card.sha256 == card.sha256:
        return None
    folder = candidate.paths.evaluation_dir
    index = candidate.scans[0].path.parent / "index"
    test = candidate.judged("test")
    task = "judging with the serving weights"
    rows = predict(serving, test, index, task=task, journal=candidate.paths.journals)
    write_predictions(folder / "serving" / PREDICTIONS_FILE, rows)
    systems = [
        read_system("serving", folder / "serving" / PREDICTIONS_FILE),
        read_system("candidate", folder / PREDICTIONS_FILE),
    ]
    theirs, ours = (predictions_of(system, sorted(systems[0].rows)) for system in systems)
    comparison = compare_metrics(theirs, ours, {"auc": auc})["auc"]
    return _Rival(name=serving.card.name, comparison=comparison)


def _require_current_left_out(candidate: Candidate) -> None:
    """Make sure that no figures of another network reach the card."""
    file = left_out_file(candidate.paths)
    if not file.exists():
        return
    if read_left_out(file).made_with != made_with(candidate.config, candidate.scans):
        command = f"python -m training leave-one-out --system {candidate.config.name}"
        raise PublicationRefusedError(
            [f"{file} was measured with other settings or scans (run `{command}`, or delete it)"]
        )


def _card_metrics(measured: Report, candidate: Candidate) -> dict[str, Estimate]:
    figures = dict(measured.metrics)
    figures |= {f"pointing_game_{k}": v for k, v in measured.pointing_game.items()}
    figures |= {f"pointing_{k}": v for k, v in measured.pointing_by_verdict.items()}
    figures |= {f"patch_auc_{k}": v for k, v in measured.patch_auc.items()}
    figures |= {f"false_alarm_rate_{k}": v for k, v in measured.false_alarms_by_source.items()}
    if measured.robustness:
        figures["robustness_worst_fall"] = measured.robustness.worst_fall
    if (file := left_out_file(candidate.paths)).exists():
        left_out = read_left_out(file)
        figures["logo_worst_auc"] = left_out.logo_worst_auc
        figures["loso_worst_false_alarm_rate"] = left_out.loso_worst_false_alarm_rate
    return figures

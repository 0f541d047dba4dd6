"""A row of documents 000 to 003: real against fake, measured as the documents do.

That is on the test side, with the network's own threshold of one half, without calibration.
"""

from app.detection.card import Estimate
from training.data.manifest import on_side
from training.data.selection import scans_for
from training.evaluation.predict import predict
from training.evaluation.prediction_file import write_predictions
from training.evaluation.report import Report, report, write_report
from training.reproduction.laboratory import Laboratory, Setting
from training.reproduction.outcome import Outcome, cut_in_words, folder_of


def reproduce_forgery(setting: Setting, laboratory: Laboratory) -> Outcome:
    """Train a system where it is not trained, and measure it on its test side.

    Raises:
        TrainingError: A stage failed.
    """
    scans = laboratory.scans(setting.dataset)
    shortcut = laboratory.shortcut(setting, scans)
    detector = laboratory.train(setting, scans)
    test = on_side(scans_for(setting.system, scans), "test")
    rows = predict(detector, test, scans[0].path.parent / "index", task="judging test")
    own = [fakes.generator for fakes in setting.dataset.fakes]
    measured = report(rows, detector.card, in_distribution=own)
    paths = laboratory.system_paths(setting.system)
    write_predictions(folder_of(paths) / "predictions.csv", rows)
    write_report(folder_of(paths), measured, detector.card)
    return Outcome(
        figures=dict(measured.metrics) | _of_foreign(measured, own),
        begins_from=detector.card.training["initialisation"],
        cut=cut_in_words(setting, laboratory.budget),
        shortcut=shortcut,
    )


def _of_foreign(measured: Report, own: list[str]) -> dict[str, Estimate]:
    """Return the AUC of generators that nothing was trained on."""
    foreign = measured.auc_by_generator.items()
    return {f"auc_{name}": figure for name, figure in foreign if name not in own}

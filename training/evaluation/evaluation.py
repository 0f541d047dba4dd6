"""An evaluation from its beginning to its end: judge, measure, write the files of a report."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from app.detection.weights import LoadedDetector
from training.data.manifest import Scan
from training.errors import TooFewScansError
from training.evaluation.controls import control_rows, controls
from training.evaluation.examples import Example, examples
from training.evaluation.page import write_report_page
from training.evaluation.predict import Skipped, below, judge, refuse_skipped
from training.evaluation.prediction_file import Prediction, write_predictions
from training.evaluation.report import Report, report, verdicts_of, write_report
from training.evaluation.robustness import Sample, robustness, robustness_rows


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What is measured besides the scans as they are.

    Attributes:
        in_distribution: Generators whose fakes count in the overall figures; all where empty.
        robustness: The sample that is changed and judged again; None for none.
        control_sides: Resolutions, as pixels of the longer side, through which authentic scans are
            sent to stand against whole synthetic images.
        examples: Hits and misses of each kind that the page shows, at most.
        strict: Whether a scan that cannot be used is an error, as suits scans that ``prepare`` has
            read before; otherwise it is skipped and listed.
        journal: Folder where what is said of each scan is kept as it is said, so that the same
            evaluation, begun again, goes on; nothing is kept where None.
    """

    in_distribution: Sequence[str] = ()
    robustness: Sample | None = None
    control_sides: Sequence[int] = ()
    examples: int = 3
    strict: bool = False
    journal: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """Everything that came of judging a set of scans.

    Attributes:
        detector: That judged them.
        rows: The prediction file.
        changed: Rows of the scans that were changed or coarsened; each says how.
        report: The figures.
        examples: Hits and misses by kind.
    """

    detector: LoadedDetector
    rows: list[Prediction]
    changed: list[Prediction]
    report: Report
    examples: dict[str, list[Example]]


def evaluate(
    detector: LoadedDetector,
    scans: Sequence[Scan],
    manifest: Path,
    options: Options | None = None,
) -> Evaluation:
    """Judge scans and compute every figure.

    Args:
        detector: The network and its card.
        scans: What to judge. Damaged images are skipped and listed.
        manifest: The file that names them; paths are given relative to its folder.
        options: What to measure besides.

    Raises:
        TooFewScansError: No scan could be judged.
        ManifestError: A scan cannot be used, and each must be.
    """
    options = options or Options()
    judged = judge(detector, scans, manifest, journal=options.journal)
    if options.strict:
        refuse_skipped(judged, manifest)
    if not judged.rows:
        raise TooFewScansError(_nothing_judged(judged.skipped))
    measured = report(judged.rows, detector.card, in_distribution=options.in_distribution)
    measured = replace(measured, skipped=judged.skipped)
    readable = {row.path for row in judged.rows}
    usable = [scan for scan in scans if below(manifest, scan) in readable]
    changed: list[Prediction] = []
    if options.robustness:
        changed = robustness_rows(
            detector, usable, manifest, options.robustness, journal=options.journal
        )
        measured = replace(measured, robustness=robustness(changed, detector.card))
    if options.control_sides:
        coarse = control_rows(
            detector, usable, manifest, options.control_sides, journal=options.journal
        )
        measured = replace(
            measured,
            controls=controls(coarse, judged.rows, detector.card),
            verdicts={**measured.verdicts, **verdicts_of(coarse)},
        )
        changed = [*changed, *coarse]
    return Evaluation(
        detector=detector,
        rows=judged.rows,
        changed=changed,
        report=measured,
        examples=examples(detector, usable, judged.rows, manifest, each=options.examples),
    )


def write_evaluation(folder: Path, evaluation: Evaluation, *, run: Path | None = None) -> None:
    """Write ``metrics.json``, ``predictions.csv`` and ``report.html``.

    What was said of changed scans goes to ``changed_predictions.csv``. The page holds pictures of
    scans: keep it out of the repository.

    Args:
        folder: Is made where it is missing.
        evaluation: Of ``evaluate``.
        run: Folder of the training run, whose history gives the curves.
    """
    card = evaluation.detector.card
    write_predictions(folder / "predictions.csv", evaluation.rows)
    changed = folder / "changed_predictions.csv"
    if evaluation.changed:
        write_predictions(changed, evaluation.changed)
    else:
        changed.unlink(missing_ok=True)
    write_report(folder, evaluation.report, card)
    write_report_page(
        folder / "report.html",
        evaluation.report,
        evaluation.rows,
        card,
        examples=evaluation.examples,
        history=read_history(run) if run else [],
    )


def read_history(run: Path) -> list[dict[str, Any]]:
    """Return the epochs of a run, phase after phase; empty where none is written down.

    Args:
        run: Of one system, with a folder ``phase0``, ``phase1`` … each. Of a phase of several
            members, the first one's epochs count.
    """
    rows: list[dict[str, Any]] = []
    for file in sorted(run.glob("phase*/history.jsonl"), key=lambda f: (len(f.parent.name), f)):
        epochs: dict[int, dict[str, Any]] = {}
        for line in file.read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            epochs[row.get("epoch", len(epochs))] = row  # a resumed run may repeat an epoch
        rows += [epochs[number] for number in sorted(epochs)]
    return rows


def _nothing_judged(skipped: Sequence[Skipped]) -> str:
    first = f" The first: {skipped[0].path}: {skipped[0].reason}" if skipped else ""
    return f"None of the {len(skipped)} images could be read.{first}"

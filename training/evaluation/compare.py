"""Systems side by side on the same scans, computed from their prediction files alone."""

import csv
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from app.detection.card import read_card
from training.classifiers.calibration import THRESHOLD
from training.data.manifest import LABELS
from training.errors import PredictionsError, ScansDifferError
from training.evaluation.metrics import METRICS, Predictions
from training.evaluation.paired import Comparison, McNemar, compare_metrics, mcnemar
from training.evaluation.prediction_file import Prediction, read_predictions
from training.runs import system_paths
from training.tables import figure_text, markdown_table, p_value_text

PREDICTIONS_FILE = "predictions.csv"


@dataclass(frozen=True, slots=True)
class System:
    """A detector to compare.

    Attributes:
        name: As the developer called it.
        rows: Of its prediction file, by the scan's path.
    """

    name: str
    rows: dict[str, Prediction]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """A detector against the first one.

    Attributes:
        first: Name of the first.
        second: Name of the other.
        metrics: Over all scans, by name.
        auc_by_generator: Of each generator's fakes against all authentic scans.
        mcnemar: Over all scans.
    """

    first: str
    second: str
    metrics: dict[str, Comparison]
    auc_by_generator: dict[str, Comparison]
    mcnemar: McNemar

    def comparisons(self) -> Iterator[tuple[str, Comparison]]:
        """Yield every comparison with its name as it is shown."""
        yield from self.metrics.items()
        for generator, comparison in self.auc_by_generator.items():
            yield f"auc, {generator}", comparison


def find_system(run: str, runs_dir: Path) -> System:
    """Find and read a system's prediction file.

    Args:
        run: Name of a system below ``runs_dir``, ``weights/<modality>/<name>``, or a prediction
            file or its folder.
        runs_dir: Where the stages keep what they make.

    Raises:
        PredictionsError: There is no such file, it is not one, or it was made by other weights.
    """
    path = Path(run)
    if path.is_file() and path.suffix == ".csv":
        return read_system(run, path)
    if (path / PREDICTIONS_FILE).is_file():
        return read_system(run, path / PREDICTIONS_FILE)
    card = path.with_name(f"{path.name.removesuffix('.safetensors').removesuffix('.json')}.json")
    if card.is_file():
        return read_system(run, _predictions_of_weights(card, runs_dir))
    predictions = system_paths(runs_dir, run).evaluation_dir / PREDICTIONS_FILE
    if not predictions.is_file():
        raise PredictionsError(
            run,
            f"there is no {predictions}. Name a system that was evaluated, published weights as "
            "weights/<modality>/<name>, or a prediction file",
        )
    return read_system(run, predictions)


def _predictions_of_weights(card_path: Path, runs_dir: Path) -> Path:
    """Return what these very weights said of their test side when they were published."""
    card = read_card(card_path)
    folder = system_paths(runs_dir, str(card.training.get("system", ""))).evaluation_dir
    how = (
        "measure them with `python -m training evaluate` and name its predictions.csv, for each "
        "system on the same manifest"
    )
    try:
        measured = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise PredictionsError(str(card_path), f"{folder} has no evaluation; {how}") from None
    if measured["detector"]["sha256"] != card.sha256:
        raise PredictionsError(str(card_path), f"{folder} is of other weights; {how}")
    return folder / PREDICTIONS_FILE


def read_system(name: str, path: Path) -> System:
    """Read a prediction file.

    Raises:
        PredictionsError: It cannot be used, or a scan stands there twice.
    """
    rows: dict[str, Prediction] = {}
    for number, row in enumerate(read_predictions(path), start=2):
        if row.path in rows:
            raise PredictionsError(str(path), f"row {number}: {row.path!r} stands there twice")
        if row.label not in LABELS:
            problem = f"row {number}: label {row.label!r} is not real or fake"
            raise PredictionsError(str(path), problem)
        if not 0 <= row.probability <= 1:
            problem = f"row {number}: probability {row.probability} is not within 0 and 1"
            raise PredictionsError(str(path), problem)
        rows[row.path] = row
    if not rows:
        raise PredictionsError(str(path), "there is no scan in it")
    return System(name, rows)


def compare_systems(systems: Sequence[System], *, rounds: int | None = None) -> list[Pair]:
    """Compare each system with the first one.

    Raises:
        ScansDifferError: They were not measured on the same scans.
    """
    first, *others = systems
    for other in others:
        _check_same_scans(first, other)
    order = sorted(first.rows)
    return [_pair(first, other, order, rounds) for other in others]


def _check_same_scans(first: System, other: System) -> None:
    for one, lacking in ((first, other), (other, first)):
        if missing := [path for path in one.rows if path not in lacking.rows]:
            raise ScansDifferError(
                missing[0], len(missing), there=one.name, missing_in=lacking.name
            )
    for path, row in first.rows.items():
        theirs = other.rows[path]
        if (row.label, row.person) != (theirs.label, theirs.person):
            problem = (
                f"{path!r} is {theirs.label}, of {theirs.person}; "
                f"{first.name} says {row.label}, of {row.person}"
            )
            raise PredictionsError(other.name, problem)


def _pair(first: System, other: System, order: Sequence[str], rounds: int | None) -> Pair:
    whole = predictions_of(first, order), predictions_of(other, order)
    reals = [path for path in order if first.rows[path].label == "real"]
    by_generator: dict[str, list[str]] = {}
    for path in order:
        if first.rows[path].label != "real":
            by_generator.setdefault(first.rows[path].generator, []).append(path)
    return Pair(
        first=first.name,
        second=other.name,
        metrics=compare_metrics(*whole, rounds=rounds),
        auc_by_generator={
            generator: compare_metrics(
                predictions_of(first, [*reals, *fakes]),
                predictions_of(other, [*reals, *fakes]),
                {"auc": METRICS["auc"]},
                rounds=rounds,
            )["auc"]
            for generator, fakes in sorted(by_generator.items())
        },
        mcnemar=mcnemar(*whole),
    )


def predictions_of(system: System, order: Sequence[str]) -> Predictions:
    """Return what a system said of these scans, in this order."""
    rows = [system.rows[path] for path in order]
    return Predictions(
        labels=np.array([int(LABELS[row.label]) for row in rows], dtype=np.int64),
        probabilities=np.array([row.probability for row in rows], dtype=np.float64),
        verdicts=np.array([row.verdict for row in rows], dtype=np.str_),
        people=np.array([row.person for row in rows], dtype=np.str_),
        threshold=THRESHOLD,
    )


def comparison_markdown(pairs: Sequence[Pair]) -> str:
    """Return the tables, one a pair."""
    parts = []
    for pair in pairs:
        rows = [
            [
                name,
                figure_text(c.first),
                figure_text(c.second),
                figure_text(c.difference, signed=True),
                p_value_text(c.p_value),
                c.test,
            ]
            for name, c in pair.comparisons()
        ]
        head = ["metric", pair.first, pair.second, "difference", "p", "test"]
        parts.append(markdown_table(head, rows) + "\n" + _mcnemar_text(pair))
    return "\n".join(parts) + f"\n{EXPLANATION}\n"


EXPLANATION = (
    "Differences are the second system less the first. Intervals are 95 %, from a bootstrap that "
    "draws the same patients for both. p: DeLong's test with patients as clusters, or a "
    "permutation test that swaps what both said of a patient; not corrected for how many "
    "figures are compared."
)


def _mcnemar_text(pair: Pair) -> str:
    m = pair.mcnemar
    return (
        f"Right on one side of the threshold only: {pair.first} on {m.only_first} scans, "
        f"{pair.second} on {m.only_second} (McNemar p {p_value_text(m.p_value)}).\n"
    )


def write_comparison(folder: Path, pairs: Sequence[Pair]) -> None:
    """Write ``comparison.json``, ``comparison.csv`` and ``comparison.md``."""
    folder.mkdir(parents=True, exist_ok=True)
    content = json.dumps([asdict(p) for p in pairs], indent=2, ensure_ascii=False, allow_nan=False)
    (folder / "comparison.json").write_text(content + "\n", encoding="utf-8")
    (folder / "comparison.md").write_text(comparison_markdown(pairs), encoding="utf-8")
    with (folder / "comparison.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(next(_csv_rows(pairs))))
        writer.writeheader()
        writer.writerows(_csv_rows(pairs))


def _csv_rows(pairs: Sequence[Pair]) -> Iterator[dict[str, object]]:
    for pair in pairs:
        for metric, c in pair.comparisons():
            row: dict[str, object] = {"first": pair.first, "second": pair.second, "metric": metric}
            for name in ("first", "second", "difference"):
                figure = getattr(c, name)
                row |= {
                    f"{name}_value": figure.value,
                    f"{name}_low": figure.low,
                    f"{name}_high": figure.high,
                }
            yield row | {"p_value": c.p_value, "test": c.test}

"""The table: our figures beside the published ones, as Markdown and JSON."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from app.detection.card import Estimate
from training.reproduction.outcome import Outcome
from training.reproduction.run import Result
from training.runs import write_whole
from training.tables import NOTHING, figure_text, markdown_table

ACCURACY_DROP_FIGURES = (
    "accuracy",
    "accuracy_on_fakes",
    "fall",
    "accuracy_at_low_resolution",
)
AS_DOCUMENTED = "as documented"
INTRODUCTION = (
    "Our figures are of patients that nothing was trained on, with 95 % intervals from a bootstrap "
    "over patients, at a threshold of one half. The published ones are on other data."
)


def reproduction_markdown(results: Sequence[Result]) -> str:
    """Return the tables of systems that tell forgeries and of the accuracy drop, and remarks."""
    by_experiment = {
        name: [r for r in results if r.row.experiment == name]
        for name in ("forgery", "accuracy_drop")
    }
    parts = [f"{INTRODUCTION}\n"]
    if rows := by_experiment["forgery"]:
        parts += ["## Real against fake\n", _accuracies(rows), _per_class(rows)]
    if rows := by_experiment["accuracy_drop"]:
        parts += ["## Accuracy drop\n", _drops(rows)]
    parts += ["## What was cut, and why figures differ\n", _remarks(results)]
    return "\n".join(part for part in parts if part)


def _accuracies(results: Sequence[Result]) -> str:
    head = ["document", "system", "published", "accuracy here", "AUC here", "AUC, foreign fakes"]
    return markdown_table(
        head,
        [
            [
                result.row.document,
                result.row.title,
                _published(result, "accuracy"),
                _ours(result, "accuracy"),
                _ours(result, "auc"),
                _foreign(result),
            ]
            for result in results
        ],
    )


def _per_class(results: Sequence[Result]) -> str:
    """Return precision, recall and F1 where they are published."""
    lines = [
        [
            result.row.document,
            result.row.title,
            metric.replace("_", ", "),
            _published(result, metric),
            _ours(result, metric),
        ]
        for result in results
        for metric in result.row.published
        if metric != "accuracy"
    ]
    head = ["document", "system", "figure", "published", "here"]
    return markdown_table(head, lines) if lines else ""


def _drops(results: Sequence[Result]) -> str:
    head = [
        "document",
        "system",
        "published",
        "accuracy here",
        "on fakes",
        "fall",
        "authentic at the fakes' resolution",
    ]
    return markdown_table(
        head,
        [
            [
                result.row.document,
                result.row.title,
                " → ".join(
                    _published(result, name)
                    for name in ("accuracy", "accuracy_on_fakes")
                    if name in result.row.published
                )
                or NOTHING,
                *(_ours(result, name) for name in ACCURACY_DROP_FIGURES),
            ]
            for result in results
        ],
    )


def drop_table(outcomes: Mapping[str, Outcome]) -> str:
    """Return the table of an accuracy drop without published figures, a row a system."""
    head = ["system", "accuracy", "on fakes", "fall", "authentic at the fakes' resolution"]
    return markdown_table(
        head,
        [
            [name, *(figure_text(outcome.figures[f]) for f in ACCURACY_DROP_FIGURES)]
            for name, outcome in outcomes.items()
        ],
    )


def _remarks(results: Iterable[Result]) -> str:
    head = ["document", "system", "training here", "begins from", "remark"]
    return markdown_table(
        head,
        [
            [
                result.row.document,
                result.row.title,
                (result.outcome.cut or AS_DOCUMENTED) if result.outcome else "failed",
                result.outcome.begins_from if result.outcome else NOTHING,
                _remark(result),
            ]
            for result in results
        ],
    )


def _remark(result: Result) -> str:
    if result.outcome is None:
        return f"Failed: {_one_line(result.failure)}"
    if not result.outcome.shortcut:
        return result.row.remark
    shortcut = _one_line(result.outcome.shortcut)
    return f"{result.row.remark} The classes can be told apart without the anatomy: {shortcut}."


def _published(result: Result, metric: str) -> str:
    figure = result.row.published.get(metric)
    return NOTHING if figure is None else f"{figure:.3f}"


def _ours(result: Result, metric: str) -> str:
    if result.outcome is None:
        return "failed"
    return figure_text(result.outcome.figures.get(metric, Estimate(value=None)))


def _foreign(result: Result) -> str:
    """Return the AUC of each generator that nothing was trained on."""
    if result.outcome is None:
        return "failed"
    figures = result.outcome.figures.items()
    foreign = {name.removeprefix("auc_"): f for name, f in figures if name.startswith("auc_")}
    return ", ".join(f"{name} {figure_text(figure)}" for name, figure in foreign.items()) or NOTHING


def _one_line(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def write_table(folder: Path, results: Sequence[Result], *, budget: Mapping[str, Any]) -> None:
    """Write ``reproduction.json`` and ``reproduction.md``; the same results give the same files."""
    rows = [
        asdict(result.row)
        | {"failure": result.failure}
        | {"here": asdict(result.outcome) if result.outcome else None}
        for result in results
    ]
    content = json.dumps(
        {"budget": budget, "rows": rows}, indent=2, ensure_ascii=False, allow_nan=False
    )
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(folder / "reproduction.json", f"{content}\n".encode())
    write_whole(folder / "reproduction.md", reproduction_markdown(results).encode())

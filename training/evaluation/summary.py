"""What an evaluation's figures mean, in plain sentences."""

from collections.abc import Mapping

from app.detection.card import Estimate
from training.evaluation.report import Report

RARE = 1000
"""Forgeries are rare: one scan in so many is supposed where the worth of an alarm is told."""


def summary(report: Report) -> list[str]:
    """Say in plain sentences what the figures mean."""
    sentences = [
        _of_100(report.confusion, "real", "authentic scans"),
        _of_100(report.confusion, "fake", "fakes"),
        _of_rare_fakes(report.confusion),
    ]
    hardest = _worst(report.auc_by_generator, lowest=True)
    if hardest and len(report.auc_by_generator) > 1:
        name, figure = hardest
        sentences.append(f"Hardest are the fakes of {name} (AUC {text_of(figure)}).")
    loudest = _worst(report.false_alarms_by_source, lowest=False)
    if loudest and len(report.false_alarms_by_source) > 1 and loudest[1].value:
        name, figure = loudest
        sentences.append(f"Most false alarms come from {name} ({percent_of(figure)} of its scans).")
    if report.robustness:
        sentences.append(_of_the_worst_fall(report.robustness.worst_fall))
    return [sentence for sentence in sentences if sentence]


def _of_the_worst_fall(fall: Estimate) -> str:
    if fall.value is None:
        return ""
    points = 100 * fall.value
    if points < 0.05:
        return "None of the everyday changes to a file costs balanced accuracy."
    change = fall.note.partition(";")[0]
    return (
        f"Of the everyday changes to a file, “{change}” costs most: "
        f"{points:.1f} points of balanced accuracy."
    )


def _of_100(confusion: Mapping[str, int], label: str, noun: str) -> str:
    called, unsure, cleared = (
        confusion.get(f"{label} called {verdict}", 0)
        for verdict in ("fake", "inconclusive", "real")
    )
    total = called + unsure + cleared
    if not total:
        return f"There are no {noun} among these scans."
    return (
        f"Of 100 {noun}, {100 * called / total:.0f} are called fake, "
        f"{100 * cleared / total:.0f} authentic, and {100 * unsure / total:.0f} get no verdict."
    )


def _of_rare_fakes(confusion: Mapping[str, int]) -> str:
    """Say what an alarm is worth where hardly any scan is forged: the positive predictive value."""
    rates = []
    for label in ("fake", "real"):
        group = {k: count for k, count in confusion.items() if k.startswith(f"{label} ")}
        if not group:
            return ""
        rates.append(group.get(f"{label} called fake", 0) / sum(group.values()))
    found, false_alarms = rates
    if not false_alarms:
        return (
            "No authentic scan is called fake: too few were judged to say what an alarm is worth "
            "where forgeries are rare."
        )
    right = found / (found + (RARE - 1) * false_alarms)
    return (
        f"If one scan in {RARE:,} were forged, {100 * right:.1f} of 100 scans that are called fake "
        "would be."
    )


def _worst(table: Mapping[str, Estimate], *, lowest: bool) -> tuple[str, Estimate] | None:
    known = {name: figure for name, figure in table.items() if figure.value is not None}
    if not known:
        return None
    choose = min if lowest else max
    name = choose(known, key=lambda key: known[key].value or 0.0)
    return name, known[name]


def text_of(figure: Estimate) -> str:
    """Return a figure to three places, or a dash where it is undefined."""
    return "–" if figure.value is None else f"{figure.value:.3f}"


def percent_of(figure: Estimate) -> str:
    """Return a share as a percentage to one place, or a dash where it is undefined."""
    return (
        "–" if figure.value is None else f"{figure.value:.1%}".replace("%", "\N{NO-BREAK SPACE}%")
    )

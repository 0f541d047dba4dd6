"""What was checked beside the score: the kind of image, and whether the verdict holds."""

from dataclasses import dataclass

from app.detection.gate_card import GateCard
from app.detection.reasons import tried_variants
from app.detection.verdict import Finding
from app.web.wording import gate_words, in_figures, of_hundred, stability_words, whole_interval


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One check and what it found.

    Attributes:
        title: What was checked.
        words: What was found.
        icon: Name of the icon that goes with it.
        notes: What is to be known besides, a sentence each.
    """

    title: str
    words: str
    icon: str
    notes: tuple[str, ...] = ()


def checks_of(finding: Finding, noun: str, gate_card: GateCard | None) -> list[Check]:
    """Return the checks of a scan.

    Args:
        finding: What was found in the scan.
        noun: What the scan is called in a sentence, such as ``lung CT slice``.
        gate_card: Of the gate that serves; speaks only if it is the one that was asked.
    """
    gate = finding.gate
    is_of_this_gate = gate is not None and gate_card is not None and gate.sha256 == gate_card.sha256
    looks = Check(
        title="Is it the right kind of image?",
        words=_sentence(gate_words(gate, noun)),
        icon=_icon(None if gate is None else gate.looks_right),
        notes=_gate_notes(gate_card) if is_of_this_gate and gate_card else (),
    )
    if finding.probability_fake is None:
        return [looks]
    stability = finding.stability
    holds = Check(
        title="Does the verdict hold?",
        words=_sentence(stability_words(stability)),
        icon="not_judged"
        if stability is None
        else "real"
        if stability.is_stable
        else "inconclusive",
        notes=_variant_notes(finding),
    )
    return [looks, holds]


def _variant_notes(finding: Finding) -> tuple[str, ...]:
    """Say what each variant of the scan got."""
    if finding.stability is None:
        return ()
    notes = (
        f"{tried.done[0].upper()}{tried.done[1:]}: {'turns' if tried.is_turned else 'holds'}, "
        f"score {in_figures(tried.probability)}."
        for tried in tried_variants(finding, finding.stability)
    )
    limit = in_figures(finding.threshold)
    return (*notes, f"A variant turns the verdict if its score lies on the other side of {limit}.")


def _gate_notes(card: GateCard) -> tuple[str, ...]:
    stopped = card.wrongly_stopped.get("authentic scans")
    if stopped is None or stopped.value is None:
        return ()
    interval = whole_interval(stopped)
    return (
        f"Of 100 authentic scans this check stops {of_hundred(stopped.value)} by mistake"
        f"{f' (95 % interval {interval})' if interval else ''}.",
    )


def _icon(is_good: bool | None) -> str:
    return "not_judged" if is_good is None else "real" if is_good else "inconclusive"


def _sentence(words: str) -> str:
    return f"{words[0].upper()}{words[1:]}."

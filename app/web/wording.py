"""Verdicts in words: the only place that says to a clinician what a verdict means."""

import math
from dataclasses import dataclass

from app.detection.card import Card, Estimate
from app.detection.labels import Verdict
from app.detection.verdict import Finding, GateFinding, StabilityFinding
from app.records import Analysis, AnalysisStatus, Outcome

NEARLY_ALL = 0.995
HARDLY_ANY = 0.005


@dataclass(frozen=True, slots=True)
class Badge:
    """A verdict or a state in a word, with its icon and its colour.

    Attributes:
        tone: Ending of the CSS class: a verdict, ``waiting`` or ``failed``.
        icon: Name of the icon, different for each, so colour is never the only sign.
    """

    label: str
    tone: str
    icon: str


@dataclass(frozen=True, slots=True)
class Headline:
    """The verdict as a sentence, with the word that counts.

    Attributes:
        before: The sentence up to the word that counts.
        key: The word that counts.
        after: The rest of the sentence.
        advice: What to do now.
    """

    before: str
    key: str
    after: str
    advice: str


LABELS = {
    Verdict.REAL: "Authentic",
    Verdict.FAKE: "Deepfake",
    Verdict.INCONCLUSIVE: "Inconclusive",
    Verdict.NOT_JUDGED: "Not judged",
}
STATES = {
    AnalysisStatus.QUEUED: Badge("Waiting", "waiting", "waiting"),
    AnalysisStatus.RUNNING: Badge("Running", "waiting", "waiting"),
    AnalysisStatus.FAILED: Badge("Failed", "failed", "failed"),
}

OUTCOMES = {
    **{
        Outcome(verdict.value): Badge(label, verdict.value, verdict.value)
        for verdict, label in LABELS.items()
    },
    Outcome.WAITING: Badge("Waiting or running", "waiting", "waiting"),
    Outcome.FAILED: STATES[AnalysisStatus.FAILED],
}


def badge_of(analysis: Analysis) -> Badge:
    """Return how far an analysis is, or its verdict."""
    if analysis.finding is None:
        return STATES.get(analysis.status, STATES[AnalysisStatus.FAILED])
    return badge_of_verdict(analysis.finding.verdict)


def badge_of_verdict(verdict: Verdict) -> Badge:
    """Return a verdict as a badge."""
    return Badge(LABELS[verdict], verdict.value, verdict.value)


def headline(verdict: Verdict, noun: str) -> Headline:
    """Return the verdict on a scan as a sentence.

    Args:
        verdict: What the scan got.
        noun: What the scan is called in a sentence, such as ``lung CT slice``.
    """
    if verdict is Verdict.REAL:
        return Headline(
            f"This {noun} appears ",
            "authentic",
            ".",
            "The detector found nothing that points to synthesis or tampering. It does not know "
            "every way of making fakes, so keep to your usual checks.",
        )
    if verdict is Verdict.FAKE:
        return Headline(
            f"This {noun} appears to be a ",
            "deepfake",
            ".",
            "Do not rely on this image. Compare it with the original in the archive, and tell "
            "whoever looks after image integrity.",
        )
    if verdict is Verdict.INCONCLUSIVE:
        return Headline(
            "",
            "Inconclusive",
            f": the detector cannot tell whether this {noun} is authentic.",
            "Treat it as unchecked: this result speaks neither for the scan nor against it.",
        )
    return Headline(
        "This image ",
        "could not be judged",
        f" as a {noun}.",
        "Check that you chose the right kind of scan and that the image shows nothing else.",
    )


def certainty(finding: Finding) -> str:
    """Say what the calibrated probability means, in natural frequencies; nothing without one.

    People, clinicians among them, read "9 of 100" more reliably than "9 %" (Gigerenzer and
    Hoffrage, "How to Improve Bayesian Reasoning Without Instruction", 1995).
    """
    if finding.probability_fake is None:
        return ""
    if finding.stability is not None and not finding.stability.is_stable:
        return (
            "Not at all: this score alone would give a verdict, but it does not hold when the scan "
            "is changed in ways that make no difference."
        )
    if finding.verdict is Verdict.REAL:
        share, what = 1 - finding.probability_fake, "authentic"
    else:
        share, what = finding.probability_fake, "deepfakes"
    return (
        f"If half of all scans that are checked were fake, {of_hundred(share)} of 100 scans with "
        f"a score like this one would be {what}."
    )


def meaning(verdict: Verdict, card: Card) -> str:
    """Say how often a verdict like this one is wrong, or how often there is none.

    Returns:
        A sentence on scans like those of the card's test side; empty where it was not measured.
    """
    metric, scans, outcome = {
        Verdict.FAKE: ("false_alarm_rate", "authentic scans", "would be called fake"),
        Verdict.REAL: ("miss_rate", "fakes", "would be called authentic"),
    }.get(verdict, ("coverage", "scans", "would get no verdict"))
    estimate = card.metrics.get(metric)
    if estimate is None or estimate.value is None or verdict is Verdict.NOT_JUDGED:
        return ""
    if verdict is Verdict.INCONCLUSIVE:
        estimate = estimate.complement()
    return (
        f"Of 100 {scans} like those that the detector was measured on, "
        f"{of_hundred(estimate.value or 0.0)} {outcome}."
    )


def gate_words(gate: GateFinding | None, noun: str) -> str:
    """Say what the gate found.

    Args:
        gate: What it found; None where there is none.
        noun: What the scan is called in a sentence, such as ``lung CT slice``.
    """
    if gate is None:
        return f"not checked: there is no gate that tells a {noun} from other images"
    likeness, threshold = (min(value, 0.999) for value in (gate.likeness, gate.threshold))
    figures = f"likeness {likeness:.3f}, at least {threshold:.3f} is asked for"
    if gate.looks_right:
        return f"looks like a {noun} ({figures})"
    if gate.is_overridden:
        return f"does not look like a {noun} ({figures}); judged at its sender's request"
    return f"does not look like a {noun} ({figures})"


def stability_words(stability: StabilityFinding | None) -> str:
    """Say whether the verdict held for variants of the scan; None where none were tried."""
    if stability is None:
        return "not tried, since the scan's own score gives no verdict"
    count = len(stability.probabilities)
    if stability.is_stable:
        return f"the verdict held for {count} harmless variants of the scan"
    return f"the verdict did not hold for {count} harmless variants of the scan"


def in_figures(score: float) -> str:
    """Write a score in [0, 1], never rounded to a certainty that it is not."""
    if 0.9995 <= score < 1:
        return "above 0.999"
    if 0 < score < 0.0005:
        return "below 0.001"
    return f"{score:.3f}".rstrip("0").rstrip(".")


def band_in_words(band: tuple[float, float]) -> str:
    """Say which scores get a verdict, from the ends of those that get none."""
    low, high = band
    return f"authentic below {in_figures(low)}, deepfake above {in_figures(high)}"


def of_hundred(share: float) -> str:
    """Write a share in [0, 1] as a number of 100, without a false "none" or "all"."""
    if share >= NEARLY_ALL:
        return "all" if share == 1 else "more than 99"
    if share < HARDLY_ANY:
        return "none" if share == 0 else "fewer than 1"
    return f"about {share * 100:.0f}"


def whole_interval(estimate: Estimate) -> str:
    """Write the interval of a share as numbers of 100, such as ``2 to 8``; empty without one."""
    if estimate.low is None or estimate.high is None:
        return ""
    # Rounded outwards, so that the interval never promises more than was measured.
    low, high = math.floor(estimate.low * 100 + 1e-9), math.ceil(estimate.high * 100 - 1e-9)
    return f"{low} to {high}"


def scans_behind(estimate: Estimate) -> str:
    """Say on how many scans a figure stands; empty where its note does not."""
    first = estimate.note.split(";")[0]
    return first.removesuffix(" or synthetic scans") if " scans of " in first else ""


def hounsfield(value: float) -> str:
    """Write a value in Hounsfield units, such as ``−600 HU``."""
    return f"{value:.0f} HU".replace("-", "−")

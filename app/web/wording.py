"""Verdicts in words: the only place that says to a clinician what a verdict means."""

from dataclasses import dataclass

from app.detection.labels import Verdict
from app.detection.verdict import Finding, GateFinding, StabilityFinding
from app.records import Analysis, AnalysisStatus

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


def badge_of(analysis: Analysis) -> Badge:
    """Return how far an analysis is, or its verdict."""
    if analysis.finding is None:
        return STATES.get(analysis.status, STATES[AnalysisStatus.FAILED])
    verdict = analysis.finding.verdict
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


def of_hundred(share: float) -> str:
    """Write a share in [0, 1] as a number of 100, without a false "none" or "all"."""
    if share >= NEARLY_ALL:
        return "all" if share == 1 else "more than 99"
    if share < HARDLY_ANY:
        return "none" if share == 0 else "fewer than 1"
    return f"about {share * 100:.0f}"

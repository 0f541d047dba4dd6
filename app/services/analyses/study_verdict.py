"""The verdict on a series of slices, from the verdicts on the slices.

A detector errs on some authentic slices, so a rule like "one fake slice makes the study fake" would
flag nearly every authentic series of three hundred slices. And the slices of one patient are alike:
if the detector errs on one, it is likely to err on its neighbours, so that counting them as
independent witnesses would be as wrong.

The rule, for ``n`` judged slices of which ``fakes`` are called deepfake and ``reals`` authentic:

* **deepfake** if ``fakes`` is at least a quarter of ``n``, more than ``reals``, and more than
  chance explains. Let ``f`` be the share of authentic slices that the detector calls deepfake.
  However the slices of an authentic series depend on one another, the expected share of fakes among
  them is ``f``, so by Markov's inequality at most ``4 f`` of all authentic series reach a quarter.
  If slices err independently, it is next to none (for ``f`` = 0.045 and 300 slices below 1e-30).
* **authentic** if ``fakes`` is within what chance explains and less than a quarter of ``n``, no run
  of neighbouring fakes is longer than chance explains, and ``reals`` is at least a quarter of
  ``n``.
* **inconclusive** otherwise: a forgery of one region changes a few neighbouring slices, and from
  the verdicts alone that cannot be told from an error that neighbouring slices share.

What chance explains is counted with ``f`` at the upper end of its 95 % interval, from the card of
the weights: the number of fakes that 95 % of authentic series do not exceed (binomial), and the
shortest run that fewer than 1 % of them have (``n f^length``, an upper bound by the union bound).
Without a known ``f`` chance explains nothing, so that a single fake keeps a study from being called
authentic.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import ceil, exp, lgamma, log, log1p

from app.detection.card import Estimate
from app.detection.labels import Verdict

MIN_SHARE = 0.25
WITHIN_CHANCE = 0.95
RUN_BY_CHANCE = 0.01
SMALLEST_RATE = 1e-6  # a rate of zero that was measured on a few hundred scans is none


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyFinding:
    """What the verdicts on its slices say of a study.

    Attributes:
        verdict: ``not_judged`` if no slice was judged.
        judged: How many slices have a verdict.
        fakes: How many of them are called deepfake.
        reals: How many of them are called authentic.
        longest_run: How many fakes follow one another, at most, among the judged slices.
        chance_fakes: So many fakes are explained by chance.
        chance_run: A run this long is not; None where a single fake is too many already.
        false_alarm_rate: Share of authentic slices that are called deepfake, as it is counted
            with; None if that is not known.
    """

    verdict: Verdict
    judged: int
    fakes: int
    reals: int
    longest_run: int
    chance_fakes: int
    chance_run: int | None
    false_alarm_rate: float | None

    @property
    def needed_for_fake(self) -> int:
        """How many slices must be called deepfake, at least, for the study to be."""
        return max(ceil(MIN_SHARE * self.judged), self.chance_fakes + 1)


def study_finding(verdicts: Sequence[Verdict], false_alarm_rate: Estimate | None) -> StudyFinding:
    """Return the verdict on a study.

    Args:
        verdicts: On its slices, in the order of their position.
        false_alarm_rate: Of the detector on single authentic slices; None if it is not known.
    """
    judged = [verdict for verdict in verdicts if verdict is not Verdict.NOT_JUDGED]
    fakes = sum(verdict is Verdict.FAKE for verdict in judged)
    reals = sum(verdict is Verdict.REAL for verdict in judged)
    rate = _upper(false_alarm_rate)
    finding = StudyFinding(
        verdict=Verdict.INCONCLUSIVE,
        judged=len(judged),
        fakes=fakes,
        reals=reals,
        longest_run=_longest_run(judged),
        chance_fakes=0 if rate is None else fakes_by_chance(len(judged), rate),
        chance_run=None if rate is None else run_beyond_chance(len(judged), rate),
        false_alarm_rate=rate,
    )
    return _with_verdict(finding)


def fakes_by_chance(slices: int, rate: float) -> int:
    """Return how many false alarms 95 % of authentic series do not exceed, if slices err alone.

    Args:
        slices: How many there are.
        rate: Share of authentic slices that are called deepfake, in (0, 1).
    """
    below = 0.0
    for count in range(slices + 1):
        below += exp(
            _log_binomial(slices, count) + count * log(rate) + _misses(slices, count, rate)
        )
        if below >= WITHIN_CHANCE:
            return count
    return slices


def run_beyond_chance(slices: int, rate: float) -> int:
    """Return the shortest run of false alarms that fewer than 1 % of authentic series have.

    Args:
        slices: How many there are.
        rate: Share of authentic slices that are called deepfake, in (0, 1).
    """
    return max(2, ceil(log(RUN_BY_CHANCE / max(1, slices)) / log(rate)))


def _with_verdict(finding: StudyFinding) -> StudyFinding:
    verdict = Verdict.INCONCLUSIVE
    if finding.judged == 0:
        verdict = Verdict.NOT_JUDGED
    elif finding.fakes >= finding.needed_for_fake and finding.fakes > finding.reals:
        verdict = Verdict.FAKE
    elif _is_authentic(finding):
        verdict = Verdict.REAL
    return replace(finding, verdict=verdict)


def _is_authentic(finding: StudyFinding) -> bool:
    share = MIN_SHARE * finding.judged
    has_run = finding.chance_run is not None and finding.longest_run >= finding.chance_run
    few_fakes = finding.fakes <= finding.chance_fakes and finding.fakes < share
    return few_fakes and not has_run and finding.reals >= share


def _upper(rate: Estimate | None) -> float | None:
    """Return the upper end of a rate's interval, or the rate itself; None if it is unusable."""
    if rate is None or rate.value is None:
        return None
    upper = rate.value if rate.high is None else rate.high
    return max(upper, SMALLEST_RATE) if upper < 1 else None


def _longest_run(verdicts: Sequence[Verdict]) -> int:
    longest = run = 0
    for verdict in verdicts:
        run = run + 1 if verdict is Verdict.FAKE else 0
        longest = max(longest, run)
    return longest


def _log_binomial(total: int, count: int) -> float:
    return lgamma(total + 1) - lgamma(count + 1) - lgamma(total - count + 1)


def _misses(total: int, count: int, rate: float) -> float:
    return (total - count) * log1p(-rate)

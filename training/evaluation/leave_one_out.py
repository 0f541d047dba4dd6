"""How a system does on what it never saw: train without it, then test on it.

The test side tells how well a detector knows the generators and hospitals that it was trained on.
What counts is the next generator and the next hospital. So each is left out in turn: out of
training, early stopping and calibration. The network that results is measured on it and never
published.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Literal

from app.detection.card import Estimate
from app.detection.labels import Label
from training.candidate import Candidate
from training.classifiers.train import Hardware, train
from training.config import DatasetConfig, SystemConfig
from training.data.manifest import Scan, on_side
from training.data.selection import scans_for, thinned
from training.data.splits import COMPANION
from training.errors import TooFewScansError
from training.evaluation.left_out import (
    LeftOut,
    digest,
    figures_from,
    left_out_file,
    made_with,
    read_left_out,
    write_left_out,
)
from training.evaluation.prediction_file import read_predictions
from training.evaluation.report import figures_of_fakes, figures_of_reals
from training.publish import evaluate_candidate
from training.runs import SystemPaths, claim, write_whole

Kind = Literal["generator", "source", "companion"]
TOGETHER = "+"
"""Between the names of generators, or sources, that are left out together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """What is left out.

    Attributes:
        kind: Of which kind it is; ``companion`` is a source of the system's companions.
        name: Its name; several joined by ``+`` are left out together, as one family.
    """

    kind: Kind
    name: str

    @property
    def members(self) -> frozenset[str]:
        """The single generators, sources or companions."""
        return frozenset(self.name.split(TOGETHER))

    def leaves_out(self, scan: Scan) -> bool:
        """Return whether a scan is of what is left out; a fake is of its origin's source too."""
        if self.kind == "generator":
            return scan.label is Label.FAKE and scan.generator in self.members
        return scan.source in self.members

    def divided(self, scans: Sequence[Scan]) -> list[Scan]:
        """Return the scans to train, to calibrate and to test on.

        Of a generator its test fakes are tested, against the authentic scans of the test side. Of a
        source everything is, on whichever side it stood: the detector has seen none of it, though
        generators of whole images, which were not fitted anew, have.
        """
        learned = [s for s in scans if s.side != "test" and not self.leaves_out(s)]
        if self.kind != "generator":
            tested = [replace(s, side="test") for s in scans if self.leaves_out(s)]
        else:
            tested = [
                s for s in on_side(scans, "test") if s.label is Label.REAL or self.leaves_out(s)
            ]
        return learned + tested


@dataclass(frozen=True, slots=True, kw_only=True)
class Experiment:
    """A system whose generators and sources are left out in turn.

    Attributes:
        config: Of the system.
        dataset: Of its data set.
        scans: The whole data set.
        paths: Of the system's run; the turns lie below it.
        hardware: What each training may use.
        judged: At most so many authentic scans of the validation and of the test side, and fakes
            of each generator on it, are judged; None for all. A fake is judged beside the scan
            that it was made from.
    """

    config: SystemConfig
    dataset: DatasetConfig
    scans: Sequence[Scan]
    paths: SystemPaths
    hardware: Hardware
    judged: int | None = None

    def divided(self, turn: Turn) -> list[Scan]:
        """Return the scans to train, to calibrate and to test on in a turn."""
        scans = turn.divided(scans_for(self.config, self.scans))
        if self.judged is None:
            return scans
        held_out = [s for s in scans if s.side in ("validation", "test")]
        spared = set(held_out).difference(thinned(held_out, self.judged, seed=self.config.seed))
        return [s for s in scans if s not in spared]

    def generators(self) -> list[str]:
        """Return the generators that can be left out: with fakes to train on and to test on.

        What only teaches (``teaches_only``) can be no test, so it never has a turn.
        """
        learned = {s.generator for s in on_side(self.scans, "train", Label.FAKE)}
        tested = {s.generator for s in on_side(self.scans, "test", Label.FAKE)}
        return sorted(learned & tested)

    def sources(self) -> list[str]:
        """Return the sources that can be left out: those with authentic scans to train on."""
        return sorted({s.source for s in on_side(self.scans, "train", Label.REAL)})

    def companions(self) -> list[str]:
        """Return the sources of the system's companions, which can be left out as well."""
        return sorted({s.source for s in on_side(self.scans, COMPANION, Label.REAL)})

    def candidates(self, kind: Kind) -> list[str]:
        """Return what can be left out of one kind."""
        if kind == "generator":
            return self.generators()
        return self.sources() if kind == "source" else self.companions()


def leave_out(experiment: Experiment, turns: Sequence[Turn]) -> LeftOut:
    """Train and measure without each in turn; what is finished already is only read.

    The file of figures is written after every turn, and holds finished turns of before as well.

    Args:
        experiment: The system.
        turns: What to leave out.

    Raises:
        TooFewScansError: There is no such generator or source, or nothing is left without it.
        StaleRunError: A turn with other settings, or with other scans, left its files here.
    """
    for turn in turns:
        _check(experiment, turn)
    found = _so_far(experiment)
    write_left_out(experiment.paths, found)
    for turn in turns:
        figures = {turn.name: _take(experiment, turn)}
        # Another process may have finished a turn meanwhile. If two finish at once one is missing
        # in the file until the next command, which finds the turn's own figures.
        found = _so_far(experiment)
        if turn.kind == "generator":
            found = replace(found, generators={**found.generators, **figures})
        elif turn.kind == "source":
            found = replace(found, sources={**found.sources, **figures})
        else:
            found = replace(found, companions={**found.companions, **figures})
        found = _with_missing(experiment, found)
        write_left_out(experiment.paths, found)
    return found


def _check(experiment: Experiment, turn: Turn) -> None:
    known = experiment.candidates(turn.kind)
    if unknown := sorted(turn.members - set(known)):
        raise TooFewScansError(
            f"There is no {turn.kind} {unknown[0]!r} to leave out. There are: {', '.join(known)}."
        )
    if not set(known) - turn.members:
        raise TooFewScansError(
            f"Without {turn.name} there is nothing left to train on: leaving a {turn.kind} out "
            "takes at least two."
        )


def _take(experiment: Experiment, turn: Turn) -> dict[str, Estimate]:
    """Return the figures of one turn, from its file or from training."""
    config = experiment.config
    scans = experiment.divided(turn)
    folder = experiment.paths.root / "leave_one_out" / f"{turn.kind}-{turn.name}"
    claim(folder, turn, config.learned_from, digest(scans))
    file = folder / "figures.json"
    if not file.exists():
        run = SystemPaths(folder / "run")
        train(config, scans, run, experiment.hardware)
        figures = _measure(
            Candidate(config=config, dataset=experiment.dataset, scans=scans, paths=run), turn
        )
        text = json.dumps({name: asdict(figure) for name, figure in figures.items()}, indent=2)
        write_whole(file, f"{text}\n".encode())
    return figures_from(json.loads(file.read_text(encoding="utf-8")))


def _measure(candidate: Candidate, turn: Turn) -> dict[str, Estimate]:
    detector, _, _ = evaluate_candidate(candidate)
    rows = read_predictions(candidate.paths.evaluation_dir / "predictions.csv")
    fakes = [row for row in rows if row.label == "fake"]
    reals = [row for row in rows if row.label == "real"]
    if turn.kind == "generator":
        return figures_of_fakes(fakes, reals, detector.card)
    return figures_of_reals(reals, fakes, detector.card)


def _so_far(experiment: Experiment) -> LeftOut:
    """Return what stands in the file, if it was made with these settings and scans."""
    current = made_with(experiment.config, experiment.scans, experiment.judged)
    empty = LeftOut(system=experiment.config.name, made_with=current)
    file = left_out_file(experiment.paths)
    found = read_left_out(file) if file.exists() else empty
    return _with_missing(experiment, found if found.made_with == current else empty)


def _with_missing(experiment: Experiment, found: LeftOut) -> LeftOut:
    generators = {name for turn in found.generators for name in turn.split(TOGETHER)}
    sources = {name for turn in found.sources for name in turn.split(TOGETHER)}
    return replace(
        found,
        missing_generators=tuple(n for n in experiment.generators() if n not in generators),
        missing_sources=tuple(n for n in experiment.sources() if n not in sources),
    )

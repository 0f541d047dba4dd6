"""Errors of the training package. Each says what to change, and where."""

from collections.abc import Sequence
from pathlib import Path

from app.errors import VeriscanError


class TrainingError(VeriscanError):
    """Root of the errors that a developer is shown without a traceback."""


class ConfigError(TrainingError):
    """A TOML file cannot be used."""

    def __init__(self, path: Path, problem: str) -> None:
        super().__init__(f"{path}: {problem}")


class ManifestError(TrainingError):
    """A manifest, or a row of it, cannot be used."""

    def __init__(self, path: Path, problem: str, *, row: int | None = None) -> None:
        where = f"{path}, row {row}" if row is not None else f"{path}"
        super().__init__(f"{where}: {problem}")


class LeakError(TrainingError):
    """The same patient or the same scan stands on two sides."""

    def __init__(
        self, what: str, sides: tuple[str, ...], examples: Sequence[Path | str] = ()
    ) -> None:
        shown = f" See {' and '.join(map(str, examples))}." if examples else ""
        super().__init__(f"{what} stands on more than one side: {', '.join(sides)}.{shown}")


class LearnedFromError(TrainingError):
    """Something was trained on a patient who is to be measured on."""

    def __init__(self, folder: Path, person: str, side: str) -> None:
        super().__init__(
            f"{folder} learned from patient {person}, who stands on the {side} side by now. Delete "
            "it to train anew, or prepare the data set as it was."
        )


class OtherFileError(TrainingError):
    """A scan is another file than the one that was prepared under its name."""

    def __init__(self, name: str, folder: Path) -> None:
        super().__init__(
            f"{name} is another file than when it was prepared, and fakes may have been made from "
            f"it. Delete {folder} to begin anew, or choose another folder with --runs."
        )


class DuplicateScansError(TrainingError):
    """Two rows of different patients show the same image."""

    def __init__(self, pairs: Sequence[tuple[str, str, float]]) -> None:
        first, second, likeness = pairs[0]
        more = f" So do {len(pairs) - 1} more pairs." if len(pairs) > 1 else ""
        super().__init__(
            f"{first} and {second} show the same image (likeness {likeness:.3f}), but stand for "
            f"different patients.{more} Give both rows one patient, or leave one of them out."
        )


class ShortcutError(TrainingError):
    """The classes can be told apart without looking at what a scan shows."""

    def __init__(self, where: str, findings: Sequence[str], remedy: str) -> None:
        self.shortcuts = "; ".join(findings)
        super().__init__(
            f"{where}: the classes can be told apart without seeing the anatomy, by "
            f"{self.shortcuts}. {remedy}"
        )


class SourceError(TrainingError):
    """A public data set is unknown, registered twice, or not laid out as it is published."""


class OtherModalityError(TrainingError):
    """Weights of one modality were to judge a data set of another."""

    def __init__(self, dataset: str, its_modality: str, judged: str) -> None:
        super().__init__(
            f"{dataset} holds scans of {its_modality}, the weights judge {judged}. Name weights "
            f"below weights/{its_modality}, or another data set."
        )


class StageMissingError(TrainingError):
    """An earlier stage has to run first."""

    def __init__(self, command: str) -> None:
        super().__init__(f"Run `{command}` first.")


class StaleRunError(TrainingError):
    """A folder holds files of a run with other settings."""

    def __init__(self, folder: Path) -> None:
        super().__init__(
            f"{folder} was made with other settings. Delete it to begin anew, or choose another "
            "folder with --runs."
        )


class BusyRunError(TrainingError):
    """Another process is at work on the same."""

    def __init__(self, lock: Path) -> None:
        super().__init__(
            f"Another process is training {lock.stem} in {lock.parent}. Wait for it or stop it; "
            "members of a phase learn side by side with `--member`, each number in one process."
        )


class CellLossError(TrainingError):
    """A loss on single cells was asked for, but the network's cells mean nothing alone."""

    def __init__(self, architecture: str) -> None:
        super().__init__(
            f"Set cell_loss = 0: the cells of {architecture!r} are shares of its verdict on the "
            "whole scan and cannot be trained against a mask."
        )


class MemberError(TrainingError):
    """A member was asked for that no phase has."""

    def __init__(self, system: str, member: int, most: int) -> None:
        advice = (
            "none of its phases has several members, so leave --member out"
            if most == 1
            else f"give --member 0 to {most - 1}, each to a process of its own"
        )
        super().__init__(f"{system} has no phase with a member {member}: {advice}.")


class GeneratorError(TrainingError):
    """A generator is unknown, registered twice or cannot be used so."""


class TooFewScansError(TrainingError):
    """There is too little to learn from or to measure on."""

    def __init__(self, problem: str) -> None:
        super().__init__(problem)


class NoDiagnosisError(TrainingError):
    """A system that learns forgery was asked for its accuracy on a finding."""

    def __init__(self, system: str) -> None:
        super().__init__(f"{system} learns forgery: its config has no [diagnosis].")


class UnknownRowError(TrainingError):
    """No system of the documents is called so."""

    def __init__(self, name: str, known: Sequence[str]) -> None:
        super().__init__(f"No row is named {name!r}. Known: {', '.join(known)}.")


class ReproductionIncompleteError(TrainingError):
    """Rows of the reproduction failed; the table says why."""

    def __init__(self, systems: Sequence[str]) -> None:
        super().__init__(f"Not reproduced: {', '.join(systems)}.")


class PublicationRefusedError(TrainingError):
    """The checkpoint does not reach what its config demands."""

    def __init__(self, missed: Sequence[str]) -> None:
        super().__init__(f"Not published: {'; '.join(missed)}.")


class ActivationRefusedError(TrainingError):
    """Publishing would put worse weights, or unwanted ones, in the place of those that serve."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(
            f"Not published: {name} is the checkpoint that serves, and {reason}. Add --activate "
            "to let it serve all the same, or give the config another name."
        )


class RollbackError(TrainingError):
    """There are no former weights to go back to, or it is not clear which are meant."""

    def __init__(self, modality: str, problem: str, known: Sequence[str] = ()) -> None:
        kept = f" Kept: {', '.join(known)}." if known else ""
        super().__init__(f"{modality}: {problem}.{kept}")


class PredictionsError(TrainingError):
    """A prediction file is not there or cannot be used."""

    def __init__(self, run: str, problem: str) -> None:
        super().__init__(f"{run}: {problem}.")


class ScansDifferError(TrainingError):
    """Systems that were measured on different scans cannot be compared."""

    def __init__(self, scan: str, count: int, *, there: str, missing_in: str) -> None:
        others = f" and {count - 1} more" if count > 1 else ""
        super().__init__(
            f"{missing_in} was not measured on {scan!r}{others}, {there} was. Compare systems that "
            "were measured on the same scans."
        )

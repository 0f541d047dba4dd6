"""Errors of the training package. Each says what to change, and where."""

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

    def __init__(self, what: str, sides: tuple[str, ...]) -> None:
        super().__init__(f"{what} stands on more than one side: {', '.join(sides)}.")


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


class CellLossError(TrainingError):
    """A loss on single cells was asked for, but the network's cells mean nothing alone."""

    def __init__(self, architecture: str) -> None:
        super().__init__(
            f"Set cell_loss = 0: the cells of {architecture!r} are shares of its verdict on the "
            "whole scan and cannot be trained against a mask."
        )


class GeneratorError(TrainingError):
    """A generator is unknown, registered twice or cannot be used so."""


class TooFewScansError(TrainingError):
    """There is too little to learn from or to measure on."""

    def __init__(self, problem: str) -> None:
        super().__init__(problem)


class PublicationRefusedError(TrainingError):
    """The checkpoint does not reach what its config demands."""

    def __init__(self, metric: str, value: float | None, minimum: float) -> None:
        shown = "undefined" if value is None else f"{value:.3f}"
        super().__init__(
            f"Not published: {metric} is {shown}, the config demands at least {minimum:.3f}."
        )

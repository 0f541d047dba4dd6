"""How a system is trained: augmentation, phases, penalties; and a budget that cuts it short."""

from dataclasses import dataclass, field, fields, replace
from typing import Literal

Precision = Literal["32-true", "bf16-mixed", "16-mixed"]
OptimiserName = Literal["adamw", "adam", "rmsprop"]
ScheduleName = Literal["one_cycle", "constant", "cosine", "plateau"]
CELL = 32
"""Crop sizes are multiples of this, in pixels: most trunks halve the resolution five times."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """What a shortened run may spend; None leaves a limit to the config.

    Attributes:
        max_epochs: Of each phase.
        max_steps_per_epoch: Optimiser steps.
        image_size: Side of the input and largest crop, in pixels; a multiple of 32, at least 96.
            It never enlarges.
        max_scans: Authentic scans of each side, and fakes of each generator on it.
        max_generator_epochs: Of generators that are trained by epochs.
        max_generator_steps: Of generators that are trained by steps.
    """

    max_epochs: int | None = None
    max_steps_per_epoch: int | None = None
    image_size: int | None = None
    max_scans: int | None = None
    max_generator_epochs: int | None = None
    max_generator_steps: int | None = None

    def __post_init__(self) -> None:
        for limit in fields(self):
            value = getattr(self, limit.name)
            if value is not None and value < 1:
                raise ValueError(f"{limit.name} must be 1 or greater, got {value}")
        if self.image_size is not None and (self.image_size < 96 or self.image_size % CELL):
            raise ValueError(
                f"image_size must be a multiple of {CELL} and at least 96, got {self.image_size}"
            )

    @property
    def system_suffix(self) -> str:
        """What a shortened system's name ends in, such as ``-2epochs-96px``; empty if nothing."""
        return self._suffix(*_SUFFIXES)

    @property
    def dataset_suffix(self) -> str:
        """What a shortened data set's name ends in, such as ``-200scans``; empty if nothing."""
        return self._suffix("max_scans", "max_generator_epochs", "max_generator_steps")

    def _suffix(self, *limits: str) -> str:
        return "".join(
            f"-{getattr(self, name)}{_SUFFIXES[name]}"
            for name in limits
            if getattr(self, name) is not None
        )


_SUFFIXES = {
    "max_epochs": "epochs",
    "max_steps_per_epoch": "steps",
    "image_size": "px",
    "max_scans": "scans",
    "max_generator_epochs": "generator-epochs",
    "max_generator_steps": "generator-steps",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class AugmentationConfig:
    """How strongly training scans are varied; each probability in [0, 1], 0 switches it off.

    Attributes:
        flip_horizontal: Whether scans may be mirrored.
        flip_vertical: Whether scans may stand on their head (and, as pairs, be turned by 90°).
        rotation_degrees: Largest angle by which scans are turned either way.
        zoom: Largest factor of scaling up, and of scaling down, at least 1.
        unscaled: Share of the crops that keep their scan's own pixels whatever ``zoom`` says.
            Scaling by any other factor interpolates, and takes the finest traces with it.
        brightness: Largest change of all grey values, as a share of the range from black to white.
        contrast: Largest stretching of grey values from middle grey, and largest shrinking, as a
            share of their distance from it.
        window: Probability of another window (contrast, exposure, gamma).
        narrowest_window: Least width of a window, as a share of the grey values' range. Below
            0.45, half of the other windows are narrow ones, laid around a crop's own middle: a
            scan stored with a wide window then looks as it would with a narrow one.
        resample: Probability of a loss of resolution: scaled down and up again.
        min_resolution: Least share of the resolution that is left by it, for crops without a
            local edit (with one, never under one half).
        blur: Probability of a Gaussian blur or of sharpening.
        noise: Probability of Gaussian noise.
        jpeg: Probability of a JPEG round trip.
        local_contrast: Probability that details are raised from their surroundings, as viewers do
            that equalise contrast by regions.
        denoised: Probability that grain is taken away and edges are kept, as software of scanners
            and archives does.
        untouched: Share of the crops that are seen through another window at most: not resampled,
            blurred, sharpened, retouched, encoded or laid noise over, whatever the other settings
            say. Zoom, rotation and what partners go through come before and still apply.
        inverted: Probability that black and white are exchanged, as in a scan that was stored with
            the other polarity.
        marker: Probability of letters printed over the scan.
        frame: Probability of strips of one grey at its borders.
    """

    flip_horizontal: bool = True
    flip_vertical: bool = False
    rotation_degrees: float = 0.0
    zoom: float = 1.15
    brightness: float = 0.0
    contrast: float = 0.0
    window: float = 0.7
    narrowest_window: float = 0.45
    resample: float = 0.3
    min_resolution: float = 0.125
    blur: float = 0.2
    noise: float = 0.3
    jpeg: float = 0.5
    local_contrast: float = 0.0
    denoised: float = 0.0
    inverted: float = 0.0
    marker: float = 0.0
    frame: float = 0.0
    unscaled: float = 0.0
    untouched: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseConfig:
    """A stretch of training at one crop size.

    Attributes:
        epochs: At most so many.
        crop_size: Side of the training crops, in pixels; a multiple of 32.
        batch_size: Scans a step; of pairs an even number, since fakes come with an authentic
            partner. With several processes, of each.
        learning_rate: Where the schedule begins; of one cycle, its peak.
        steps_per_epoch: Optimiser steps an epoch; without it, as many as it takes to show every
            scan of the training side once.
        optimiser: ``adamw``, ``adam`` or ``rmsprop`` (see ``training.classifiers.optimisers``).
        schedule: ``one_cycle``, ``constant``, ``cosine`` or ``plateau`` (see
            ``training.classifiers.schedules``).
        patience: Epochs without a better monitored figure after which the phase ends.
        hard_share: Share of the authentic partners that are cut instead where the network, as it
            was before this phase, saw most evidence of forgery in authentic scans (hard negative
            mining: Sung and Poggio, IEEE PAMI 1998); in [0, 1].
        former_share: Share of the weights from before this phase in the mean with what it learned,
            in [0, 1). What was learned before is kept beside what is new: Wortsman et al., "Robust
            fine-tuning of zero-shot models", CVPR 2022, https://arxiv.org/abs/2109.01903. Not for
            the first phase, before which nothing was learned.
        companion_share: Share of the pairs that come from the system's companions, in [0, 1).
        members: So many networks, at least 1, learn in this phase from the same weights and each
            from other draws; it ends with the mean of their weights. Wortsman et al., "Model
            soups", ICML 2022, https://arxiv.org/abs/2203.05482. One in the first phase.
    """

    epochs: int
    crop_size: int
    batch_size: int
    learning_rate: float
    steps_per_epoch: int | None = None
    optimiser: OptimiserName = "adamw"
    schedule: ScheduleName = "one_cycle"
    patience: int = 5
    hard_share: float = 0.0
    former_share: float = 0.0
    companion_share: float = 0.0
    members: int = 1

    def __post_init__(self) -> None:
        whole = ("epochs", "crop_size", "batch_size", "steps_per_epoch", "patience", "members")
        for name in whole:
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} of a phase must be 1 or greater, got {value}")
        if self.crop_size % CELL:
            raise ValueError(f"crop_size must be a multiple of {CELL}, got {self.crop_size}")
        for name in ("former_share", "companion_share"):
            value = getattr(self, name)
            if not 0 <= value < 1:
                raise ValueError(f"{name} must lie in [0, 1), got {value}")
        if self.learning_rate <= 0:
            raise ValueError(f"learning_rate must be above 0, got {self.learning_rate}")

    def within(self, budget: Budget) -> "PhaseConfig":
        """Return this phase cut down to a budget."""
        return replace(
            self,
            epochs=at_most(self.epochs, budget.max_epochs) or self.epochs,
            crop_size=at_most(self.crop_size, budget.image_size) or self.crop_size,
            steps_per_epoch=at_most(self.steps_per_epoch, budget.max_steps_per_epoch),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class L2Config:
    """The penalty on large weights that Keras calls ``kernel_regularizer``.

    Attributes:
        strength: The sum of the squared weights, times this, is added to the loss.
        on: Names of the network's parts whose convolutions and dense layers are penalised.
    """

    strength: float
    on: list[str] = field(default_factory=lambda: ["dense"])


def at_most(value: int | None, limit: int | None) -> int | None:
    """Return the smaller of two numbers, either of which may be missing."""
    return min((n for n in (value, limit) if n is not None), default=None)

"""The card: what is known of a checkpoint, in a JSON file beside it.

A checkpoint without its card is not served. The card says how to build the network, how to
prepare a scan for it, how to read its logit, how good it is and on what, and what it is not for.
After Mitchell et al., "Model Cards for Model Reporting", FAT* 2019.
"""

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

from app.detection.verdict import OperatingPoint
from app.errors import CardInvalidError, WeightsMissingError

CARD_VERSION = 1
MIN_IMAGE_SIZE = 16
MAX_IMAGE_SIZE = 2048
SLICE_KINDS = ("generator", "edit_size", "source")

Parsed = TypeVar("Parsed")


@dataclass(frozen=True, slots=True, kw_only=True)
class PreprocessingSpec:
    """How a decoded scan becomes the network's input.

    Attributes:
        image_size: Side of the square input, in pixels.
        mean: Subtracted from grey values in [0, 1], one number a channel.
        std: Divisor after that, one number a channel.
        version: Of the procedure in ``app.detection.preprocessing``.
    """

    image_size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    version: int

    def __post_init__(self) -> None:
        if not MIN_IMAGE_SIZE <= self.image_size <= MAX_IMAGE_SIZE:
            raise ValueError(
                f"image_size must be from {MIN_IMAGE_SIZE} to {MAX_IMAGE_SIZE}, "
                f"got {self.image_size}"
            )
        if min(self.std) <= 0:
            raise ValueError(f"std must be positive, got {self.std}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchitectureSpec:
    """Which network to build.

    Attributes:
        name: As registered in ``app.detection.architectures``.
        arguments: Keyword arguments of its builder. EfficientNet-PyTorch fixes its padding from
            the image size at construction, so they belong to the weights.
    """

    name: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A measured figure with its 95 % interval.

    Attributes:
        value: The figure; None where it is undefined.
        low: Lower end of the interval, None where there is none.
        high: Upper end of the interval, None where there is none.
        note: Why the figure or its interval is undefined, or on how many scans it stands.
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    note: str = ""

    def complement(self) -> "Estimate":
        """Return the share of all others, with its interval."""
        low, high = (None if end is None else 1 - end for end in (self.high, self.low))
        value = None if self.value is None else 1 - self.value
        return Estimate(value=value, low=low, high=high, note=self.note)


@dataclass(frozen=True, slots=True, kw_only=True)
class DataSource:
    """A data set that training or evaluation used.

    Attributes:
        name: Its name in the manifest.
        use: What it was used for: ``train``, ``validation``, ``test`` or several of them.
        scans: Number of scans.
        patients: Number of patients.
        licence: As known.
    """

    name: str
    use: str
    scans: int
    patients: int
    licence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """How a checkpoint did on one kind of scan of its test side, where it errs more or less.

    Attributes:
        kind: What the scans have in common: ``generator`` or ``edit_size`` (of fakes), or
            ``source`` (of authentic scans).
        name: Which one, such as ``dcgan``.
        wrong: Share of them that got the opposite verdict.
        undecided: Share of them that got none.
    """

    kind: str
    name: str
    wrong: Estimate
    undecided: Estimate

    def __post_init__(self) -> None:
        if self.kind not in SLICE_KINDS:
            raise ValueError(f"a slice is of {', '.join(SLICE_KINDS)}, not of {self.kind!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """Everything known of one checkpoint.

    Attributes:
        name: Of the checkpoint; its file is ``<name>.safetensors``.
        modality: Key of the modality it judges.
        sha256: Of the checkpoint file, hex.
        created: Day of publication, ISO 8601.
        metrics: Measured on the test side, by name (``auc``, ``balanced_accuracy``,
            ``false_alarm_rate``, ``miss_rate``, ``coverage``, ``selective_accuracy``, ``ece`` …).
        metrics_by_generator: AUC of each generator's fakes against the authentic test scans.
        data: The data sets behind it.
        intended_use: One or two sentences.
        limits: What it cannot do; known failures.
        training: How to train it again: config, seed, versions.
        slices: Errors by kind of scan; older cards have none.
        version: Of the card's own format.
    """

    name: str
    modality: str
    sha256: str
    created: str
    architecture: ArchitectureSpec
    preprocessing: PreprocessingSpec
    operating_point: OperatingPoint
    metrics: Mapping[str, Estimate]
    metrics_by_generator: Mapping[str, Estimate]
    data: tuple[DataSource, ...]
    intended_use: str
    limits: tuple[str, ...]
    training: Mapping[str, Any] = field(default_factory=dict)
    slices: tuple[Slice, ...] = ()
    version: int = CARD_VERSION

    def to_json(self) -> str:
        """Return the card as indented JSON with a final newline."""
        return json.dumps(asdict(self), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def read_card(path: Path) -> Card:
    """Read a card.

    Raises:
        WeightsMissingError: There is no such file.
        CardInvalidError: It is not JSON, or a field is missing, unknown or out of range.
    """
    card = read_as(path, _card_from)
    if card.name != path.stem:
        raise CardInvalidError(path.stem, f"it says it is the card of {card.name!r}")
    return card


def read_as(path: Path, parse: Callable[[Any], Parsed]) -> Parsed:
    """Read a JSON file and parse it, with our errors for whatever is wrong with it.

    Raises:
        WeightsMissingError: There is no such file.
        CardInvalidError: It is not JSON, or ``parse`` does not take it.
    """
    name = path.stem
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise WeightsMissingError(name) from None
    except (OSError, ValueError, RecursionError) as error:
        raise CardInvalidError(name, f"it cannot be read ({type(error).__name__})") from error
    try:
        return parse(raw)
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise CardInvalidError(name, str(error)) from error


def _card_from(raw: Any) -> Card:
    raw = checked(Card, raw)
    if raw.get("version", CARD_VERSION) != CARD_VERSION:
        raise ValueError(f"card version {raw['version']} is not {CARD_VERSION}")
    operating_point = checked(OperatingPoint, raw["operating_point"])
    return Card(
        **raw
        | {
            "architecture": architecture_of(raw["architecture"]),
            "preprocessing": preprocessing_of(raw["preprocessing"]),
            "operating_point": OperatingPoint(
                **operating_point
                | {"inconclusive_band": _pair(operating_point["inconclusive_band"])}
            ),
            "metrics": estimates_of(raw["metrics"]),
            "metrics_by_generator": estimates_of(raw["metrics_by_generator"]),
            "data": data_of(raw["data"]),
            "limits": tuple(raw["limits"]),
            "slices": tuple(map(_slice_from, raw.get("slices", ()))),
        }
    )


def _slice_from(raw: Any) -> Slice:
    raw = checked(Slice, raw)
    shares = {name: Estimate(**checked(Estimate, raw[name])) for name in ("wrong", "undecided")}
    return Slice(**raw | shares)


def architecture_of(raw: Any) -> ArchitectureSpec:
    """Return which network a part of a card names."""
    return ArchitectureSpec(**checked(ArchitectureSpec, raw))


def preprocessing_of(raw: Any) -> PreprocessingSpec:
    """Return the preprocessing that a part of a card describes."""
    raw = checked(PreprocessingSpec, raw)
    return PreprocessingSpec(**raw | {"mean": _triple(raw["mean"]), "std": _triple(raw["std"])})


def estimates_of(raw: Mapping[str, Any]) -> dict[str, Estimate]:
    """Return the figures in a part of a card, by name."""
    return {name: Estimate(**checked(Estimate, item)) for name, item in raw.items()}


def data_of(raw: Any) -> tuple[DataSource, ...]:
    """Return the data sets that a part of a card lists."""
    return tuple(DataSource(**checked(DataSource, item)) for item in raw)


def checked(kind: type, raw: Any) -> dict[str, Any]:
    """Return ``raw`` if it has the fields of the dataclass ``kind``, no others, of their types."""
    if not isinstance(raw, dict):
        raise TypeError(f"{kind.__name__} must be an object, got {type(raw).__name__}")
    known = {f.name: f for f in fields(kind)}
    if unknown := sorted(set(raw) - set(known)):
        raise ValueError(f"unknown field {unknown[0]!r} in {kind.__name__}")
    for name, its in known.items():
        is_required = its.default is MISSING and its.default_factory is MISSING
        if name not in raw and is_required:
            raise ValueError(f"the field {name!r} of {kind.__name__} is missing")
        if name in raw and not _JSON_TYPES.get(its.type, _anything)(raw[name]):
            raise TypeError(f"{name!r} in {kind.__name__} cannot be {raw[name]!r}")
    return raw


def _anything(_value: Any) -> bool:
    return True


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


_JSON_TYPES: Mapping[Any, Callable[[Any], bool]] = {
    str: lambda value: isinstance(value, str),
    int: _is_whole,
    float: _is_number,
    float | None: lambda value: value is None or _is_number(value),
    tuple[float, float]: lambda value: _is_list_of(value, _is_number),
    tuple[float, float, float]: lambda value: _is_list_of(value, _is_number),
    tuple[str, ...]: lambda value: _is_list_of(value, lambda item: isinstance(item, str)),
    tuple[DataSource, ...]: lambda value: isinstance(value, list),
    tuple[Slice, ...]: lambda value: isinstance(value, list),
    Mapping[str, Any]: lambda value: isinstance(value, dict),
    Mapping[str, Estimate]: lambda value: isinstance(value, dict),
}
"""Which JSON values fit a field, by the field's type. Fields of other types are read by hand."""


def _is_list_of(value: Any, fits: Callable[[Any], bool]) -> bool:
    return isinstance(value, list) and all(map(fits, value))


def _pair(values: list[float]) -> tuple[float, float]:
    low, high = values
    return float(low), float(high)


def _triple(values: list[float]) -> tuple[float, float, float]:
    first, second, third = values
    return float(first), float(second), float(third)

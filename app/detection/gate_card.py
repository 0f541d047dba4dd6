"""The card of a gate: what is known of the network that tells a kind of scan from other images."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from app.detection.card import (
    ArchitectureSpec,
    DataSource,
    Estimate,
    PreprocessingSpec,
    architecture_of,
    checked,
    data_of,
    estimates_of,
    preprocessing_of,
    read_as,
)

GATE_NAME = "gate"
"""A gate lies beside the checkpoints of its modality, in two files of this name."""
GATE_CARD_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class GateCard:
    """Everything known of the gate of one modality.

    Attributes:
        modality: Key of the modality that it lets pass.
        sha256: Of the file with its weights, hex.
        created: Day of publication, ISO 8601.
        architecture: Of the network; its logit is positive towards "another kind of image".
        threshold: The least likeness that passes, in [0, 1].
        wrongly_stopped: Share of the scans of the modality that are stopped, by kind of scan
            (source, generator, variation); those of a source that fitting had not seen say so.
        rightly_stopped: Share of other images that are stopped, by kind of image; those of a kind
            that fitting had not seen say so.
        data: The data sets behind it.
        limits: What it cannot do; known failures.
        training: How to make it again: settings, seed, versions.
        version: Of this format.
    """

    modality: str
    sha256: str
    created: str
    architecture: ArchitectureSpec
    preprocessing: PreprocessingSpec
    threshold: float
    wrongly_stopped: Mapping[str, Estimate]
    rightly_stopped: Mapping[str, Estimate]
    data: tuple[DataSource, ...]
    limits: tuple[str, ...]
    training: Mapping[str, Any] = field(default_factory=dict)
    version: int = GATE_CARD_VERSION

    def __post_init__(self) -> None:
        if not 0 <= self.threshold <= 1:
            raise ValueError(f"threshold must be from 0 to 1, got {self.threshold}")

    def to_json(self) -> str:
        """Return the card as indented JSON with a final newline."""
        return json.dumps(asdict(self), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def read_gate_card(path: Path) -> GateCard:
    """Read the card of a gate.

    Raises:
        WeightsMissingError: There is no such file.
        CardInvalidError: It is not JSON, or a field is missing, unknown or out of range.
    """
    return read_as(path, _gate_card_from)


def _gate_card_from(raw: Any) -> GateCard:
    raw = checked(GateCard, raw)
    if raw.get("version", GATE_CARD_VERSION) != GATE_CARD_VERSION:
        raise ValueError(f"card version {raw['version']} is not {GATE_CARD_VERSION}")
    return GateCard(
        **raw
        | {
            "architecture": architecture_of(raw["architecture"]),
            "preprocessing": preprocessing_of(raw["preprocessing"]),
            "wrongly_stopped": estimates_of(raw["wrongly_stopped"]),
            "rightly_stopped": estimates_of(raw["rightly_stopped"]),
            "data": data_of(raw["data"]),
            "limits": tuple(raw["limits"]),
        }
    )

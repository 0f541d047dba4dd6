"""A trained checkpoint on its way to publication: its file, its network and its data."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from hashlib import sha256

import safetensors.torch
import torch

from app.detection.architectures import build
from app.detection.card import Card, DataSource
from app.detection.labels import Label
from app.detection.verdict import OperatingPoint
from app.detection.weights import LoadedDetector
from training.config import DatasetConfig, SystemConfig
from training.data.manifest import Scan, on_side
from training.data.selection import with_fewer_fakes
from training.data.splits import COMPANION, SIDES
from training.errors import StageMissingError, TrainingError
from training.people import require_strangers
from training.runs import SystemPaths

UNCALIBRATED = OperatingPoint(
    temperature=1.0, bias=0.0, threshold=0.5, inconclusive_band=(0.5, 0.5)
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A trained checkpoint on its way to publication.

    Attributes:
        config: Of the system.
        dataset: Of the data set.
        scans: The whole data set, and the system's companions.
        paths: Of the system's run.
        judged_fakes: At most so many fakes of each generator on a side are judged; all where None.
    """

    config: SystemConfig
    dataset: DatasetConfig
    scans: Sequence[Scan]
    paths: SystemPaths
    judged_fakes: int | None = None

    def judged(self, side: str) -> list[Scan]:
        """Return the scans of a side that it is judged on: all authentic ones, fakes as bounded."""
        scans = on_side(self.scans, side)
        if self.judged_fakes is None:
            return scans
        return with_fewer_fakes(scans, self.judged_fakes, seed=self.config.seed)


def checkpoint_bytes(candidate: Candidate) -> bytes:
    """Return a candidate's checkpoint as it is published: safetensors, rounded to float16.

    What else decides its logits, architecture and preprocessing, stands in the file's metadata.
    So the same parameters under other arguments are another file, with a SHA-256 of its own.

    Raises:
        StageMissingError: The system is not trained.
        LearnedFromError: It learned from somebody who stands on another side by now.
        TrainingError: A weight is too large for float16.
    """
    path = candidate.paths.best_checkpoint
    if not path.exists():
        raise StageMissingError(f"python -m training train --system {candidate.config.name}")
    require_strangers(candidate.paths.root, candidate.scans)
    tensors = safetensors.torch.load_file(path)
    halves = {
        name: tensor.half().contiguous() if tensor.is_floating_point() else tensor
        for name, tensor in tensors.items()
    }
    overflown = [k for k, v in halves.items() if v.is_floating_point() and not v.isfinite().all()]
    if overflown:
        raise TrainingError(f"Not published: {overflown[0]} does not fit into float16.")
    config = candidate.config
    network = {
        "architecture": asdict(config.architecture),
        "preprocessing": asdict(config.preprocessing),
    }
    # One entry: safetensors writes several in no certain order.
    return safetensors.torch.save(halves, {"network": json.dumps(network, sort_keys=True)})


def trained_detector(candidate: Candidate, data: bytes) -> LoadedDetector:
    """Load a candidate's checkpoint, given as safetensors, with a card that is not calibrated."""
    config = candidate.config
    network = build(config.architecture)
    network.load_state_dict(
        {
            k: v.float() if v.is_floating_point() else v
            for k, v in safetensors.torch.load(data).items()
        }
    )
    card = Card(
        name=config.name.removeprefix(f"{candidate.dataset.modality}_"),
        modality=candidate.dataset.modality,
        sha256=sha256(data).hexdigest(),
        created=datetime.now(UTC).date().isoformat(),
        architecture=config.architecture,
        preprocessing=config.preprocessing,
        operating_point=UNCALIBRATED,
        metrics={},
        metrics_by_generator={},
        data=data_sources(candidate.scans),
        intended_use=config.intended_use,
        limits=tuple(config.limits),
        training={
            "system": config.name,
            "dataset": config.dataset,
            "seed": config.seed,
            "initialisation": candidate.paths.initialisation.read_text("utf-8").strip(),
            "torch": torch.__version__,
        }
        | ({} if candidate.judged_fakes is None else {"judged_fakes": candidate.judged_fakes}),
    )
    return LoadedDetector(network=network.eval(), card=card)


def data_sources(scans: Sequence[Scan]) -> tuple[DataSource, ...]:
    """Return what each source, and each generator, contributed."""
    groups: dict[str, list[Scan]] = {}
    for scan in scans:
        name = scan.source
        if scan.label is Label.FAKE and scan.seed:
            of = " of companions" if scan.side == COMPANION else ""
            name = f"{scan.generator} (made here{of})"
        groups.setdefault(name, []).append(scan)
    return tuple(
        DataSource(
            name=name,
            use=", ".join(
                side for side in (*SIDES, COMPANION) if any(s.side == side for s in group)
            ),
            scans=len(group),
            patients=len({s.person for s in group if s.origin or not s.seed}),
            licence="; ".join(sorted({s.licence for s in group if s.licence})),
        )
        for name, group in sorted(groups.items())
    )

"""From images to a published gate: read, fit, choose the threshold, measure, write."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import cast

import safetensors.torch
import torch

from app.detection.architectures import build
from app.detection.architectures.gatekeeper import Gatekeeper
from app.detection.card import ArchitectureSpec, DataSource, PreprocessingSpec
from app.detection.gate import GATE_PREPROCESSING_VERSION
from app.detection.gate_card import GATE_NAME, GateCard
from app.detection.preprocessing import IMAGENET_MEAN, IMAGENET_STD
from app.detection.spec import modality as spec_of
from app.detection.weights import CHECKPOINT_SUFFIX
from training.classifiers.initialisation import initialise
from training.data.splits import SIDES
from training.errors import ConfigError, PublicationRefusedError
from training.gate.collection import Amounts, collect, feature_reader, thinned
from training.gate.fit import DIRECTIONS, rounded, set_head
from training.gate.images import GateImage, read_thumbnails
from training.gate.measure import (
    ALL_FOREIGN,
    ALL_SCANS,
    Measured,
    choose_threshold,
    fit,
    measure,
)
from training.runs import write_whole

ARCHITECTURE = ArchitectureSpec(
    name="mobilenet_v2_gatekeeper", arguments={"directions": DIRECTIONS}
)
LIMITS = (
    "It looks at a small grey thumbnail: it tells kinds of image apart, not good scans from bad.",
    "It has seen few kinds of medical image. Others that resemble the modality, such as "
    "tomography of other parts of the body, may pass.",
    "It is no safeguard against somebody who wants an image to pass.",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class GateRecipe:
    """How a gate is made.

    Attributes:
        modality: Key of the modality that it lets pass.
        image_size: Side of the thumbnail that its network reads, in pixels.
        seed: Of every choice.
        amounts: Of images.
        least_pass: Least share of held-out authentic scans that must pass.
        least_stopped: Least share of held-out other images that must be stopped.
    """

    modality: str
    image_size: int = 96
    seed: int = 1
    amounts: Amounts = field(default_factory=Amounts)
    least_pass: float = 0.99
    least_stopped: float = 0.98


def publish_gate(recipe: GateRecipe, images: Sequence[GateImage], weights_dir: Path) -> GateCard:
    """Make the gate of a modality and put it beside the modality's checkpoints.

    Raises:
        ConfigError: There is nothing to let pass, or nothing to stop.
        ManifestError: An image cannot be decoded.
        InitialisationError: The ImageNet weights of the trunk cannot be had.
        PublicationRefusedError: It stops too many scans or too few other images.
    """
    spec = spec_of(recipe.modality)
    if len({image.is_right for image in images if image.side == "train"}) < 2:
        raise ConfigError(weights_dir, "a gate needs scans of the modality and other images")
    images = thinned(images, recipe.amounts.plain, recipe.seed)
    network, preprocessing = _untrained(recipe)
    origin = initialise(network, "imagenet")
    rounded(network)  # before the features are read, so that the head fits what is published
    collection = collect(
        images,
        read_thumbnails(images, spec),
        feature_reader(network, preprocessing),
        amounts=recipe.amounts,
        seed=recipe.seed,
    )
    rule = fit(collection)
    threshold = choose_threshold(collection, rule)
    measured = measure(collection, rule, threshold)
    _check(recipe, measured)
    set_head(network, rule)
    data = safetensors.torch.save(
        {k: v.half() if v.is_floating_point() else v for k, v in network.state_dict().items()}
    )
    card = GateCard(
        modality=recipe.modality,
        sha256=sha256(data).hexdigest(),
        created=datetime.now(UTC).date().isoformat(),
        architecture=ARCHITECTURE,
        preprocessing=preprocessing,
        threshold=threshold,
        wrongly_stopped=measured.wrongly_stopped,
        rightly_stopped=measured.rightly_stopped,
        data=_data_sources(images),
        limits=LIMITS,
        training={
            "command": f"python -m training gate --modality {recipe.modality}",
            "initialisation": origin,
            "seed": recipe.seed,
            "amounts": asdict(recipe.amounts),
            "torch": torch.__version__,
        },
    )
    folder = weights_dir / recipe.modality
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(folder / f"{GATE_NAME}{CHECKPOINT_SUFFIX}", data)
    write_whole(folder / f"{GATE_NAME}.json", card.to_json().encode())
    return card


def _untrained(recipe: GateRecipe) -> tuple[Gatekeeper, PreprocessingSpec]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        network = cast(Gatekeeper, build(ARCHITECTURE))
    preprocessing = PreprocessingSpec(
        image_size=recipe.image_size,
        mean=IMAGENET_MEAN,
        std=IMAGENET_STD,
        version=GATE_PREPROCESSING_VERSION,
    )
    return network.eval(), preprocessing


def _check(recipe: GateRecipe, measured: Measured) -> None:
    stopped = measured.wrongly_stopped[ALL_SCANS].value
    passed = None if stopped is None else 1 - stopped
    caught = measured.rightly_stopped[ALL_FOREIGN].value
    missed = [
        f"{what}: {'undefined' if value is None else f'{value:.3f}'}, asked for is {least:.3f}"
        for what, value, least in (
            ("share of held-out scans that pass", passed, recipe.least_pass),
            ("share of held-out other images that are stopped", caught, recipe.least_stopped),
        )
        if value is None or value < least
    ]
    if missed:
        raise PublicationRefusedError(missed)


def _data_sources(images: Sequence[GateImage]) -> tuple[DataSource, ...]:
    groups: dict[tuple[bool, str], list[GateImage]] = {}
    for image in images:
        groups.setdefault((not image.is_right, image.kind), []).append(image)
    return tuple(
        DataSource(
            name=kind if not is_foreign else f"{kind} (to be stopped)",
            use=", ".join(side for side in SIDES if any(i.side == side for i in group)),
            scans=len(group),
            patients=len({image.person for image in group}),
            licence="; ".join(sorted({image.licence for image in group if image.licence})),
        )
        for (is_foreign, kind), group in sorted(groups.items())
    )

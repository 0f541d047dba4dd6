"""Everything that a gate is fitted to and measured on, as features of a pretrained network."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torchvision.transforms.v2 import functional
from tqdm import tqdm

from app.detection.architectures.gatekeeper import Gatekeeper
from app.detection.card import PreprocessingSpec
from app.detection.preprocessing import normalise
from training.gate.drawn import COARSE_SCAN, DRAWINGS, DRAWN_WITH_PICTURES, LOOKALIKES, draw
from training.gate.images import GateImage
from training.gate.vary import vary
from training.seeding import generator_for

BATCH = 64
NOWHERE = Path("drawn")
PLAIN, VARIED, DRAWN, LOOKALIKE = "plain", "varied", "drawn", "lookalike"

Thumbnails = NDArray[np.uint8]
Features = NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Amounts:
    """How many images of each sort are looked at.

    Attributes:
        plain: Images of one kind as they are, at most.
        varied: Images of one kind at random variations, about.
        copies: Variations of one image, at most.
        drawn: Of each drawing, half of them varied.
        lookalike: Of each lookalike and of scans drawn coarsely, all varied.
    """

    plain: int = 1000
    varied: int = 400
    copies: int = 3
    drawn: int = 80
    lookalike: int = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Collection:
    """Images as features, a row each; every array has the shape ``[N]`` but ``features``.

    Attributes:
        features: float32, shape ``[N, C]``.
        is_right: Whether it shows the modality.
        is_fake: Whether it is a fake of the modality.
        kind: See ``GateImage``; of a drawing its name.
        form: ``plain``, ``varied``, ``drawn`` or ``lookalike``.
        side: ``train``, ``validation`` or ``test``.
        person: See ``GateImage``.
    """

    features: Features
    is_right: NDArray[np.bool_]
    is_fake: NDArray[np.bool_]
    kind: NDArray[np.str_]
    form: NDArray[np.str_]
    side: NDArray[np.str_]
    person: NDArray[np.str_]


@dataclass(frozen=True, slots=True)
class _Item:
    """A row to be: what it is, and the position of its thumbnail."""

    image: GateImage
    position: int
    form: str


def thinned(images: Sequence[GateImage], most: int, seed: int) -> list[GateImage]:
    """Return at most ``most`` images of each kind, chosen at random, in their old order."""
    by_kind: dict[tuple[bool, str], list[int]] = {}
    for position, image in enumerate(images):
        by_kind.setdefault((image.is_right, image.kind), []).append(position)
    kept = [
        int(position)
        for kind, positions in by_kind.items()
        for position in generator_for(seed, "thinned", *kind).permutation(positions)[:most]
    ]
    return [images[position] for position in sorted(kept)]


def collect(
    images: Sequence[GateImage],
    thumbnails: Thumbnails,
    read_features: Callable[[Thumbnails], Features],
    *,
    amounts: Amounts,
    seed: int,
) -> Collection:
    """Choose images, vary them, draw others and compute the features of all.

    Args:
        images: With their sides.
        thumbnails: Of the same images, uint8, shape ``[N, S, S]``.
        read_features: Turns thumbnails into features.
        amounts: How many of each sort.
        seed: Of every choice.
    """
    items = _chosen(images, amounts, seed)
    made: list[NDArray[np.uint8]] = []
    for row, item in enumerate(tqdm(items, desc="varying", unit="image")):
        thumbnail = thumbnails[item.position]
        is_varied = item.form == VARIED
        made.append(vary(thumbnail, generator_for(seed, row)) if is_varied else thumbnail)
    drawn_items, drawn = _drawn(images, thumbnails, amounts, seed)
    items += drawn_items
    features = read_features(np.stack(made + drawn))
    return Collection(
        features=features,
        is_right=np.array([i.image.is_right for i in items]),
        is_fake=np.array([i.image.is_fake for i in items]),
        kind=np.array([i.image.kind for i in items]),
        form=np.array([i.form for i in items]),
        side=np.array([i.image.side for i in items]),
        person=np.array([i.image.person for i in items]),
    )


def _chosen(images: Sequence[GateImage], amounts: Amounts, seed: int) -> list[_Item]:
    items: list[_Item] = []
    for kind in sorted({(i.is_right, i.kind) for i in images}):
        positions = [p for p, i in enumerate(images) if (i.is_right, i.kind) == kind]
        order = generator_for(seed, "choice", *kind).permutation(positions)
        items += [_Item(images[p], int(p), PLAIN) for p in order]
        copies = min(amounts.copies, max(1, round(amounts.varied / len(positions))))
        for_varying = np.repeat(order, copies)[: amounts.varied]
        items += [_Item(images[p], int(p), VARIED) for p in for_varying]
    return items


def _drawn(
    images: Sequence[GateImage], thumbnails: Thumbnails, amounts: Amounts, seed: int
) -> tuple[list[_Item], list[NDArray[np.uint8]]]:
    """Draw what is no scan, and scans as poor generators do.

    What goes into a drawing stands on the training side. The scans are authentic, so that leaving
    out a generator leaves nothing of it in the drawings.
    """
    trains = np.array([i.side == "train" for i in images])
    right = np.array([i.is_right for i in images])
    fake = np.array([i.is_fake for i in images])
    scans, others = thumbnails[trains & right & ~fake], thumbnails[trains & ~right]
    items: list[_Item] = []
    made: list[NDArray[np.uint8]] = []
    orders = [(name, DRAWN, amounts.drawn) for name in DRAWINGS]
    orders += [(name, LOOKALIKE, amounts.lookalike) for name in (*LOOKALIKES, COARSE_SCAN)]
    for name, form, count in orders:
        pictures = others if name == DRAWN_WITH_PICTURES else scans
        for number in range(count):
            rng = generator_for(seed, name, number)
            drawing = draw(name, rng, pictures)
            is_varied = form == LOOKALIKE or number % 2
            made.append(vary(drawing, rng) if is_varied else drawing)
            items.append(_Item(_drawing_image(name, form, number), -1, form))
    return items, made


def _drawing_image(name: str, form: str, number: int) -> GateImage:
    sides = ("train",) if form == LOOKALIKE else ("train", "train", "validation", "test")
    return GateImage(
        path=NOWHERE,
        is_right=name == COARSE_SCAN,
        is_fake=name == COARSE_SCAN,
        kind=name,
        person=f"{name}/{number}",
        side=sides[number // 2 % len(sides)],
    )


def feature_reader(
    network: Gatekeeper, preprocessing: PreprocessingSpec
) -> Callable[[Thumbnails], Features]:
    """Return what turns thumbnails into the features that the network's head reads, averaged.

    Args:
        network: Its trunk is used as it is.
        preprocessing: Of the gate to be.
    """
    size = [preprocessing.image_size] * 2

    def read(thumbnails: Thumbnails) -> Features:
        batches = []
        for start in tqdm(range(0, len(thumbnails), BATCH), desc="features", unit="batch"):
            grey = torch.from_numpy(thumbnails[start : start + BATCH]).float() / 255
            small = functional.resize(grey, size, antialias=True).clamp(0, 1)
            with torch.inference_mode():
                features = network.trunk(normalise(small, preprocessing))
            batches.append(features.mean((2, 3)).numpy())
        return np.concatenate(batches)

    return read

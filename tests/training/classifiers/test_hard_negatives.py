from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from app.detection.architectures import Detector
from app.detection.labels import Label
from tests.training.lab import (
    a_phase,
    a_scan,
    squared,
    system_config,
    write_dataset,
    write_local_fake,
    write_reals,
)
from training.classifiers.hard_negatives import HARD_FILE, hard_spots
from training.classifiers.train import Hardware, train
from training.config import AugmentationConfig
from training.data.dataset import Group, PairDataset, Sampling, ScanPool, Spot
from training.data.images import read_grey, write_grey
from training.data.manifest import Scan
from training.runs import SystemPaths

SIZE = 64
SYSTEM = system_config(image_size=SIZE)


class SuspectsBrightness(Detector):
    """Takes bright cells of 16 pixels for forged."""

    def __init__(self, *, mirrored: bool = False) -> None:
        super().__init__(sharpness=1.0, mirrored=mirrored)
        self.scale = torch.nn.Parameter(torch.ones(1))

    def evidence(self, images: Tensor) -> Tensor:
        cells: Tensor = torch.nn.functional.avg_pool2d(images.mean(1), 16) * self.scale
        return cells


@pytest.fixture
def reals(tmp_path: Path) -> list[Scan]:
    return write_reals(tmp_path / "scans", 4)


@pytest.fixture
def pool(reals: list[Scan], tmp_path: Path) -> ScanPool:
    fakes = [write_local_fake(real, tmp_path / "fakes", seed=i) for i, real in enumerate(reals)]
    return ScanPool([*reals, *fakes], SIZE)


def test_hard_places_are_where_the_network_suspects_most(pool: ScanPool, tmp_path: Path) -> None:
    network = SuspectsBrightness().train()

    spots = hard_spots(network, pool, SYSTEM.preprocessing, tmp_path / "phase")

    assert spots
    assert network.training
    for spot in spots:
        square = squared(read_grey(spot.path), SIZE)
        cells = square.reshape(4, 16, 4, 16).mean((1, 3))
        assert cells[spot.row // 16, spot.column // 16] >= np.median(cells)


def test_hard_places_are_looked_for_in_one_look_as_crops_are(
    pool: ScanPool, tmp_path: Path
) -> None:
    seen: list[bool] = []
    network = SuspectsBrightness(mirrored=True)
    network.register_forward_hook(lambda *_: seen.append(network.mirrored))

    spots = hard_spots(network, pool, SYSTEM.preprocessing, tmp_path / "mirrored")

    assert seen == [False] * len(pool.real)
    assert network.mirrored
    assert spots == hard_spots(SuspectsBrightness(), pool, SYSTEM.preprocessing, tmp_path / "one")


def test_a_resumed_phase_has_the_places_it_began_with(pool: ScanPool, tmp_path: Path) -> None:
    first = hard_spots(SuspectsBrightness(), pool, SYSTEM.preprocessing, tmp_path)
    other = SuspectsBrightness()
    with torch.no_grad():
        other.scale.fill_(-1)

    assert hard_spots(other, pool, SYSTEM.preprocessing, tmp_path) == first


def test_hard_places_of_a_scan_that_is_not_enlarged_lie_in_its_own_pixels(tmp_path: Path) -> None:
    grey = np.zeros((32, 32), dtype=np.float32)
    grey[16:, 16:] = 1
    write_grey(tmp_path / "0.png", grey)
    small = a_scan(tmp_path / "0.png")
    fake = write_local_fake(small, tmp_path / "fakes", seed=1)
    pool = ScanPool([small, fake], SIZE, enlarges=False)

    spots = hard_spots(SuspectsBrightness(), pool, SYSTEM.preprocessing, tmp_path)

    assert (spots[0].row, spots[0].column) == (24, 24)


def test_the_share_of_hard_partners_is_what_the_phase_asks_for(
    pool: ScanPool, reals: list[Scan]
) -> None:
    sampling = Sampling(seed=(0, 0, 0), local_share=1.0, augmentation=AugmentationConfig())
    usual = PairDataset(pool, SYSTEM.preprocessing, a_phase(), sampling)
    before = [usual[index]["image"] for index in range(80)]
    pool.hard = [Spot(str(reals[0].path), 32, 32)]
    hard = PairDataset(pool, SYSTEM.preprocessing, a_phase(hard_share=0.5), sampling)

    examples = [hard[index] for index in range(80)]

    changed = [not torch.equal(b, e["image"]) for b, e in zip(before, examples, strict=True)]
    assert not any(changed[0::2]), "a fake is what it was"
    assert 0.25 < np.mean(changed[1::2]) < 0.75
    assert all(e["label"] == 0 and not e["mask"].any() for e in examples[1::2])


def test_a_hard_place_may_lie_in_a_scan_of_another_size(reals: list[Scan], tmp_path: Path) -> None:
    small = a_scan(tmp_path / "small.png")
    edit = replace(
        small, label=Label.FAKE, generator="g", origin=str(small.path), mask=str(small.path)
    )
    write_grey(small.path, np.ones((32, 32), dtype=np.float32))
    pool = ScanPool([small, edit], SIZE, enlarges=False)
    pool.hard = [Spot(str(reals[0].path), 60, 60)]
    phase = a_phase(hard_share=1.0)
    sampling = Sampling(seed=(0, 0, 0), local_share=1.0, augmentation=AugmentationConfig())

    examples = [PairDataset(pool, SYSTEM.preprocessing, phase, sampling)[i] for i in range(40)]

    sizes = {tuple(example[key].shape[-2:]) for example in examples for key in ("image", "mask")}
    assert sizes == {(phase.crop_size, phase.crop_size)}
    assert all(example["mask"].any() == example["label"] for example in examples)


def test_a_phase_with_hard_partners_trains_and_keeps_the_places(tmp_path: Path) -> None:
    scans = write_dataset(tmp_path / "scans")
    config = system_config(phases=[a_phase(), a_phase(hard_share=0.5)])
    paths = SystemPaths(tmp_path / "run")

    assert train(config, scans, paths, Hardware()).exists()

    assert not (paths.phase_dir(0) / HARD_FILE).exists()
    assert (paths.phase_dir(1) / HARD_FILE).exists()


@pytest.mark.parametrize(
    ("balance", "low", "high"), [(0.0, 0.0, 0.2), (0.5, 0.15, 0.35), (1.0, 0.4, 0.6)]
)
def test_balance_says_how_alike_the_sources_count(
    tmp_path: Path, balance: float, low: float, high: float
) -> None:
    group = Group(
        [a_scan(f"{i}.png", source="large") for i in range(90)]
        + [a_scan(f"{i}.png", source="small") for i in range(10)]
    )
    rng = np.random.default_rng(1)

    drawn = Counter(group.draw(rng, balance=balance).source for _ in range(400))

    assert low <= drawn["small"] / 400 <= high

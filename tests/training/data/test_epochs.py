import numpy as np
import pytest
import torch

from tests.training.lab import (
    SIDE,
    squared,
    stored,
    system_config,
    write_dataset,
)
from training.config import AugmentationConfig
from training.data.dataset import Example, ScanPool
from training.data.epochs import EpochDataset, Round
from training.data.images import read_grey
from training.data.manifest import Scan, on_side

STILL = AugmentationConfig(
    flip_horizontal=False, zoom=1.0, window=0, resample=0, blur=0, noise=0, jpeg=0
)
PREPROCESSING = system_config(normalisation="none", image_size=SIDE).preprocessing


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory) -> list[Scan]:
    return on_side(write_dataset(tmp_path_factory.mktemp("scans"), train=5), "train")


def epoch(
    scans: list[Scan], turn: Round, augmentation: AugmentationConfig = STILL
) -> list[Example]:
    data = EpochDataset(ScanPool(scans, SIDE), PREPROCESSING, turn, augmentation)
    return [data[i] for i in range(len(data))]


def contents(examples: list[Example]) -> list[bytes]:
    return [example["image"].numpy().tobytes() for example in examples]


def test_an_epoch_shows_every_scan_once_in_an_order_of_its_own(scans: list[Scan]) -> None:
    first, second = (contents(epoch(scans, Round(seed=(1, e)))) for e in (0, 1))

    assert len(set(first)) == len(first) == len(scans)
    assert set(first) == set(second)
    assert first != second


def test_a_scan_comes_whole_with_its_label_and_mask(scans: list[Scan]) -> None:
    turn = Round(seed=(1, 0))
    order = turn.draw(len(scans))

    for position, example in zip(order, epoch(scans, turn), strict=True):
        scan = scans[position]
        assert example["label"] == float(scan.label)
        expected = stored(squared(read_grey(scan.path), SIDE))
        assert example["image"][0].numpy() == pytest.approx(expected, abs=1e-6)
        if scan.mask:
            assert np.array_equal(example["mask"].numpy(), read_grey(scan.mask))
        else:
            assert (example["mask"] == float(scan.label)).all()


def test_processes_share_an_epoch_without_a_scan_in_common(scans: list[Scan]) -> None:
    drawn = [Round(seed=(1, 3), rank=rank, processes=2).draw(15) for rank in (0, 1)]

    assert [len(positions) for positions in drawn] == [7, 7]
    assert not set(drawn[0]) & set(drawn[1])


def test_a_limited_epoch_shows_that_many_and_the_next_one_others() -> None:
    first, second = (Round(seed=(1, e), limit=4).draw(100) for e in (0, 1))

    assert len(first) == len(second) == 4
    assert set(first) != set(second)


def test_a_scan_is_varied_anew_in_each_epoch_and_alike_in_the_same(scans: list[Scan]) -> None:
    varied = AugmentationConfig(rotation_degrees=10, brightness=0.1)
    once, again, later = (contents(epoch(scans, Round(seed=(1, e)), varied)) for e in (0, 0, 1))

    assert once == again
    assert not set(once) & set(later)


def test_what_was_edited_stays_under_its_mask_when_a_scan_is_turned(scans: list[Scan]) -> None:
    turned = AugmentationConfig(
        flip_vertical=True, rotation_degrees=20, zoom=1.0, window=0, resample=0, blur=0, noise=0
    )
    local = [s for s in scans if s.mask]
    pool = [next(s for s in scans if not s.generator), *local]

    for example in epoch(pool, Round(seed=(1, 0)), turned):
        if 0 < example["mask"].mean() < 1:
            assert 200 < float(example["mask"].sum()) < 300  # of 256, its border blurred


def test_examples_can_be_batched(scans: list[Scan]) -> None:
    (batch,) = torch.utils.data.DataLoader(
        EpochDataset(ScanPool(scans, SIDE), PREPROCESSING, Round(seed=(1, 0)), STILL), 15
    )

    assert batch["image"].shape == (15, 3, SIDE, SIDE)
    assert batch["label"].sum() == 10

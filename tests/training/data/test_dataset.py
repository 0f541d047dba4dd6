from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from app.detection.decoding import decode
from app.detection.labels import Label
from app.detection.preprocessing import preprocess
from app.detection.spec import modality
from tests.training.lab import (
    NO_AUGMENTATION,
    SIDE,
    a_phase,
    a_scan,
    make_lung,
    squared,
    stored,
    system_config,
    write_local_fake,
    write_reals,
    write_whole_fake,
)
from training.config import AugmentationConfig, PhaseConfig
from training.data.dataset import (
    MATCHED_SHARE,
    PairDataset,
    Sampling,
    ScanPool,
    WholeScanDataset,
    _center_of,
    _draw_geometry,
)
from training.data.images import write_grey
from training.data.manifest import Scan
from training.errors import TooFewScansError
from training.seeding import generator_for

SYSTEM = system_config()
# Each pixel is changed for itself, so what differs inside the edit cannot reach its surroundings.
POINTWISE = AugmentationConfig(
    flip_vertical=True, zoom=1.0, window=1, resample=0, blur=0, noise=1, jpeg=0
)
WHOLE_CROP = a_phase(crop_size=SIDE)


@pytest.fixture
def reals(tmp_path: Path) -> list[Scan]:
    return write_reals(tmp_path, 4)


@pytest.fixture
def local(tmp_path: Path, reals: list[Scan]) -> list[Scan]:
    return [write_local_fake(real, tmp_path, seed=i) for i, real in enumerate(reals)]


@pytest.fixture
def whole(tmp_path: Path) -> list[Scan]:
    return [write_whole_fake(tmp_path, seed=seed) for seed in range(4)]


def pairs(
    scans: list[Scan],
    *,
    augmentation: AugmentationConfig = NO_AUGMENTATION,
    phase: PhaseConfig | None = None,
    seed: tuple[int, ...] = (0, 0, 0),
    local_share: float = 1.0,
    image_size: int = SIDE,
    companions: ScanPool | None = None,
) -> PairDataset:
    sampling = Sampling(seed=seed, local_share=local_share, augmentation=augmentation)
    pool = ScanPool(scans, image_size)
    return PairDataset(pool, SYSTEM.preprocessing, phase or a_phase(), sampling, companions)


# --- pairs ----------------------------------------------------------------------------------


@pytest.fixture
def bright(tmp_path: Path) -> ScanPool:
    """Companions that no lung looks like: white all over, with a black hole when forged."""
    white, hole, mask = (np.ones((SIDE, SIDE), dtype=np.float32) for _ in range(3))
    hole[32:64, 32:64] = 0
    mask -= hole
    for name, grey in {"white": white, "hole": hole, "mask": mask}.items():
        write_grey(tmp_path / f"{name}.png", grey)
    real = a_scan(tmp_path / "white.png", source="elsewhere")
    fake = replace(
        real,
        path=tmp_path / "hole.png",
        label=Label.FAKE,
        generator="hole",
        origin=str(real.path),
        mask=str(tmp_path / "mask.png"),
    )
    return ScanPool([real, fake], SIDE)


def test_companions_keep_their_own_pixels_where_they_are_smaller(bright: ScanPool) -> None:
    pools = {
        enlarges: ScanPool(bright.scans, 2 * SIDE, enlarges=enlarges) for enlarges in (True, False)
    }

    shapes = {enlarges: pool.square(bright.real[0].path).shape for enlarges, pool in pools.items()}

    assert shapes == {True: (2 * SIDE, 2 * SIDE), False: (SIDE, SIDE)}
    assert ScanPool(bright.scans, 32, enlarges=False).square(bright.real[0].path).shape == (32, 32)


@pytest.mark.parametrize("share", [0.0, 0.25, 0.75])
def test_a_share_of_the_pairs_comes_from_the_companions(
    reals: list[Scan], local: list[Scan], bright: ScanPool, share: float
) -> None:
    phase = a_phase(crop_size=32, steps_per_epoch=100, companion_share=share)
    data = pairs(reals + local, phase=phase, companions=bright)
    white = (1 - SYSTEM.preprocessing.mean[0]) / SYSTEM.preprocessing.std[0]

    from_there = [bool((data[2 * n + 1]["image"][0] > white - 1e-3).all()) for n in range(200)]

    assert np.mean(from_there) == pytest.approx(share, abs=0.1)
    for pair, is_companion in enumerate(from_there):
        if is_companion:
            assert data[2 * pair]["mask"].any()
            assert data[2 * pair]["label"] == Label.FAKE


def test_pairs_of_the_own_scans_are_the_same_with_companions(
    reals: list[Scan], local: list[Scan], bright: ScanPool
) -> None:
    alone = pairs(reals + local)
    beside = pairs(reals + local, phase=a_phase(companion_share=0.5), companions=bright)

    same = [torch.equal(alone[n]["image"], beside[n]["image"]) for n in range(40)]

    assert 0 < sum(same) < 40


@pytest.mark.parametrize("augmentation", [NO_AUGMENTATION, POINTWISE])
def test_a_local_edit_and_its_partner_differ_inside_the_edit_only(
    reals: list[Scan], local: list[Scan], augmentation: AugmentationConfig
) -> None:
    data = pairs(reals + local, augmentation=augmentation)

    for pair in range(20):
        fake, partner = data[2 * pair], data[2 * pair + 1]
        outside = fake["mask"] == 0
        assert torch.equal(fake["image"][:, outside], partner["image"][:, outside])
        assert not torch.equal(fake["image"][:, ~outside], partner["image"][:, ~outside])


def test_a_pair_is_varied_alike_by_everything(reals: list[Scan], local: list[Scan]) -> None:
    """Blur and JPEG carry an edit a few pixels further; far from it both scans stay the same."""
    everything = AugmentationConfig(
        flip_vertical=True, zoom=1.3, window=1, resample=0, blur=1, noise=1, jpeg=1
    )
    data = pairs(reals + local, augmentation=everything, phase=WHOLE_CROP)

    for pair in range(10):
        fake, partner = data[2 * pair], data[2 * pair + 1]
        near = torch.nn.functional.max_pool2d(fake["mask"][None], 33, stride=1, padding=16)[0] > 0
        assert (~near).any()
        assert torch.equal(fake["image"][:, ~near], partner["image"][:, ~near])


def test_only_the_fake_of_a_pair_is_labelled_and_masked(
    reals: list[Scan], local: list[Scan], whole: list[Scan]
) -> None:
    data = pairs(reals + local + whole, local_share=0.5)

    for index in range(40):
        example = data[index]
        is_fake = index % 2 == 0
        assert example["label"] == (Label.FAKE if is_fake else Label.REAL)
        assert bool(example["mask"].any()) == is_fake


def test_the_mask_lies_on_what_was_edited(reals: list[Scan], local: list[Scan]) -> None:
    data = pairs(reals + local, phase=WHOLE_CROP)

    for pair in range(10):
        fake, partner = data[2 * pair], data[2 * pair + 1]
        changed = (fake["image"] != partner["image"]).any(0)
        assert changed.sum() > 200  # of 256
        assert not changed[fake["mask"] == 0].any()
        assert fake["mask"].sum() == 256


def test_the_middle_of_an_edit_too_thin_to_fill_a_pixel_is_known() -> None:
    mask = np.zeros((8, 8), dtype=np.float32)
    mask[2, 5] = 0.3

    assert _center_of(mask) == (2, 5)


def test_all_of_a_synthetic_scan_is_fake(reals: list[Scan], whole: list[Scan]) -> None:
    data = pairs(reals + whole)

    assert (data[0]["mask"] == 1).all()
    assert (data[1]["mask"] == 0).all()


def test_the_partner_of_a_synthetic_scan_is_any_authentic_one(
    reals: list[Scan], whole: list[Scan]
) -> None:
    data = pairs(reals + whole, phase=WHOLE_CROP)
    shown = {data[2 * pair + 1]["image"].sum().item() for pair in range(40)}

    assert len(shown) >= len(reals)


def test_both_scans_of_a_pair_are_printed_over_alike_and_what_is_hidden_is_not_forged(
    reals: list[Scan], whole: list[Scan]
) -> None:
    framed = replace(NO_AUGMENTATION, frame=1.0, marker=1.0)
    plain = pairs(reals + whole, phase=WHOLE_CROP)
    data = pairs(reals + whole, phase=WHOLE_CROP, augmentation=framed)

    for pair in range(10):
        fake, partner = data[2 * pair], data[2 * pair + 1]
        hidden = fake["mask"] == 0
        assert torch.allclose(fake["image"][:, hidden], partner["image"][:, hidden])
        untouched = fake["mask"] == 1
        shown = plain[2 * pair]["image"][:, untouched]
        assert torch.allclose(fake["image"][:, untouched], shown, atol=1e-5)


def test_most_partners_of_a_fake_drawn_in_small_are_as_coarse_as_it_is(
    reals: list[Scan], whole: list[Scan]
) -> None:
    small = [replace(fake, drawn_side=str(SIDE // 4)) for fake in whole]
    as_large = [replace(fake, drawn_side=str(SIDE)) for fake in whole]
    plain, matched, unmatched = (
        pairs(reals + fakes, phase=WHOLE_CROP) for fakes in (whole, small, as_large)
    )

    def coarser(data: PairDataset) -> float:
        changed = [
            not torch.equal(data[2 * pair + 1]["image"], plain[2 * pair + 1]["image"])
            for pair in range(60)
        ]
        return float(np.mean(changed))

    assert coarser(matched) == pytest.approx(MATCHED_SHARE, abs=0.15)
    assert coarser(unmatched) == 0
    for pair in range(10):
        assert torch.equal(matched[2 * pair]["image"], plain[2 * pair]["image"])


@pytest.mark.parametrize(("local_share", "expected"), [(0.0, 0.0), (0.75, 0.75), (1.0, 1.0)])
def test_local_edits_have_their_share(
    reals: list[Scan],
    local: list[Scan],
    whole: list[Scan],
    local_share: float,
    expected: float,
) -> None:
    data = pairs(reals + local + whole, local_share=local_share, phase=WHOLE_CROP)

    shares = [bool((data[2 * pair]["mask"] == 0).any()) for pair in range(200)]

    assert np.mean(shares) == pytest.approx(expected, abs=0.1)


def test_without_local_edits_every_fake_is_synthetic(reals: list[Scan], whole: list[Scan]) -> None:
    assert (pairs(reals + whole, local_share=1.0)[0]["mask"] == 1).all()


def test_without_synthetic_scans_every_fake_is_a_local_edit(
    reals: list[Scan], local: list[Scan]
) -> None:
    data = pairs(reals + local, local_share=0.0, phase=WHOLE_CROP)

    assert (data[0]["mask"] == 0).any()


def test_a_generator_with_many_fakes_counts_no_more_than_one_with_few(
    reals: list[Scan], whole: list[Scan]
) -> None:
    other = [replace(whole[3], generator="rare")]
    many = [replace(s, generator="frequent") for s in whole[:3]]
    pool = ScanPool(reals + many + other, SIDE)

    shown = [
        pool.draw_pair(generator_for(pair), local_share=1.0, balance=0.0)[0] for pair in range(300)
    ]

    assert np.mean([s.generator == "rare" for s in shown]) == pytest.approx(0.5, abs=0.1)


# --- repetition -----------------------------------------------------------------------------


def test_an_example_depends_on_seed_epoch_process_and_place_alone(
    reals: list[Scan], local: list[Scan]
) -> None:
    everything = AugmentationConfig()
    one = pairs(reals + local, augmentation=everything, seed=(1, 2, 0))
    same = pairs(reals + local, augmentation=everything, seed=(1, 2, 0))

    same[7], same[3]  # another order
    for index in (0, 1, 5):
        for key, value in one[index].items():
            assert torch.equal(value, same[index][key])


@pytest.mark.parametrize("seed", [(2, 2, 0), (1, 3, 0), (1, 2, 1)])
def test_another_seed_epoch_or_process_draws_others(
    reals: list[Scan], local: list[Scan], seed: tuple[int, ...]
) -> None:
    one, other = pairs(reals + local, seed=(1, 2, 0)), pairs(reals + local, seed=seed)

    assert any(not torch.equal(one[i]["image"], other[i]["image"]) for i in range(0, 10, 2))


def test_loader_processes_give_the_same_batches(reals: list[Scan], local: list[Scan]) -> None:
    data = pairs(reals + local, augmentation=AugmentationConfig(), phase=a_phase(steps_per_epoch=2))

    alone = list(DataLoader(data, 8))
    helped = list(DataLoader(data, 8, num_workers=1, multiprocessing_context="fork"))

    assert len(alone) == 2
    for mine, theirs in zip(alone, helped, strict=True):
        assert torch.equal(mine["image"], theirs["image"])


def test_an_epoch_has_the_steps_and_the_batch_size_of_its_phase(
    reals: list[Scan], local: list[Scan]
) -> None:
    data = pairs(reals + local, phase=a_phase(steps_per_epoch=3, batch_size=4))

    batches = list(DataLoader(data, 4))

    assert [tuple(batch["image"].shape) for batch in batches] == [(4, 3, 32, 32)] * 3
    assert all(batch["label"].tolist() == [1, 0, 1, 0] for batch in batches)


# --- geometry -------------------------------------------------------------------------------


@pytest.mark.parametrize("crop_size", [32, 64, 96, 128])
def test_a_crop_lies_within_the_scan_and_shows_the_centre_of_the_edit(crop_size: int) -> None:
    sampling = Sampling(seed=(0,), local_share=1, augmentation=AugmentationConfig(zoom=1.5))

    for focus in [(0, 0), (95, 95), (0, 95), (48, 20)]:
        for seed in range(50):
            crop = _draw_geometry(generator_for(seed), crop_size, SIDE, focus, sampling)
            assert 0 <= crop.top <= crop.top + crop.side <= SIDE
            assert 0 <= crop.left <= crop.left + crop.side <= SIDE
            assert crop.top <= focus[0] < crop.top + crop.side
            assert crop.left <= focus[1] < crop.left + crop.side


@pytest.mark.parametrize(("share", "low", "high"), [(0.0, 0, 20), (0.5, 75, 125), (1.0, 200, 200)])
def test_a_share_of_the_crops_keeps_the_pixels_of_its_scan(
    share: float, low: int, high: int
) -> None:
    augmentation = AugmentationConfig(zoom=1.5, unscaled=share)
    sampling = Sampling(seed=(0,), local_share=1, augmentation=augmentation)

    crops = [
        _draw_geometry(generator_for(seed), 32, SIDE, (40, 40), sampling) for seed in range(200)
    ]

    assert low <= sum(crop.side == 32 for crop in crops) <= high


@pytest.mark.parametrize("zoom", [1.0, 1.4])
def test_a_crop_has_its_size_whatever_the_zoom(
    reals: list[Scan], local: list[Scan], zoom: float
) -> None:
    augmentation = replace(NO_AUGMENTATION, zoom=zoom)
    data = pairs(reals + local, augmentation=augmentation)

    for index in range(10):
        assert data[index]["image"].shape == (3, 32, 32)
        assert data[index]["mask"].shape == (32, 32)


def test_scans_are_turned_upside_down_only_where_that_is_allowed(
    reals: list[Scan], whole: list[Scan]
) -> None:
    upright = pairs(reals + whole, phase=WHOLE_CROP)
    turned = pairs(
        reals + whole, phase=WHOLE_CROP, augmentation=replace(NO_AUGMENTATION, flip_vertical=True)
    )

    def shown(data: PairDataset) -> set[bytes]:
        return {data[2 * i + 1]["image"].numpy().tobytes() for i in range(300)}

    never = pairs(
        reals + whole,
        phase=WHOLE_CROP,
        augmentation=replace(NO_AUGMENTATION, flip_horizontal=False),
    )
    assert len(shown(never)) == len(reals)
    assert len(shown(upright)) == 2 * len(reals)  # as it is, and mirrored
    assert len(shown(turned)) == 8 * len(reals)


def test_the_centre_of_an_edit_is_its_middle() -> None:
    mask = np.zeros((20, 30), dtype=np.float32)
    mask[4:9, 10:21] = 1

    assert _center_of(mask) == (6, 15)


def test_the_scans_of_a_pair_and_the_mask_are_turned_by_the_same_angle(
    reals: list[Scan], local: list[Scan]
) -> None:
    data = pairs(
        reals + local,
        phase=WHOLE_CROP,
        augmentation=replace(NO_AUGMENTATION, rotation_degrees=30),
    )
    turned = 0

    for pair in range(10):
        fake, partner = data[2 * pair], data[2 * pair + 1]
        outside = fake["mask"] == 0
        assert torch.equal(fake["image"][:, outside], partner["image"][:, outside])
        turned += bool(((fake["mask"] > 0) & (fake["mask"] < 1)).any())
    assert turned == 10


# --- scans ----------------------------------------------------------------------------------


def test_a_scan_of_another_size_is_scaled_as_the_server_does(tmp_path: Path) -> None:
    write_grey(tmp_path / "wide.png", make_lung(0)[:64])
    reals = [a_scan(tmp_path / "wide.png", side="train")]

    pool = ScanPool([*reals, write_whole_fake(tmp_path, seed=1)], 48)

    square = pool.square(reals[0].path)
    assert square.shape == (48, 48)
    assert square == pytest.approx(squared(stored(make_lung(0)[:64]), 48), abs=1e-6)


@pytest.mark.parametrize(
    "chosen",
    [lambda reals, _fakes: reals, lambda _reals, fakes: fakes, lambda _reals, _fakes: []],
    ids=["no fakes", "no reals", "nothing"],
)
def test_a_class_without_scans_is_refused(
    reals: list[Scan],
    whole: list[Scan],
    chosen: Callable[[list[Scan], list[Scan]], list[Scan]],
) -> None:
    with pytest.raises(TooFewScansError, match="needs authentic scans and fakes"):
        ScanPool(chosen(reals, whole), SIDE)


def test_a_whole_scan_is_what_the_server_feeds(tmp_path: Path, reals: list[Scan]) -> None:
    data = WholeScanDataset(reals, SYSTEM.preprocessing)

    assert len(data) == 4
    for position in range(4):
        image, returned = data[position]
        grey = decode(reals[position].path.read_bytes(), modality("lung_ct")).grey
        assert returned == position
        assert torch.equal(image, preprocess(grey, SYSTEM.preprocessing))

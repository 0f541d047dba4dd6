from collections import Counter
from pathlib import Path

import pytest

from app.detection.labels import Label
from tests.training.lab import a_phase, a_scan, system_config
from training.config import DiagnosisConfig
from training.data.manifest import Scan
from training.data.selection import scans_for, thinned, with_fewer_fakes
from training.errors import TooFewScansError

OSTEOARTHRITIS = DiagnosisConfig(column="grade", positive=["2", "3", "4"])


def many() -> list[Scan]:
    scans = []
    for side, count in (("train", 30), ("validation", 10), ("test", 4)):
        for i in range(count):
            real = a_scan(Path(f"/scans/{side}{i}.png"), side=side, grade=str(i % 5))
            local = a_scan(
                f"/fakes/{side}{i}.png",
                label=Label.FAKE,
                side=side,
                generator="edit",
                origin=str(real.path),
            )
            whole = a_scan(f"/whole/{side}{i}.png", label=Label.FAKE, side=side, generator="blocks")
            scans += [real, local, whole]
    return scans


def test_a_system_without_wishes_has_every_scan() -> None:
    assert scans_for(system_config(), many()) == many()


def test_a_limit_holds_for_authentic_scans_and_for_each_generator_on_each_side() -> None:
    kept = thinned(many(), 8, seed=1)

    counts = Counter((s.side, s.generator) for s in kept)
    assert counts == {
        (side, generator): min(8, there)
        for side, there in (("train", 30), ("validation", 10), ("test", 4))
        for generator in ("", "edit", "blocks")
    }


def test_fewer_fakes_leave_every_authentic_scan() -> None:
    kept = with_fewer_fakes(many(), 8, seed=1)

    counts = Counter((s.side, s.generator) for s in kept)
    assert counts == {
        (side, generator): min(8, there) if generator else there
        for side, there in (("train", 30), ("validation", 10), ("test", 4))
        for generator in ("", "edit", "blocks")
    }
    assert kept == with_fewer_fakes(many(), 8, seed=1) != with_fewer_fakes(many(), 8, seed=2)


def test_a_fake_stays_with_the_scan_it_was_made_from() -> None:
    kept = thinned(many(), 8, seed=1)

    reals = {str(s.path) for s in kept if s.label is Label.REAL}
    assert {s.origin for s in kept if s.origin} == reals


def test_the_same_seed_chooses_the_same_scans() -> None:
    assert thinned(many(), 8, seed=1) == thinned(many(), 8, seed=1)
    assert thinned(many(), 8, seed=1) != thinned(many(), 8, seed=2)


def test_a_finding_takes_the_place_of_forgery_and_fakes_are_left_out() -> None:
    config = system_config(
        diagnosis=OSTEOARTHRITIS,
        sampling="epoch",
        cell_loss=0.0,
        phases=[a_phase(crop_size=64)],
    )

    chosen = scans_for(config, many())

    assert len(chosen) == 44
    assert {(s.grade, s.label) for s in chosen} == {
        ("0", Label.REAL),
        ("1", Label.REAL),
        ("2", Label.FAKE),
        ("3", Label.FAKE),
        ("4", Label.FAKE),
    }


def test_a_finding_that_no_scan_has_an_entry_for_is_refused() -> None:
    config = system_config(
        diagnosis=OSTEOARTHRITIS,
        sampling="epoch",
        cell_loss=0.0,
        phases=[a_phase(crop_size=64)],
    )

    with pytest.raises(TooFewScansError, match="'grade'"):
        scans_for(config, [a_scan()])

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import pytest

from app.detection.labels import Label
from tests.training.lab import a_scan, dataset_config
from training.config import SideShares
from training.data.manifest import Scan
from training.data.splits import assign_sides, check_no_leak
from training.errors import LeakError

EXTERNAL = SideShares(train=0.0, validation=0.33, test=0.67)


def scans_of(patients: int, *, each: int = 3, source: str = "drawn") -> list[Scan]:
    return [
        a_scan(f"{source}{patient}-{number}.png", source=source, patient=f"p{patient}")
        for patient in range(patients)
        for number in range(each)
    ]


def sides_by_person(scans: Sequence[Scan]) -> dict[str, set[str]]:
    sides: dict[str, set[str]] = {}
    for scan in scans:
        sides.setdefault(scan.person, set()).add(scan.side)
    return sides


def test_all_scans_of_a_patient_stand_on_one_side() -> None:
    divided = assign_sides(scans_of(40) + scans_of(7, source="other"), dataset_config())

    assert len(divided) == 141
    assert all(len(sides) == 1 for sides in sides_by_person(divided).values())
    check_no_leak(divided)


def test_the_shares_hold_within_every_source() -> None:
    divided = assign_sides(scans_of(40) + scans_of(20, source="other"), dataset_config())

    for source, patients in (("drawn", 40), ("other", 20)):
        sides = sides_by_person([s for s in divided if s.source == source])
        counts = Counter(side for (side,) in sides.values())
        assert counts == {
            "train": patients // 2,
            "validation": patients // 4,
            "test": patients // 4,
        }


def test_the_division_depends_on_the_seed_and_not_on_the_order() -> None:
    scans, config = scans_of(30), dataset_config()

    again = assign_sides(scans[::-1], config)

    assert assign_sides(scans, config) == again[::-1]
    assert assign_sides(scans, dataset_config(seed=2)) != assign_sides(scans, config)


def test_a_further_source_does_not_move_the_patients_of_another() -> None:
    alone = assign_sides(scans_of(12), dataset_config())
    together = assign_sides(scans_of(9, source="another") + scans_of(12), dataset_config())

    assert [s for s in together if s.source == "drawn"] == alone


def test_a_source_with_its_own_shares_never_trains() -> None:
    config = dataset_config(own_sides={"external": EXTERNAL})

    for patients in range(1, 30):
        divided = assign_sides(scans_of(patients, source="external") + scans_of(5), config)
        sides = Counter(s.side for s in divided if s.source == "external")
        assert sides["train"] == 0
        assert sides["test"] > 0


def test_a_single_patient_trains() -> None:
    assert {s.side for s in assign_sides(scans_of(1), dataset_config())} == {"train"}


def test_scans_of_unknown_patients_are_divided_one_by_one() -> None:
    scans = [a_scan(f"{number}.png", patient="") for number in range(8)]

    counts = Counter(s.side for s in assign_sides(scans, dataset_config()))

    assert counts == {"train": 4, "validation": 2, "test": 2}


def test_a_patient_on_two_sides_is_a_leak_and_is_named() -> None:
    scans = [a_scan("a.png", side="train"), a_scan("b.png", side="test")]

    with pytest.raises(LeakError, match=r"patient drawn/p0 .*: test, train"):
        check_no_leak(scans)


def test_a_scan_on_two_sides_is_a_leak_and_is_named() -> None:
    scans = [
        a_scan("a.png", patient="p1", side="train"),
        a_scan("a.png", patient="p2", side="validation"),
    ]

    with pytest.raises(LeakError, match=r"scan .*a\.png"):
        check_no_leak(scans)


def test_a_fake_on_another_side_than_its_origin_is_a_leak_and_is_named() -> None:
    real = a_scan("a.png", patient="p1", side="train")
    fake = a_scan("b.png", patient="p2", label=Label.FAKE, side="test", origin="a.png")

    with pytest.raises(LeakError, match=r"scan .*a\.png"):
        check_no_leak([real, fake])


def test_a_leak_is_found_though_the_origin_is_written_in_full_and_the_scan_is_not() -> None:
    real = a_scan("scans/a.png", patient="p1", side="train")
    origin = str(real.path.resolve())
    fake = a_scan("scans/b.png", patient="p2", label=Label.FAKE, side="test", origin=origin)

    with pytest.raises(LeakError, match=r"See scans/b\.png and scans/a\.png"):
        check_no_leak([real, fake])


def test_two_fakes_of_one_origin_on_two_sides_are_a_leak_though_the_origin_is_not_listed() -> None:
    fakes = [
        a_scan(f"{side}.png", patient=side, label=Label.FAKE, side=side, origin="a.png")
        for side in ("train", "test")
    ]

    with pytest.raises(LeakError, match=r"scan .*a\.png"):
        check_no_leak(fakes)


# --- sides that rows bring ------------------------------------------------------------------


def test_a_side_that_is_given_is_kept_and_holds_for_the_whole_patient() -> None:
    scans = scans_of(20, each=2)
    given = [replace(s, side="test") if s.path.stem.endswith("-0") else s for s in scans]

    divided = assign_sides(given, dataset_config())

    assert {scan.side for scan in divided} == {"test"}


def test_given_sides_leave_the_others_to_the_seed() -> None:
    scans = [a_scan("own.png", patient="own", side="validation"), *scans_of(12)]

    own, *others = assign_sides(scans, dataset_config())

    assert own.side == "validation"
    assert {scan.side for scan in others} == {"train", "validation", "test"}


def test_a_patient_that_is_given_two_sides_is_a_leak_that_names_both_scans() -> None:
    scans = [a_scan("a.png", side="train"), a_scan("b.png", side="test"), a_scan("c.png")]

    with pytest.raises(LeakError, match=r"patient drawn/p0 .*See b\.png and a\.png"):
        check_no_leak(assign_sides(scans, dataset_config()))


def test_a_fake_of_nobody_goes_with_the_scan_that_it_was_made_from() -> None:
    reals = scans_of(12, each=1)
    fakes = [
        a_scan(
            f"fake-{real.path.name}",
            label=Label.FAKE,
            source="editor",
            patient="",
            origin=str(real.path.resolve()),
        )
        for real in reals
    ]

    divided = assign_sides([*reals, *fakes], dataset_config())

    assert [scan.side for scan in divided[12:]] == [scan.side for scan in divided[:12]]
    check_no_leak(divided)

import subprocess
import sys

import numpy as np

from training.seeding import generator_for, seed_for


def test_the_same_names_give_the_same_numbers_and_others_others() -> None:
    first = generator_for("crop", 1, 2).random(4)

    assert np.array_equal(generator_for("crop", 1, 2).random(4), first)
    for names in (("crop", 1, 3), ("crop", 12), ("crop", 2, 1), ("crops", 1, 2)):
        assert not np.array_equal(generator_for(*names).random(4), first)


def test_a_seed_fits_what_torch_takes() -> None:
    seeds = [seed_for("fake", number) for number in range(200)]

    assert len(set(seeds)) == 200
    assert all(0 <= seed < 2**31 for seed in seeds)


def test_numbers_are_the_same_in_another_process() -> None:
    code = "from training.seeding import seed_for; print(seed_for('fake', 7, 'scan'))"

    printed = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    ).stdout

    assert int(printed) == seed_for("fake", 7, "scan")

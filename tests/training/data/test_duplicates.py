from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from app.detection.labels import Label
from tests.training.lab import a_scan, make_lung
from training.data.augment import jpeg_round_trip
from training.data.duplicates import SAME_IMAGE, fingerprint, strangers_alike

Grey = NDArray[np.float32]


def make_film(seed: int) -> Grey:
    """Draw clouds of every size, as different from another seed's as two people are."""
    rng = np.random.default_rng(seed)
    clouds = [ndimage.gaussian_filter(rng.random((128, 128)), sigma) for sigma in (2, 4, 8, 16)]
    film = np.sum([(c - c.mean()) / c.std() for c in clouds], axis=0)
    scaled: Grey = ((film - film.min()) / np.ptp(film)).astype(np.float32)
    return scaled


def resized(grey: Grey, side: int) -> Grey:
    image = Image.fromarray(grey).resize((side, side), Image.Resampling.BILINEAR)
    return np.asarray(image)


CHANGES: dict[str, Callable[[Grey], Grey]] = {
    "JPEG": lambda grey: jpeg_round_trip(grey, quality=60),
    "half the size": lambda grey: resized(grey, 64),
    "twice the size": lambda grey: resized(grey, 256),
    "brighter": lambda grey: 0.6 * grey + 0.3,
    "negative gamma": lambda grey: grey**1.2,
    "mirrored": lambda grey: grey[:, ::-1],
    "upside down": lambda grey: grey[::-1],
    "turned by half": lambda grey: grey[::-1, ::-1],
    "inverted": lambda grey: 1 - grey,
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_copy_is_found_whatever_was_done_to_its_file(change: str) -> None:
    films = [make_film(seed) for seed in range(6)]
    films.append(CHANGES[change](films[2]).astype(np.float32))
    scans = [a_scan(f"{n}.png", patient=str(n)) for n in range(7)]

    (pair,) = strangers_alike(scans, [fingerprint(film) for film in films])

    assert (pair.first, pair.second) == (2, 6)
    assert SAME_IMAGE <= pair.likeness <= 1


def test_scans_of_different_people_are_not_alike() -> None:
    scans = [a_scan(f"{n}.png", patient=str(n)) for n in range(40)]

    assert not strangers_alike(scans, [fingerprint(make_film(n)) for n in range(40)])


def test_scans_of_one_patient_may_be_alike() -> None:
    scans = [a_scan("a.png"), a_scan("b.png")]

    assert not strangers_alike(scans, [fingerprint(make_film(0))] * 2)


def test_a_fake_may_be_like_the_scan_that_it_was_made_from() -> None:
    real = a_scan("a.png", patient="one")
    fake = a_scan("b.png", patient="", label=Label.FAKE, origin=str(Path("a.png")))

    assert not strangers_alike([real, fake], [fingerprint(make_lung())] * 2)


def test_empty_scans_are_like_nothing() -> None:
    scans = [a_scan("a.png", patient="one"), a_scan("b.png", patient="two")]

    assert not strangers_alike(scans, [fingerprint(np.full((80, 90), 0.5, np.float32))] * 2)

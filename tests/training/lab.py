"""Makes what the tests of training need: lung-like pictures, manifests, indexes and configs.

No scan of a person is used: every picture is drawn from a seed.
"""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.detection.card import ArchitectureSpec
from app.detection.labels import Label
from app.detection.preprocessing import to_square
from tests.factories import png_bytes
from training.config import (
    AugmentationConfig,
    DatasetConfig,
    FakesConfig,
    PhaseConfig,
    SideShares,
    SystemConfig,
)
from training.data.images import write_grey
from training.data.manifest import Scan

SIDE = 96
NO_AUGMENTATION = AugmentationConfig(zoom=1.0, window=0, resample=0, blur=0, noise=0, jpeg=0)
TINY_DCGAN: Mapping[str, Any] = {
    "output_side": SIDE,
    "side": 16,
    "width": 4,
    "epochs": 2,
    "batch_size": 16,
}
TINY_INPAINTING: Mapping[str, Any] = {
    "sites": "lung",
    "min_side": 14,
    "max_side": 18,
    "patches_per_scan": 2,
    "steps": 3,
    "batch_size": 4,
}


# --- pictures -------------------------------------------------------------------------------


def make_lung(seed: int = 0, side: int = SIDE) -> NDArray[np.float32]:
    """Draw a body with two dark lungs and some bright spots: float32 in [0, 1], square."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[-1 : 1 : side * 1j, -1 : 1 : side * 1j]

    def ellipse(row: float, column: float, height: float, width: float) -> NDArray[np.bool_]:
        inside: NDArray[np.bool_] = ((rows - row) / height) ** 2 + (
            (columns - column) / width
        ) ** 2 < 1
        return inside

    grey = np.where(ellipse(0, 0, 0.85, 0.95), 0.75, 0.05)
    for column in (-0.45, 0.45):
        height, width = rng.uniform(0.58, 0.66), rng.uniform(0.34, 0.38)
        grey[ellipse(0, column, height, width)] = 0.25
        for _ in range(3):
            row, shift = rng.uniform(-0.3, 0.3), rng.uniform(-0.1, 0.1)
            grey[ellipse(row, column + shift, 0.05, 0.05)] = 0.6
    noisy: NDArray[np.float32] = np.clip(grey + rng.normal(0, 0.02, grey.shape), 0, 1)
    return noisy.astype(np.float32)


def stored(grey: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return grey values as they come back from an 8-bit file."""
    return np.round(grey * 255).astype(np.float32) / np.float32(255)


def squared(grey: NDArray[np.float32], side: int) -> NDArray[np.float32]:
    """Return a scan as the detector's square, in 8 bits."""
    return stored(to_square(grey, side).numpy())


# --- manifests and indexes ------------------------------------------------------------------


def write_manifest(path: Path, rows: Sequence[Mapping[str, object]]) -> Path:
    """Write a CSV with the columns of all rows together."""
    columns = list(dict.fromkeys(column for row in rows for column in row))
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)
    return path


def make_manifest(folder: Path, scans: int, *, per_patient: int = 1) -> Path:
    """Draw authentic lung pictures and write their manifest."""
    rows = []
    for number in range(scans):
        (folder / f"scan{number}.png").write_bytes(png_bytes(make_lung(number)))
        patient = f"p{number // per_patient}"
        rows.append(
            {"path": f"scan{number}.png", "label": "real", "source": "drawn", "patient": patient}
        )
    return write_manifest(folder / "manifest.csv", rows)


def a_scan(path: Path | str = "scan.png", **changes: Any) -> Scan:
    """Return a row for an authentic scan; ``changes`` replace fields."""
    fields: dict[str, Any] = {"label": Label.REAL, "source": "drawn", "patient": "p0"}
    return Scan(path=Path(path), **(fields | changes))


def write_reals(
    folder: Path, count: int, *, side_name: str = "train", first: int = 0
) -> list[Scan]:
    """Draw authentic scans of one side into prepared files."""
    scans = []
    for seed in range(first, first + count):
        path = folder / f"real{seed}.png"
        write_grey(path, make_lung(seed))
        scans.append(a_scan(path, patient=f"p{seed}", side=side_name))
    return scans


def write_local_fake(real: Scan, folder: Path, *, seed: int = 0) -> Scan:
    """Edit a square of an authentic scan: noise of another grain, with its mask."""
    rng = np.random.default_rng(seed)
    grey = make_lung(int(real.path.stem.removeprefix("real")))
    row, column = (int(v) for v in rng.integers(16, SIDE - 32, size=2))
    window = np.s_[row : row + 16, column : column + 16]
    mask = np.zeros_like(grey)
    mask[window] = 1
    grey[window] = np.kron(rng.random((4, 4)), np.ones((4, 4)))
    path, mask_path = folder / f"local-{real.path.name}", folder / f"mask-{real.path.name}"
    write_grey(path, grey)
    write_grey(mask_path, mask)
    return a_scan(
        path,
        label=Label.FAKE,
        patient=real.patient,
        side=real.side,
        generator="square",
        seed="1",
        origin=str(real.path),
        mask=str(mask_path),
    )


def write_whole_fake(folder: Path, *, seed: int, side_name: str = "train") -> Scan:
    """Draw a scan that is synthetic all over: coarse blocks."""
    rng = np.random.default_rng(seed)
    path = folder / f"whole{seed}.png"
    write_grey(path, np.kron(rng.random((12, 12)), np.ones((8, 8))).astype(np.float32))
    return a_scan(
        path,
        label=Label.FAKE,
        source="blocks",
        patient=str(seed),
        side=side_name,
        generator="blocks",
        seed=str(seed),
    )


def write_dataset(
    folder: Path, *, train: int = 8, validation: int = 8, test: int = 0
) -> list[Scan]:
    """Make authentic scans, a local fake of each and as many whole fakes, on every side."""
    scans: list[Scan] = []
    for side_name, count in (("train", train), ("validation", validation), ("test", test)):
        reals = write_reals(folder, count, side_name=side_name, first=len(scans))
        scans += reals
        scans += [write_local_fake(real, folder, seed=i) for i, real in enumerate(reals)]
        scans += [
            write_whole_fake(folder, seed=len(scans) + i, side_name=side_name) for i in range(count)
        ]
    return scans


# --- configs --------------------------------------------------------------------------------


def dataset_config(**changes: Any) -> DatasetConfig:
    """Return the config of a small data set with both generators; ``changes`` replace fields."""
    fields: dict[str, Any] = {
        "name": "drawn_lungs",
        "modality": "lung_ct",
        "seed": 1,
        "sides": SideShares(train=0.5, validation=0.25, test=0.25),
        "fakes": [
            FakesConfig(generator="dcgan", seed=1, arguments=dict(TINY_DCGAN)),
            FakesConfig(generator="inpainting_gan", seed=2, arguments=dict(TINY_INPAINTING)),
        ],
    }
    return DatasetConfig(**(fields | changes))


def a_phase(**changes: Any) -> PhaseConfig:
    """Return a short phase; ``changes`` replace fields."""
    fields: dict[str, Any] = {
        "epochs": 3,
        "steps_per_epoch": 10,
        "crop_size": 32,
        "batch_size": 8,
        "learning_rate": 1e-2,
        "patience": 3,
    }
    return PhaseConfig(**(fields | changes))


def system_config(**changes: Any) -> SystemConfig:
    """Return the config of a tiny plain CNN; ``changes`` replace fields."""
    fields: dict[str, Any] = {
        "name": "lung_ct_tiny",
        "dataset": "drawn_lungs",
        "seed": 3,
        "architecture": ArchitectureSpec(
            name="plain_cnn", arguments={"widths": [8, 16], "sharpness": 0.0}
        ),
        "image_size": 64,
        "phases": [a_phase()],
        "precision": "32-true",
        "augmentation": NO_AUGMENTATION,
        "intended_use": "For tests only.",
    }
    return SystemConfig(**(fields | changes))

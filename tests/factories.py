"""Makes what the tests need: synthetic scans, files in every format, tiny published weights.

No scan of a person is used anywhere: every image is drawn from a seed.
"""

import io
import struct
import tomllib
import zipfile
import zlib
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from numpy.typing import NDArray
from PIL import Image

from app.detection.architectures import build
from app.detection.card import (
    ArchitectureSpec,
    Card,
    DataSource,
    Estimate,
    PreprocessingSpec,
)
from app.detection.gate import GATE_PREPROCESSING_VERSION
from app.detection.gate_card import GATE_NAME, GateCard
from app.detection.labels import Verdict
from app.detection.preprocessing import IMAGENET_MEAN, IMAGENET_STD, PREPROCESSING_VERSION
from app.detection.verdict import OperatingPoint
from app.detection.weights import ACTIVE_FILE, CHECKPOINT_SUFFIX
from tests.dicom_files import make_dicom, save_dicom

TINY_IMAGE_SIZE = 64
TINY_NAME = "tiny"


# --- scans ----------------------------------------------------------------------------------


def make_grey(width: int = 96, height: int = 80, seed: int = 0) -> NDArray[np.float32]:
    """Draw a body-like ellipse with noise: float32 in [0, 1], shape ``[height, width]``."""
    generator = np.random.default_rng(seed)
    rows, columns = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    radius = generator.uniform(0.6, 0.9)
    body = (rows**2 + (columns / generator.uniform(0.7, 1)) ** 2 < radius**2) * 0.6
    noise = generator.normal(0, 0.08, (height, width))
    grey: NDArray[np.float32] = np.clip(body + 0.1 + noise, 0, 1).astype(np.float32)
    return grey


def grey8(grey: NDArray[np.float32] | None = None) -> NDArray[np.uint8]:
    """Return a scan as 8-bit values; ``make_grey()`` where None."""
    return np.round((make_grey() if grey is None else grey) * 255).astype(np.uint8)


def grey16(grey: NDArray[np.float32] | None = None) -> NDArray[np.uint16]:
    """Return a scan as 16-bit values; ``make_grey()`` where None."""
    return np.round((make_grey() if grey is None else grey) * 65535).astype(np.uint16)


# --- picture files --------------------------------------------------------------------------


def picture_bytes(image: Image.Image, image_format: str, **options: Any) -> bytes:
    """Encode a Pillow image."""
    buffer = io.BytesIO()
    image.save(buffer, format=image_format, **options)
    return buffer.getvalue()


def png_bytes(grey: NDArray[np.float32] | None = None, *, mode: str = "L") -> bytes:
    """Encode a scan as 8-bit PNG in a Pillow mode: L, RGB, RGBA, LA, P or 1."""
    return picture_bytes(Image.fromarray(grey8(grey)).convert(mode), "PNG")


def jpeg_bytes(
    grey: NDArray[np.float32] | None = None, *, mode: str = "L", orientation: int | None = None
) -> bytes:
    """Encode a scan as JPEG in the mode ``L``, ``RGB`` or ``CMYK``, with an EXIF orientation."""
    image = Image.fromarray(grey8(grey)).convert("RGB" if mode == "CMYK" else mode).convert(mode)
    exif = Image.Exif()
    if orientation is not None:
        exif[0x0112] = orientation
    return picture_bytes(image, "JPEG", quality=95, exif=exif)


def tiff_bytes(
    grey: NDArray[np.float32] | None = None, *, mode: str = "L", frames: int = 1
) -> bytes:
    """Encode a scan as 8-bit TIFF, the same ``frames`` times."""
    image = Image.fromarray(grey8(grey)).convert(mode)
    more = [image.copy() for _ in range(frames - 1)]
    return picture_bytes(image, "TIFF", save_all=True, append_images=more)


def bmp_bytes(grey: NDArray[np.float32] | None = None, *, mode: str = "L") -> bytes:
    """Encode a scan as BMP."""
    return picture_bytes(Image.fromarray(grey8(grey)).convert(mode), "BMP")


def png16_bytes(grey: NDArray[np.float32] | None = None) -> bytes:
    """Encode a scan as 16-bit PNG."""
    return picture_bytes(Image.fromarray(grey16(grey)), "PNG")


def tiff16_bytes(grey: NDArray[np.float32] | None = None) -> bytes:
    """Encode a scan as 16-bit TIFF."""
    return picture_bytes(Image.fromarray(grey16(grey)), "TIFF")


def float_tiff_bytes(grey: NDArray[np.float32] | None = None) -> bytes:
    """Encode a scan as TIFF of 32-bit floating-point numbers."""
    return picture_bytes(Image.fromarray(make_grey() if grey is None else grey), "TIFF")


def truncated(data: bytes, share: float = 0.6) -> bytes:
    """Cut a file short, keeping this share of its bytes."""
    return data[: int(len(data) * share)]


def huge_png_header(width: int = 30_000, height: int = 30_000) -> bytes:
    """Return a valid small grey PNG that decodes to ``width`` × ``height`` black pixels."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        checksum = zlib.crc32(kind + body)
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", checksum)

    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)  # one bit a pixel, grey
    compressor = zlib.compressobj(9)
    row = bytes(1 + (width + 7) // 8)
    body = b"".join(compressor.compress(row) for _ in range(height)) + compressor.flush()
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")
    )


# --- DICOM files ----------------------------------------------------------------------------


def dicom_bytes(
    grey: NDArray[np.float32] | None = None,
    *,
    transfer_syntax: str = "explicit",
    **attributes: Any,
) -> bytes:
    """Encode a scan as a CT slice in Hounsfield units (-1350 … 150 HU for 0 … 1).

    With the lung window (centre -600, width 1500) it decodes to ``grey`` again. ``attributes``
    are those of ``make_dicom``, so ``SyntheticData="YES"`` or ``Modality="DX"`` can be said.
    """
    scan = make_grey() if grey is None else grey
    stored = np.round(scan * 1500 - 1350 + 2048).astype(np.uint16)
    rescale = {"RescaleSlope": 1, "RescaleIntercept": -2048, "BitsStored": 12, "HighBit": 11}
    return save_dicom(make_dicom(stored, **(rescale | attributes)), transfer_syntax)


# --- published weights ----------------------------------------------------------------------


def operating_point_for(verdict: Verdict) -> OperatingPoint:
    """Return an operating point at which any scan gets this verdict."""
    biases = {Verdict.FAKE: -100.0, Verdict.REAL: 100.0}
    band = (0.0, 1.0) if verdict is Verdict.INCONCLUSIVE else (0.3, 0.7)
    return OperatingPoint(
        temperature=1.0, bias=biases.get(verdict, 0.0), threshold=0.5, inconclusive_band=band
    )


def make_card(modality: str = "lung_ct", *, digest: str = "0" * 64, **changes: Any) -> Card:
    """Return the card of a tiny network; ``changes`` replace fields."""
    fields: dict[str, Any] = {
        "name": TINY_NAME,
        "modality": modality,
        "sha256": digest,
        "created": "2026-11-20",
        "architecture": ArchitectureSpec(
            name="plain_cnn", arguments={"widths": [4, 8], "sharpness": 0.0}
        ),
        "preprocessing": PreprocessingSpec(
            image_size=TINY_IMAGE_SIZE,
            mean=IMAGENET_MEAN,
            std=IMAGENET_STD,
            version=PREPROCESSING_VERSION,
        ),
        "operating_point": OperatingPoint(
            temperature=1.0, bias=0.0, threshold=0.5, inconclusive_band=(0.3, 0.7)
        ),
        "metrics": {
            "auc": Estimate(value=0.93, low=0.90, high=0.96),
            "balanced_accuracy": Estimate(value=0.88, low=0.84, high=0.92),
            "false_alarm_rate": Estimate(value=0.04, low=0.02, high=0.08),
            "miss_rate": Estimate(value=0.07, low=0.04, high=0.12),
            "coverage": Estimate(value=0.91, low=0.88, high=0.94),
        },
        "metrics_by_generator": {"dcgan": Estimate(value=0.97, low=0.94, high=0.99)},
        "data": (
            DataSource(name="synthetic", use="train", scans=120, patients=12, licence="our own"),
        ),
        "intended_use": "For tests only.",
        "limits": ("It has seen no scan of a person.",),
        "training": {"seed": 0},
    }
    return Card(**(fields | changes))


def publish_tiny_weights(
    weights_dir: Path, modality: str, *, seed: int = 0, name: str = TINY_NAME, **changes: Any
) -> Card:
    """Publish a tiny seeded network exactly as a trained one, and make it the active one.

    Args:
        weights_dir: Folder of all weights; made where it is missing.
        modality: Key of the modality that it serves.
        seed: Of its random weights.
        name: Of the checkpoint.
        **changes: Fields of the card that differ from ``make_card``, such as
            ``operating_point=operating_point_for(Verdict.FAKE)``.

    Returns:
        The card that was written.
    """
    architecture = changes.get("architecture", make_card().architecture)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = build(architecture)
    tensors = {
        key: tensor.half() if tensor.is_floating_point() else tensor
        for key, tensor in network.state_dict().items()
    }
    data = safetensors.torch.save(tensors)
    card = make_card(modality, digest=sha256(data).hexdigest(), **({"name": name} | changes))
    folder = weights_dir / modality
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}{CHECKPOINT_SUFFIX}").write_bytes(data)
    (folder / f"{name}.json").write_text(card.to_json(), encoding="utf-8")
    activate(weights_dir, {modality: name})
    return card


def make_gate_card(
    modality: str = "lung_ct", *, digest: str = "0" * 64, **changes: Any
) -> GateCard:
    """Return the card of a tiny gate; ``changes`` replace fields."""
    fields: dict[str, Any] = {
        "modality": modality,
        "sha256": digest,
        "created": "2026-11-20",
        "architecture": make_card().architecture,
        "preprocessing": PreprocessingSpec(
            image_size=32, mean=IMAGENET_MEAN, std=IMAGENET_STD, version=GATE_PREPROCESSING_VERSION
        ),
        "threshold": 0.5,
        "wrongly_stopped": {"authentic scans": Estimate(value=0.004, low=0.0, high=0.01)},
        "rightly_stopped": {"photograph": Estimate(value=0.99, low=0.98, high=1.0)},
        "data": (
            DataSource(name="synthetic", use="train", scans=120, patients=12, licence="our own"),
        ),
        "limits": ("It has seen no photograph.",),
    }
    return GateCard(**(fields | changes))


def publish_tiny_gate(
    weights_dir: Path, modality: str, *, lets_pass: bool, **changes: Any
) -> GateCard:
    """Publish a tiny seeded gate that lets everything pass, or nothing; return its card."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = build(make_card().architecture)
    data = safetensors.torch.save({k: v.half() for k, v in network.state_dict().items()})
    digest, threshold = sha256(data).hexdigest(), 0.0 if lets_pass else 1.0
    card = make_gate_card(modality, digest=digest, **({"threshold": threshold} | changes))
    folder = weights_dir / modality
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{GATE_NAME}{CHECKPOINT_SUFFIX}").write_bytes(data)
    (folder / f"{GATE_NAME}.json").write_text(card.to_json(), encoding="utf-8")
    return card


def activate(weights_dir: Path, names: Mapping[str, str]) -> None:
    """Name the serving checkpoint of some modalities, keeping that of the others."""
    path = weights_dir / ACTIVE_FILE
    active = tomllib.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    lines = [f'{modality} = "{name}"\n' for modality, name in sorted({**active, **names}.items())]
    path.write_text("".join(lines), encoding="utf-8")


# --- several scans in one file --------------------------------------------------------------


def zip_bytes(files: Mapping[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """Pack files, by name, into a zip archive."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def series_files(
    slices: int, *, uid: str = "1.2.826.0.1.3680043.8.498.1", grey: int = 0
) -> dict[str, bytes]:
    """Encode the slices of a CT series as DICOM files, 1 mm apart and named in another order.

    Args:
        slices: How many.
        uid: Of the series.
        grey: Seed of the first slice; each has one of its own.
    """
    return {
        f"CT/IM{(7 * number) % 1009:04}": dicom_bytes(
            make_grey(seed=grey + number),
            SeriesInstanceUID=uid,
            SOPInstanceUID=f"{uid}.{number + 1}",
            InstanceNumber=str(number + 1),
            ImagePositionPatient=["0", "0", str(number)],
            ImageOrientationPatient=["1", "0", "0", "0", "1", "0"],
        )
        for number in range(slices)
    }

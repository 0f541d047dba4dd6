"""Training, evaluation and serving see the same scan and say the same of it."""

from collections.abc import Callable
from pathlib import Path

import lightning
import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from app.detection.card import ArchitectureSpec
from app.detection.decoding import decode
from app.detection.labels import Label
from app.detection.preprocessing import preprocess
from app.detection.spec import modalities, modality
from app.detection.weights import active_checkpoint, load_detector
from app.engine.engine import InProcessEngine
from tests.factories import (
    bmp_bytes,
    dicom_bytes,
    jpeg_bytes,
    make_card,
    make_grey,
    png16_bytes,
    png_bytes,
    publish_tiny_weights,
    tiff16_bytes,
    tiff_bytes,
)
from tests.training.lab import a_scan, dataset_config, system_config, write_manifest
from training.classifiers.module import DetectorModule
from training.data.dataset import ScanPool, WholeScanDataset
from training.data.manifest import Scan
from training.data.prepare import prepare
from training.evaluation.predict import predict
from training.runs import DatasetPaths

SPEC = make_card().preprocessing
GREY_LEVEL = 1 / 255 / min(SPEC.std)
EIGHT_BIT = {
    "png": png_bytes,
    "rgb": lambda grey: png_bytes(grey, mode="RGB"),
    "jpeg": jpeg_bytes,
    "tiff": tiff_bytes,
    "bmp": bmp_bytes,
}
DEEPER = {"png16": png16_bytes, "tiff16": tiff16_bytes, "dicom": dicom_bytes}
SIZES = [(64, 64), (96, 80), (70, 150)]

Encode = Callable[[np.ndarray[tuple[int, ...], np.dtype[np.float32]]], bytes]


def prepared(data: bytes, folder: Path, key: str = "lung_ct") -> Scan:
    """Send a file through the first stage of training."""
    (folder / "scan").write_bytes(data)
    row = {"path": "scan", "label": "real", "source": "drawn", "patient": "p"}
    manifest = write_manifest(folder / "m.csv", [row])
    (scan,) = prepare(manifest, dataset_config(modality=key), DatasetPaths(folder / "dataset"))
    return scan


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("encode", EIGHT_BIT.values(), ids=EIGHT_BIT)
def test_training_and_serving_make_the_same_input_of_a_file(
    tmp_path: Path, encode: Encode, size: tuple[int, int]
) -> None:
    data = encode(make_grey(*size))
    scan = prepared(data, tmp_path)

    served = preprocess(decode(data, modality("lung_ct")).grey, SPEC)

    trained, _ = WholeScanDataset([scan], SPEC)[0]
    assert torch.equal(trained, served)


@pytest.mark.parametrize("encode", DEEPER.values(), ids=DEEPER)
def test_a_file_of_more_than_eight_bits_differs_by_half_a_grey_level_at_most(
    tmp_path: Path, encode: Encode
) -> None:
    data = encode(make_grey())
    scan = prepared(data, tmp_path)

    served = preprocess(decode(data, modality("lung_ct")).grey, SPEC)

    trained, _ = WholeScanDataset([scan], SPEC)[0]
    assert (trained - served).abs().max() <= 0.5001 * GREY_LEVEL


@pytest.mark.parametrize("size", SIZES)
def test_the_square_that_crops_are_cut_from_is_the_one_that_is_served(
    tmp_path: Path, size: tuple[int, int]
) -> None:
    data = png_bytes(make_grey(*size))
    scan = prepared(data, tmp_path)
    pool = ScanPool([scan, a_scan("fake.png", label=Label.FAKE, generator="g")], SPEC.image_size)

    served = preprocess(decode(data, modality("lung_ct")).grey, SPEC)

    square = torch.from_numpy(pool.square(scan.path))
    grey = served[0] * SPEC.std[0] + SPEC.mean[0]
    assert (square - grey).abs().max() <= 0.5001 / 255


@pytest.mark.parametrize("key", modalities())
@pytest.mark.parametrize("encode", [png_bytes, jpeg_bytes, png16_bytes, dicom_bytes])
def test_the_engine_and_the_evaluation_give_the_same_probability(
    tmp_path: Path, engine: InProcessEngine, tiny_weights_dir: Path, key: str, encode: Encode
) -> None:
    scans = []
    for number, size in enumerate(SIZES):
        path = tmp_path / f"{number}"
        path.write_bytes(encode(make_grey(*size, seed=number)))
        scans.append(a_scan(path))
    detector = load_detector(active_checkpoint(tiny_weights_dir, key))

    rows = predict(detector, scans, tmp_path / "m.csv")

    assert len({row.probability for row in rows}) == len(SIZES)
    for scan, row in zip(scans, rows, strict=True):
        grey = decode(scan.path.read_bytes(), modality(key)).grey
        finding = engine.submit(key, grey).result(timeout=60).finding
        assert finding.probability_fake == pytest.approx(row.probability, abs=1e-4)
        assert finding.verdict == row.verdict


def test_they_agree_on_efficientnet_b4_as_well(tmp_path: Path) -> None:
    architecture = ArchitectureSpec(name="efficientnet_b4", arguments={"image_size": 64})
    publish_tiny_weights(tmp_path / "weights", "lung_ct", architecture=architecture)
    (tmp_path / "scan.png").write_bytes(png_bytes(make_grey(64, 64)))
    detector = load_detector(active_checkpoint(tmp_path / "weights", "lung_ct"))
    engine = InProcessEngine(
        tmp_path / "weights", max_queue=4, max_batch=4, device="cpu", threads=1
    )
    engine.start()
    try:
        grey = decode((tmp_path / "scan.png").read_bytes(), modality("lung_ct")).grey
        finding = engine.submit("lung_ct", grey).result(timeout=60).finding
    finally:
        engine.stop()

    (row,) = predict(detector, [a_scan(tmp_path / "scan.png")], tmp_path / "m.csv")

    assert finding.probability_fake == pytest.approx(row.probability, abs=1e-4)


def test_early_stopping_judges_by_the_logits_that_are_served(
    tmp_path: Path, tiny_weights_dir: Path
) -> None:
    """The validation step of training and the evaluation of published weights agree."""
    detector = load_detector(active_checkpoint(tiny_weights_dir, "lung_ct"))
    scans = []
    for number in range(5):
        path = tmp_path / f"{number}.png"
        path.write_bytes(png_bytes(make_grey(64, 64, seed=number)))
        scans.append(a_scan(path, side="validation"))
    module = DetectorModule(detector.network, system_config(), scans, phase=0, steps_per_epoch=1)
    assert isinstance(module, lightning.LightningModule)

    with torch.inference_mode():
        for batch in DataLoader(WholeScanDataset(scans, detector.card.preprocessing), 2):
            module.validation_step(batch, 0)

    rows = predict(detector, scans, tmp_path / "m.csv")
    assert [module._logits[i] for i in range(5)] == pytest.approx(
        [row.logit for row in rows], abs=1e-5
    )

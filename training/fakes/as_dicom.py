"""Fakes as DICOM files that say what they are.

They are Secondary Capture images (DICOM PS3.3, A.8.1) with ``Synthetic Data`` (0008,001C) = YES.
Generator, seed and kind of edit stand in ``Derivation Description`` (0008,2111), as in
``generator=dcgan; seed=17``. No attribute tells of a person: patient, study and dates are empty,
and identifiers are made from the fake alone, so that the same fake has the same ones each time.
"""

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage, generate_uid
from tqdm import tqdm

from training.data.images import read_grey
from training.data.manifest import Scan
from training.runs import write_whole

FOLDER = "dicom"
MAKER = "Veriscan"
MODALITY_CODES = {"lung_ct": "CT", "knee_xray": "DX", "chest_xray": "DX"}
OTHER = "OT"
EMPTY = (
    *("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime"),
    *("ReferringPhysicianName", "StudyID", "AccessionNumber", "PatientOrientation", "Laterality"),
)
"""Attributes that have to be there (type 2) and that say nothing here."""


def write_dicoms(modality: str, folder: Path, fakes: Sequence[Scan]) -> None:
    """Write a DICOM file for each fake of a generator, unless it is there.

    Args:
        modality: Key of the data set's modality.
        folder: The generator's; the files lie in ``dicom`` below it.
        fakes: Their rows.
    """
    (folder / FOLDER).mkdir(parents=True, exist_ok=True)
    for fake in tqdm(fakes, desc="writing DICOM", unit="fake", leave=False):
        path = folder / FOLDER / f"{fake.path.stem}.dcm"
        if not path.exists():
            write_whole(path, dicom_of(fake, modality))


def dicom_of(fake: Scan, modality: str) -> bytes:
    """Return a fake as the bytes of a DICOM file; its grey values stay what they are.

    Args:
        fake: With the path of its 8-bit image, its generator and its seed.
        modality: Key of the modality.
    """
    pixels = np.round(read_grey(fake.path) * 255).astype(np.uint8)
    made_by = f"generator={fake.generator}; seed={fake.seed}"
    uids = [
        generate_uid(entropy_srcs=[kind, modality, made_by, fake.path.stem])
        for kind in ("study", "series", "image")
    ]
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    meta.MediaStorageSOPInstanceUID = uids[2]
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    for keyword in EMPTY:
        setattr(dataset, keyword, "")
    dataset.SOPClassUID = SecondaryCaptureImageStorage
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID, dataset.SOPInstanceUID = uids
    dataset.SyntheticData = "YES"
    dataset.ImageType = ["DERIVED", "SECONDARY"]
    dataset.Modality = MODALITY_CODES.get(modality, OTHER)
    dataset.ConversionType = "SYN"  # a synthetic image
    dataset.Manufacturer = MAKER
    dataset.DerivationDescription = made_by + (f"; tamper={fake.tamper}" if fake.tamper else "")
    dataset.PatientIdentityRemoved = "YES"
    dataset.DeidentificationMethod = "made by a program"
    dataset.BurnedInAnnotation = "NO"
    dataset.SeriesNumber = dataset.InstanceNumber = 1
    _set_pixels(dataset, pixels)
    buffer = BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def _set_pixels(dataset: FileDataset, pixels: np.ndarray) -> None:
    dataset.Rows, dataset.Columns = pixels.shape
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.BitsAllocated = dataset.BitsStored = 8
    dataset.HighBit = 7
    dataset.PixelRepresentation = 0
    data = pixels.tobytes()
    dataset.PixelData = data + b"\0" * (len(data) % 2)

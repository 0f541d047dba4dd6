"""Volumes: a folder of DICOM slices, NIfTI and MetaImage files, cut into axial slices.

Slices are counted from the feet and stand as a radiologist sees them: the front of the body above,
its right side on the left.

MetaImage (``.mhd``, as LUNA16 uses it) is a text header beside plain numbers, so it is read here
and not by a toolkit of a hundred megabytes: https://itk.org/Wiki/ITK/MetaIO/Documentation
"""

import zlib
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from pathlib import Path

import nibabel
import numpy as np
import pydicom
from nibabel.filebasedimages import ImageFileError
from numpy.typing import NDArray
from pydicom.errors import InvalidDicomError

from app.detection.dicom import apply_window
from app.detection.limits import MIN_SIDE_PIXELS
from app.detection.spec import ModalitySpec
from training.errors import SourceError

MIDDLE = (0.3, 0.7)
"""The part of a chest volume, from the feet, whose slices show mostly lung."""

VOLUME_ENDINGS = (".nii", ".nii.gz", ".mhd", ".mha")
META_TYPES = {
    "MET_CHAR": "i1",
    "MET_UCHAR": "u1",
    "MET_SHORT": "i2",
    "MET_USHORT": "u2",
    "MET_INT": "i4",
    "MET_FLOAT": "f4",
    "MET_DOUBLE": "f8",
}
MOST_SLICES = 10_000
"""No scanner makes more; a header that says so is damaged."""
SHORTEST_STACK = 8
"""With fewer slices a series is no stack through the chest, but single images."""

DICOM_TAGS = (
    "PatientID",
    "Modality",
    "SeriesInstanceUID",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "InstanceNumber",
)
Position = tuple[float, str]


def is_volume(path: Path) -> bool:
    """Return whether a file is called as a volume is."""
    return path.name.lower().endswith(VOLUME_ENDINGS)


def volume_stem(path: Path) -> str:
    """Return a volume's name without its endings."""
    return path.name.removesuffix(".gz").rpartition(".")[0]


def middle_indices(count: int, every: int) -> range:
    """Return each ``every``-th position in the middle of a stack of ``count``, at least one."""
    first, last = (round(share * (count - 1)) for share in MIDDLE)
    return range(first, last + 1, every)


def slice_count(path: Path) -> int:
    """Return the number of axial slices of a volume; of what its header says alone.

    Raises:
        SourceError: It cannot be read or has not three dimensions.
    """
    with _problems_of(path):
        if _is_meta_image(path):
            shape = tuple(int(v) for v in _meta_header(path.read_bytes())[0]["DimSize"].split())
        else:
            shape = _nifti(path).shape
    if len(shape) != 3 or 0 in shape:
        raise SourceError(f"{path} is not a volume of three dimensions: {shape}.")
    if shape[2] > MOST_SLICES:
        raise SourceError(f"{path} says that it holds {shape[2]} slices; its header is damaged.")
    return shape[2]


def slice_grey(path: Path, index: int, spec: ModalitySpec) -> NDArray[np.float32]:
    """Return one slice in the modality's window, float32 in [0, 1], shape ``[H, W]``.

    Raises:
        SourceError: The volume cannot be read, its slices are too small or hold what is no number,
            or the modality has no window for their values.
    """
    if spec.window is None:
        raise SourceError(
            f"{path}: a volume holds Hounsfield units, and {spec.key} has no window for them."
        )
    values = read_volume(path)[index].astype(np.float32)
    if min(values.shape) < MIN_SIDE_PIXELS:
        raise SourceError(
            f"{path}: its slices have {values.shape[1]} × {values.shape[0]} pixels; each side must "
            f"have at least {MIN_SIDE_PIXELS}."
        )
    if not np.isfinite(values).all():
        raise SourceError(f"{path}: slice {index} holds values that are no numbers.")
    return apply_window(values, spec.window)


@lru_cache(maxsize=1)  # the slices of a volume are asked for one after the other
def read_volume(path: Path) -> NDArray[np.generic]:
    """Return a volume's values, shape ``[Z, H, W]``, slices from the feet.

    Raises:
        SourceError: It cannot be read or has not three dimensions.
    """
    slice_count(path)
    with _problems_of(path):
        return _read_meta_image(path) if _is_meta_image(path) else _read_nifti(path)


@contextmanager
def _problems_of(path: Path) -> Iterator[None]:
    """Say of what a parser stumbles over which file it is in."""
    try:
        yield
    except (
        OSError,
        TypeError,
        ValueError,
        KeyError,
        EOFError,
        zlib.error,
        ImageFileError,
    ) as error:
        raise SourceError(f"{path} cannot be read as a volume ({error}).") from error


def _is_meta_image(path: Path) -> bool:
    return path.suffix.lower() in (".mhd", ".mha")


@dataclass(frozen=True, slots=True, kw_only=True)
class DicomSeries:
    """The slices of one DICOM series.

    Attributes:
        slices: From the feet.
        patient: The same for all series of a person, without saying who; empty where the files do
            not tell persons apart.
    """

    slices: tuple[Path, ...]
    patient: str

    def middle(self, every: int) -> list[Path]:
        """Return every ``every``-th slice of the middle; of a short series, all slices."""
        if len(self.slices) < SHORTEST_STACK:
            return list(self.slices)
        return [self.slices[index] for index in middle_indices(len(self.slices), every)]


def dicom_series(files: Iterable[Path], *, modality: str | None = None) -> list[DicomSeries]:
    """Return the series among DICOM files; other files are passed over.

    Args:
        files: In any order.
        modality: If given, such as ``CT``, series of another one are left out.

    Raises:
        SourceError: A file says in no understandable way where in its series it stands.
    """
    slices: dict[str, list[tuple[Position, Path]]] = defaultdict(list)
    patients: dict[str, str] = {}
    for file in sorted(files):
        try:
            header = pydicom.dcmread(file, stop_before_pixels=True, specific_tags=list(DICOM_TAGS))
        except (InvalidDicomError, OSError):
            continue
        if modality is None or header.get("Modality") == modality:
            key = str(header.get("SeriesInstanceUID") or file)
            try:
                slices[key].append((_position(header, file), file))
            except (TypeError, ValueError) as error:
                problem = f"{file}: what it says of its place in the series is damaged ({error})."
                raise SourceError(problem) from error
            patients[key] = _pseudonym(header)
    return [
        DicomSeries(slices=tuple(file for _, file in sorted(found)), patient=patients[key])
        for key, found in sorted(slices.items())
    ]


def _pseudonym(header: pydicom.Dataset) -> str:
    """Return what stands for a person: an index must not say who was scanned."""
    told = str(header.get("PatientID") or header.get("SeriesInstanceUID") or "")
    return sha256(told.encode()).hexdigest()[:12] if told else ""


def _position(header: pydicom.Dataset, file: Path) -> Position:
    """Return how far along the stack a slice lies, and its name for those at the same place."""
    origin = header.get("ImagePositionPatient")
    if origin is None:
        return float(header.get("InstanceNumber") or 0), file.name
    orientation = [float(v) for v in header.get("ImageOrientationPatient") or (1, 0, 0, 0, 1, 0)]
    normal = np.cross(orientation[:3], orientation[3:])
    return float(np.dot(normal, [float(v) for v in origin])), file.name


def _nifti(path: Path) -> nibabel.spatialimages.SpatialImage:
    """Return an image whose axes run to the right, to the front and to the head."""
    image = nibabel.load(path)
    if not isinstance(image, nibabel.spatialimages.SpatialImage):
        raise TypeError(f"it holds {type(image).__name__}")
    return nibabel.as_closest_canonical(image)


def _read_nifti(path: Path) -> NDArray[np.generic]:
    values: NDArray[np.generic] = np.asarray(_nifti(path).dataobj)
    return values[::-1, ::-1].transpose(2, 1, 0)


def _read_meta_image(path: Path) -> NDArray[np.generic]:
    header, rest = _meta_header(path.read_bytes())
    kind = META_TYPES[header["ElementType"]]
    is_big_endian = header.get("BinaryDataByteOrderMSB", "False").lower() == "true"
    shape = [int(v) for v in header["DimSize"].split()][::-1]
    beside = header["ElementDataFile"]
    data = rest if beside == "LOCAL" else (path.parent / Path(beside).name).read_bytes()
    if header.get("CompressedData", "False").lower() == "true":
        data = zlib.decompress(data)
    values = np.frombuffer(data, dtype=(">" if is_big_endian else "<") + kind).reshape(shape)
    # Some scans lie the other way round; the diagonal of the direction matrix says which axes.
    matrix = [float(v) for v in header.get("TransformMatrix", "").split()]
    directions = matrix[::-4] if len(matrix) == 9 else [1.0] * values.ndim
    return values[tuple(slice(None, None, -1 if d < 0 else 1) for d in directions)]


def _meta_header(data: bytes) -> tuple[dict[str, str], bytes]:
    """Return the fields of a MetaImage header, and the bytes after it."""
    fields: dict[str, str] = {}
    while "ElementDataFile" not in fields:
        line, newline, data = data.partition(b"\n")
        if not newline and not line:
            raise ValueError("its header names no ElementDataFile")
        name, _, value = line.decode("ascii").partition("=")
        fields[name.strip()] = value.strip()
    return fields, data

"""Writes small volumes as NIfTI and MetaImage files."""

import zlib
from pathlib import Path

import nibabel
import numpy as np
from numpy.typing import NDArray


def write_nifti(path: Path, volume: NDArray[np.int16]) -> Path:
    """Write a volume ``[Z, H, W]``, seen as a radiologist does, with axes towards left and back."""
    path.parent.mkdir(parents=True, exist_ok=True)
    towards_left_back_head = volume.transpose(2, 1, 0)
    affine = np.diag([-0.7, -0.7, 1.5, 1])
    image = nibabel.Nifti1Image(towards_left_back_head, affine)  # type: ignore[no-untyped-call]  # no types
    nibabel.save(image, path)
    return path


def write_meta_image(
    path: Path,
    volume: NDArray[np.int16],
    *,
    compressed: bool = False,
    matrix: str = "1 0 0 0 1 0 0 0 1",
    **fields: str,
) -> Path:
    """Write a volume ``[Z, H, W]`` as a header and, beside it or in ``.mha`` behind it, numbers."""
    path.parent.mkdir(parents=True, exist_ok=True)
    data = volume.astype("<i2").tobytes()
    data = zlib.compress(data) if compressed else data
    is_one_file = path.suffix == ".mha"
    header = {
        "ObjectType": "Image",
        "NDims": "3",
        "CompressedData": str(compressed),
        "TransformMatrix": matrix,
        "DimSize": " ".join(map(str, volume.shape[::-1])),
        "ElementType": "MET_SHORT",
    } | fields
    header["ElementDataFile"] = "LOCAL" if is_one_file else f"{path.stem}.raw"
    text = "".join(f"{name} = {value}\n" for name, value in header.items()).encode()
    if is_one_file:
        path.write_bytes(text + data)
    else:
        path.write_bytes(text)
        path.with_suffix(".raw").write_bytes(data)
    return path

"""The first stage: decode every scan as the server would, and put each patient on one side."""

from dataclasses import replace
from hashlib import sha256
from pathlib import Path

from tqdm import tqdm

from app.detection.decoding import decode
from app.detection.spec import modality
from app.errors import UploadError
from training.config import DatasetConfig
from training.data.images import write_grey
from training.data.manifest import Scan, read_manifest, write_index
from training.data.splits import assign_sides, check_no_leak
from training.errors import ManifestError
from training.runs import DatasetPaths


def prepare(manifest: Path, config: DatasetConfig, paths: DatasetPaths) -> list[Scan]:
    """Decode a manifest's scans into PNG and write their index.

    Both classes go through the decoder that serves, and are stored in one format at their own
    size. Scans that are there already are not decoded again.

    Raises:
        ManifestError: A row cannot be used or its image cannot be decoded.
        LeakError: A patient or a scan would stand on two sides.
    """
    spec = modality(config.modality)
    scans = assign_sides(read_manifest(manifest, modality=config.modality), config)
    prepared: list[Scan] = []
    images: dict[str, str] = {}
    for scan in tqdm(scans, desc="decoding", unit="scan"):
        image = paths.scans_dir / scan.source / f"{_name_of(scan, manifest)}.png"
        if not image.exists():
            try:
                decoded = decode(scan.path.read_bytes(), spec)
            except UploadError as error:
                raise ManifestError(manifest, f"{_below(manifest, scan)}: {error}") from error
            write_grey(image, decoded.grey)
        prepared.append(replace(scan, path=image))
        images[str(scan.path.resolve())] = str(image)
    prepared = [replace(s, origin=images.get(s.origin, s.origin)) for s in prepared]
    check_no_leak(prepared)
    write_index(paths.scans_index, prepared)
    return prepared


def _name_of(scan: Scan, manifest: Path) -> str:
    """Return a file name that depends on where the scan lies below the manifest."""
    return f"{scan.path.stem}-{sha256(_below(manifest, scan).encode()).hexdigest()[:8]}"


def _below(manifest: Path, scan: Scan) -> str:
    """Return a scan's path as the manifest says it; an absolute one stays absolute."""
    if scan.path.is_relative_to(manifest.parent):
        return scan.path.relative_to(manifest.parent).as_posix()
    return scan.path.as_posix()

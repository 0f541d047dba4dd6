"""Decodes what clients send where it can do no harm: in processes of limited time and memory."""

import hmac
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.detection.decoding import DecodedScan, check_bytes, format_of, only_frame
from app.detection.limits import DecodingLimits
from app.detection.series import SeriesPosition
from app.detection.spec import ModalitySpec
from app.errors import DamagedImageError, TooCostlyError, UploadError
from app.services.decoding.pool import DecodingPool, WorkerLostError
from app.services.decoding.process import WorkerBounds

BYTES_PER_GREY = 4
BYTES_PER_PIXEL = 32
"""Memory that decoding takes for a pixel, in whatever format, with a margin."""
BASE_BYTES = 2**28
COPIES_OF_FILE = 6


def bounds_for(limits: DecodingLimits) -> WorkerBounds:
    """Return what decoding the largest accepted file may take."""
    return WorkerBounds(
        memory_bytes=BASE_BYTES
        + BYTES_PER_PIXEL * limits.max_pixels
        + COPIES_OF_FILE * limits.max_bytes,
        exchange_bytes=max(BYTES_PER_GREY * limits.max_pixels, limits.max_bytes),
    )


def series_key(secret_key: str) -> bytes:
    """Return the key with which an installation hashes the UIDs of series."""
    return hmac.digest(secret_key.encode(), b"veriscan series", "sha256")


class DecodingService:
    """Decodes as ``app.detection.decoding.decode`` does, and survives what that may not.

    Args:
        pool: The processes that do it.
        limits: What a file may cost.
        series_key: Secret with which the UID of a DICOM series is hashed.
    """

    def __init__(self, pool: DecodingPool, limits: DecodingLimits, series_key: bytes) -> None:
        self._pool = pool
        self._limits = limits
        self._series_key = series_key.hex()

    @property
    def workers_replaced(self) -> int:
        """How many processes had to be replaced since the start."""
        return self._pool.replaced

    def decode(
        self, data: bytes, spec: ModalitySpec, limits: DecodingLimits | None = None, frame: int = 0
    ) -> DecodedScan:
        """Decode one image of a file.

        Args:
            data: The whole file.
            spec: The modality it is said to be; gives the window for Hounsfield units.
            limits: Bounds; those of the service where None.
            frame: Which image of a DICOM or TIFF file that holds several, from 0.

        Raises:
            UploadError: As ``app.detection.decoding.decode`` does, or decoding takes too much time
                or memory.
            EngineError: No process is free for it, or none can be started.
        """
        limits = limits or self._limits
        check_bytes(data, limits)  # the rest is checked over there
        order = {
            "spec": asdict(spec),
            "limits": asdict(limits),
            "frame": frame,
            "series_key": self._series_key,
        }
        try:
            answer, grey = self._pool.run(order, data)
        except WorkerLostError as error:
            if error.is_costly:
                raise TooCostlyError from error
            raise DamagedImageError(format_of(data) or "uploaded") from error
        if "refusal" in answer:
            raise _refusal(answer)
        try:
            return _scan(answer, grey)
        except (KeyError, TypeError, ValueError) as error:  # no answer of ours: it was overcome
            raise DamagedImageError(format_of(data) or "uploaded") from error

    def start(self) -> None:
        """Start a process in advance, without waiting until it is ready."""
        self._pool.start()

    def close(self) -> None:
        """End the processes that have nothing to do; a later file starts one again."""
        self._pool.close()

    def decode_single(self, data: bytes, spec: ModalitySpec) -> DecodedScan:
        """Decode the only image of a file, for those who would not look at a second one.

        Raises:
            MultiFrameError: It holds several.
            UploadError: It cannot be decoded.
            EngineError: No process is free for it, or none can be started.
        """
        return only_frame(self.decode(data, spec))


def _scan(answer: Mapping[str, Any], grey: NDArray[np.float32]) -> DecodedScan:
    return DecodedScan(
        grey=grey,
        image_format=answer["image_format"],
        sha256=answer["sha256"],
        declared_synthetic=answer["declared_synthetic"],
        frames=answer["frames"],
        burned_in_text=answer["burned_in_text"],
        series=SeriesPosition(**answer["series"]) if answer["series"] else None,
        hounsfield=tuple(answer["hounsfield"]) if answer["hounsfield"] else None,
    )


def _refusal(answer: Mapping[str, Any]) -> UploadError:
    """Return the error that was raised over there: of one of our kinds, with its message."""
    kinds = {kind.__name__: kind for kind in UploadError.__subclasses__()}
    kind = kinds.get(str(answer["refusal"]), DamagedImageError)
    error = kind.__new__(kind)
    error.args = (str(answer.get("message", "")),)
    return error

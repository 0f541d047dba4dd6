"""Whatever the bytes, decoding gives grey values or says in one of our errors why it does not."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.detection.decoding import SIGNATURES, decode
from app.detection.dicom_header import PREAMBLE_BYTES, PREFIX
from app.detection.limits import DecodingLimits
from app.detection.spec import modality
from app.errors import UploadError
from tests.fuzz.seeds import seeds, spoilt

SPECS = [modality(key) for key in ("lung_ct", "knee_xray")]
LIMITS = DecodingLimits(max_bytes=2**20, max_pixels=2**20)
STARTS = [*(signature for signature, _ in SIGNATURES), bytes(PREAMBLE_BYTES) + PREFIX]

# The same examples every time: a build does not fail by chance. The long runs are in tests/fuzz.
few = settings(
    max_examples=400, deadline=None, derandomize=True, suppress_health_check=[*HealthCheck]
)
pytestmark = pytest.mark.filterwarnings(
    "ignore"
)  # decoders warn of odd headers; a server lets them


def check(data: bytes, frame: int = 0) -> None:
    for spec in SPECS:
        try:
            scan = decode(data, spec, LIMITS, frame)
        except UploadError:
            continue
        assert scan.grey.dtype == np.float32
        assert np.isfinite(scan.grey).all()
        assert 0 <= scan.grey.min() <= scan.grey.max() <= 1
        assert scan.grey.size <= LIMITS.max_pixels
        assert 1 <= scan.frames <= LIMITS.max_bytes


@few
@given(start=st.sampled_from(STARTS), rest=st.binary(max_size=2048))
def test_any_bytes_after_any_signature(start: bytes, rest: bytes) -> None:
    check(start + rest)


@few
@given(seed=st.integers(0, 2**32 - 1), frame=st.integers(-1, 3))
def test_files_of_every_kind_spoilt_at_random(seed: int, frame: int) -> None:
    check(spoilt(np.random.default_rng(seed), seeds()), frame)


@few
@given(
    data=st.sampled_from(seeds()),
    place=st.integers(0, 2**16),
    piece=st.binary(min_size=1, max_size=16),
)
def test_a_piece_of_a_file_overwritten(data: bytes, place: int, piece: bytes) -> None:
    place %= len(data)

    check(data[:place] + piece + data[place + len(piece) :])

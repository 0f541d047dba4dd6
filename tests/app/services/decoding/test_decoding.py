"""Decoding in processes of their own: the same results, and none of the harm."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from app.detection.decoding import decode
from app.detection.limits import DecodingLimits
from app.detection.spec import modality
from app.errors import (
    DamagedImageError,
    DecodersBusyError,
    DecodersFailedError,
    EmptyFileError,
    FileTooLargeError,
    MultiFrameError,
    NoSuchFrameError,
    TooCostlyError,
    UnsupportedDicomError,
    UnsupportedFormatError,
    UploadError,
)
from app.services.decoding.decoding import DecodingService, bounds_for, series_key
from app.services.decoding.pool import DecodingPool
from app.services.decoding.process import WorkerBounds
from tests.dicom_files import PATIENT, make_dicom, save_dicom
from tests.factories import (
    dicom_bytes,
    grey8,
    huge_png_header,
    jpeg_bytes,
    make_grey,
    png16_bytes,
    png_bytes,
    tiff_bytes,
    truncated,
)

KEY = b"a key of this test"
LUNG = modality("lung_ct")
LIMITS = DecodingLimits(max_pixels=30_000 * 8_000)
LARGE = huge_png_header(30_000, 7_000)
"""Two hundred million pixels in a few kilobytes: seconds of work, hundreds of megabytes."""


@pytest.fixture
def decoding(decoding_pool: DecodingPool) -> DecodingService:
    return DecodingService(decoding_pool, DecodingLimits(), KEY)


MakePool = Callable[..., DecodingPool]


@pytest.fixture
def make_pool() -> Iterator[MakePool]:
    """Return what makes a pool of one process, with bounds of its own."""
    pools: list[DecodingPool] = []

    def make_pool(*, patience_s: float = 60, **bounds: float) -> DecodingPool:
        pools.append(
            DecodingPool(
                WorkerBounds(**bounds),  # type: ignore[arg-type]  # some are whole numbers
                processes=1,
                patience_s=patience_s,
            )
        )
        return pools[-1]

    yield make_pool
    for pool in pools:
        pool.close()


def service_of(pool: DecodingPool) -> DecodingService:
    return DecodingService(pool, LIMITS, KEY)


def is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def wait_until_gone(pid: int) -> None:
    deadline = time.monotonic() + 20
    while is_running(pid) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not is_running(pid)


# --- the same results ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [
        png_bytes(),
        png16_bytes(),
        jpeg_bytes(),
        tiff_bytes(),
        dicom_bytes(SyntheticData="YES", BurnedInAnnotation="YES"),
        dicom_bytes(SeriesInstanceUID="1.2.3", InstanceNumber=7, SliceLocation=-1.5),
        save_dicom(make_dicom(grey8(), Modality="DX")),
    ],
)
def test_a_scan_is_the_same_as_if_it_had_been_decoded_here(
    decoding: DecodingService, data: bytes
) -> None:
    there, here = decoding.decode(data, LUNG), decode(data, LUNG, series_key=KEY)

    assert np.array_equal(there.grey, here.grey)
    assert there.grey.dtype == np.float32
    for name in set(here.__slots__) - {"grey"}:
        assert getattr(there, name) == getattr(here, name)


def test_each_image_of_a_file_can_be_had(decoding: DecodingService) -> None:
    stack = np.stack([grey8(make_grey(seed=seed)) for seed in range(3)])
    data = save_dicom(make_dicom(stack, Modality="DX"))

    scans = [decoding.decode(data, LUNG, frame=frame) for frame in range(3)]

    assert [scan.frames for scan in scans] == [3, 3, 3]
    for scan, stored in zip(scans, stack, strict=True):
        assert np.abs(scan.grey - stored / 255).max() < 1e-6
    with pytest.raises(NoSuchFrameError, match="number 4"):
        decoding.decode(data, LUNG, frame=3)
    with pytest.raises(MultiFrameError, match="3 images"):
        decoding.decode_single(data, LUNG)


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"", EmptyFileError),
        (b"no image", UnsupportedFormatError),
        (truncated(png_bytes()), DamagedImageError),
        (dicom_bytes(SamplesPerPixel=2), UnsupportedDicomError),
    ],
)
def test_a_refusal_is_the_same_as_if_it_had_been_decoded_here(
    decoding: DecodingService, data: bytes, error: type[UploadError]
) -> None:
    with pytest.raises(error) as there:
        decoding.decode(data, LUNG)
    with pytest.raises(error) as here:
        decode(data, LUNG)

    assert str(there.value) == str(here.value)


def test_a_file_of_too_many_bytes_is_not_even_handed_over(make_pool: MakePool) -> None:
    pool = make_pool()

    with pytest.raises(FileTooLargeError):
        service_of(pool).decode(bytes(LIMITS.max_bytes + 1), LUNG)

    assert pool.pids() == ()


def test_many_threads_get_each_their_own_scan(decoding: DecodingService) -> None:
    greys = [make_grey(seed=seed) for seed in range(24)]

    with ThreadPoolExecutor(8) as threads:
        scans = threads.map(lambda grey: decoding.decode(png16_bytes(grey), LUNG), greys)

    for grey, scan in zip(greys, scans, strict=True):
        assert np.abs(scan.grey - grey).max() < 1e-4


# --- bounded ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "bounds"),
    [
        (LARGE, {"memory_bytes": 2**26}),
        (LARGE, {"cpu_s": 0, "memory_bytes": 2**33, "exchange_bytes": 2**30}),
        (png_bytes(make_grey(256, 256)), {"exchange_bytes": 2**17}),
    ],
)
def test_a_file_that_costs_too_much_is_refused_and_the_next_one_is_read(
    make_pool: MakePool, data: bytes, bounds: dict[str, float]
) -> None:
    pool = make_pool(**bounds)
    decoding = service_of(pool)
    started_s = time.monotonic()

    with pytest.raises(TooCostlyError, match="more time or memory"):
        decoding.decode(data, LUNG)

    assert time.monotonic() - started_s < 30
    assert decoding.decode(png_bytes(make_grey()), LUNG).width == 96


def test_a_process_that_gives_no_answer_is_ended(make_pool: MakePool) -> None:
    pool = make_pool(wall_s=3)
    decoding = service_of(pool)
    decoding.decode(png_bytes(), LUNG)
    (pid,) = pool.pids()

    os.kill(pid, signal.SIGSTOP)
    with pytest.raises(TooCostlyError, match="more time or memory"):
        decoding.decode(png_bytes(), LUNG)

    assert not is_running(pid)
    assert decoding.decode(png_bytes(), LUNG).width == 96


def cpu_ticks(pid: int) -> int:
    """Return the CPU time that a process has used, in hundredths of a second."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def test_a_process_that_dies_over_a_file_is_replaced(make_pool: MakePool) -> None:
    pool = make_pool(memory_bytes=2**33, exchange_bytes=2**30)
    decoding = service_of(pool)
    decoding.decode(png_bytes(), LUNG)
    (first,) = pool.pids()

    with ThreadPoolExecutor(1) as thread:
        pending = thread.submit(decoding.decode, LARGE, LUNG)
        idle = cpu_ticks(first)
        while cpu_ticks(first) < idle + 2:  # it is at work on the file itself
            time.sleep(0.001)
        os.kill(first, signal.SIGSEGV)
        with pytest.raises(DamagedImageError, match="PNG"):
            pending.result()

    assert decoding.decode(png_bytes(), LUNG).width == 96
    assert pool.pids() != (first,)


def test_a_process_that_died_idle_is_replaced_unnoticed(make_pool: MakePool) -> None:
    pool = make_pool()
    decoding = service_of(pool)
    decoding.decode(png_bytes(), LUNG)
    (first,) = pool.pids()

    os.kill(first, signal.SIGKILL)
    while pool._idle[0].is_usable:
        time.sleep(0.001)

    assert decoding.decode(png_bytes(), LUNG).width == 96
    assert first not in pool.pids()


def test_a_process_makes_room_for_a_fresh_one_after_a_number_of_files(make_pool: MakePool) -> None:
    pool = make_pool(jobs=2)
    decoding = service_of(pool)
    used: set[int] = set()
    for _ in range(4):
        decoding.decode(png_bytes(), LUNG)
        used.update(pool.pids())

    assert len(used) == 3  # two that were used up, and the one in waiting


def test_whoever_waits_too_long_for_a_process_is_told_to_come_again(make_pool: MakePool) -> None:
    pool = make_pool(patience_s=0.01)
    assert pool._turns.acquire()

    with pytest.raises(DecodersBusyError, match="Try again") as raised:
        service_of(pool).decode(png_bytes(), LUNG)

    assert raised.value.retry_after_s > 0
    pool._turns.release()


def test_that_no_process_can_be_started_is_told(
    make_pool: MakePool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")

    with pytest.raises(DecodersFailedError, match="cannot be read at present"):
        service_of(make_pool()).decode(png_bytes(), LUNG)


def test_the_bounds_leave_room_for_the_largest_file() -> None:
    bounds = bounds_for(DecodingLimits(max_bytes=2**30, max_pixels=1000))

    assert bounds.exchange_bytes == 2**30
    assert bounds.memory_bytes > 2**30


# --- no way out of it ---------------------------------------------------------------------------


def test_no_secret_of_the_server_is_handed_over(
    make_pool: MakePool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VERISCAN_SECRET_KEY", "sentinel" * 8)
    pool = make_pool()
    service_of(pool).decode(png_bytes(), LUNG)
    (pid,) = pool.pids()

    process = Path(f"/proc/{pid}")
    targets = [link.readlink() for link in (process / "fd").iterdir()]

    assert b"VERISCAN" not in (process / "environ").read_bytes()
    assert {str(target).split(":")[0] for target in targets} <= {
        "/dev/null",
        "/memfd",
        "socket",
    }


def test_nothing_of_the_patient_comes_over(decoding: DecodingService) -> None:
    scan = decoding.decode(dicom_bytes(SeriesInstanceUID="1.2.826.0.1.4711"), LUNG)

    assert scan.series is not None
    for value in (*PATIENT.values(), "1.2.826.0.1.4711"):
        assert value not in repr(scan)


def test_a_stop_signal_for_the_whole_service_lets_files_in_work_come_to_an_end(
    make_pool: MakePool,
) -> None:
    pool = make_pool()
    decoding = service_of(pool)
    decoding.decode(png_bytes(), LUNG)
    before = pool.pids()

    os.kill(before[0], signal.SIGTERM)
    os.kill(before[0], signal.SIGINT)
    decoding.decode(png_bytes(), LUNG)

    assert pool.pids() == before


SERVER = """
import sys
from pathlib import Path
from app.detection.limits import DecodingLimits
from app.detection.spec import modality
from app.services.decoding.decoding import DecodingService
from app.services.decoding.pool import DecodingPool
from app.services.decoding.process import WorkerBounds

pool = DecodingPool(WorkerBounds(memory_bytes=2**33, exchange_bytes=2**30))
decoding = DecodingService(pool, DecodingLimits(max_pixels=2**28), b"key")
decoding.decode(Path(sys.argv[1]).read_bytes(), modality("lung_ct"))
print(*pool.pids(), flush=True)
for path in sys.argv[2:]:
    decoding.decode(Path(path).read_bytes(), modality("lung_ct"))
sys.stdin.read()
"""


@pytest.mark.parametrize("files", [[png_bytes()], [png_bytes(), LARGE]])
def test_no_process_outlives_a_server_that_was_killed(files: list[bytes], tmp_path: Path) -> None:
    for number, data in enumerate(files):
        (tmp_path / str(number)).write_bytes(data)
    server = subprocess.Popen(
        [sys.executable, "-c", SERVER, *sorted(map(str, tmp_path.iterdir()))],
        cwd=Path(__file__).parents[4],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with server:
        assert server.stdout
        pid = int(server.stdout.readline())
        assert is_running(pid)
        server.kill()

    wait_until_gone(pid)


def test_the_key_of_the_series_is_not_the_secret_key_itself() -> None:
    assert series_key("secret") == series_key("secret") != series_key("another")
    assert b"secret" not in series_key("secret")

"""The process that decodes scans, one after the other, and may use no more than it is allowed.

``python -m app.services.decoding.process SOCKET MEMORY BOUNDS`` is how ``DecodingPool`` starts it,
with a socket for messages and shared memory for files and pixels. A file that
breaks a decoder or makes it run wild ends this process and not the server, whose secrets are not
here: neither its environment nor its files are handed over.

It ends when the other end of its socket is gone, so it never outlives a server that was killed.
"""

import json
import mmap
import os
import resource
import select
import signal
import socket
import struct
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from threading import Thread
from time import monotonic
from typing import Any

import numpy as np
from PIL import Image

from app.detection import dicom_codecs
from app.detection.decoding import DecodedScan, decode
from app.detection.limits import DecodingLimits
from app.detection.spec import ModalitySpec, Window
from app.errors import TooCostlyError, UploadError

LENGTH = struct.Struct("<I")
MAX_MESSAGE_BYTES = 2**16
MEMORY_STATUS = Path("/proc/self/statm")
POLL_HUNG_UP = getattr(select, "POLLRDHUP", select.POLLHUP)


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerBounds:
    """What decoding one file may take.

    Attributes:
        memory_bytes: Beyond what the process has before its first file.
        exchange_bytes: Largest file and largest image as they are handed over.
        cpu_s: Time on a core, in seconds.
        wall_s: Time on the clock, in seconds, however busy the machine is.
        jobs: After so many files a process makes room for a fresh one.
    """

    memory_bytes: int = 2 * 2**30
    exchange_bytes: int = 2**28
    cpu_s: int = 20
    wall_s: float = 40.0
    jobs: int = 500


def send_message(sock: socket.socket, message: Mapping[str, Any]) -> None:
    """Send an object.

    Raises:
        OSError: The other end is gone.
    """
    data = json.dumps(message).encode()
    sock.sendall(LENGTH.pack(len(data)) + data)


def receive_message(sock: socket.socket, within_s: float | None = None) -> dict[str, Any]:
    """Receive an object that ``send_message`` sent.

    Args:
        sock: Where it comes from.
        within_s: How long it may take to come, in seconds; None for ever.

    Raises:
        OSError: The other end is gone, or it took too long (``TimeoutError``).
        ValueError: It is too large, or none.
    """
    deadline = None if within_s is None else monotonic() + within_s
    (length,) = LENGTH.unpack(_receive(sock, LENGTH.size, deadline))
    if length > MAX_MESSAGE_BYTES:
        raise ValueError
    message = json.loads(_receive(sock, length, deadline))
    if not isinstance(message, dict):
        raise ValueError
    return message


def _receive(sock: socket.socket, count: int, deadline: float | None) -> bytes:
    data = b""
    while len(data) < count:
        if deadline is not None:
            sock.settimeout(max(1e-3, deadline - monotonic()))
        chunk = sock.recv(count - len(data))
        if not chunk:
            raise ConnectionResetError
        data += chunk
    return data


# --- the process ------------------------------------------------------------------------------


def main(arguments: list[str]) -> None:
    """Decode files until the other end of the socket is gone."""
    sock = socket.socket(fileno=int(arguments[0]))
    bounds = WorkerBounds(**json.loads(arguments[2]))
    exchange = mmap.mmap(int(arguments[1]), bounds.exchange_bytes)
    for number in (signal.SIGINT, signal.SIGTERM):  # the server lets files in work come to an end
        signal.signal(number, signal.SIG_IGN)
    Thread(target=_end_with, args=(sock,), daemon=True).start()
    _preload()
    _limit(bounds)
    send_message(sock, {"ready": True})
    while True:
        try:
            order = receive_message(sock)
        except OSError:
            return
        _limit_cpu(bounds.cpu_s)
        send_message(sock, _answer(order, exchange))


def _end_with(sock: socket.socket) -> None:
    """End the process when the server's end is gone, even in the midst of a file."""
    poll = select.poll()
    poll.register(sock, POLL_HUNG_UP)
    poll.poll()
    os._exit(0)


def _preload() -> None:
    """Load what is loaded at need, so that it does not count for the first file."""
    Image.init()
    dicom_codecs.load()


def _limit(bounds: WorkerBounds) -> None:
    for kind in (resource.RLIMIT_CORE, resource.RLIMIT_FSIZE):  # it has nothing to write
        resource.setrlimit(kind, (0, 0))
    if MEMORY_STATUS.exists():  # other systems than Linux do not hold this limit
        pages = int(MEMORY_STATUS.read_text(encoding="ascii").split()[0])
        memory_bytes = pages * resource.getpagesize() + bounds.memory_bytes
        resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))


def _limit_cpu(seconds: int) -> None:
    """Let the system end the process after so much more time on a core."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    limit = int(usage.ru_utime + usage.ru_stime) + 1 + seconds
    resource.setrlimit(resource.RLIMIT_CPU, (limit, resource.RLIM_INFINITY))


def _answer(order: Mapping[str, Any], exchange: mmap.mmap) -> dict[str, Any]:
    """Decode the file that lies in the exchange and leave the pixels there in its place."""
    try:
        scan = decode(
            exchange[: order["bytes"]],
            _spec_of(order["spec"]),
            DecodingLimits(**order["limits"]),
            order["frame"],
            series_key=bytes.fromhex(order["series_key"]),
        )
        if scan.grey.nbytes > len(exchange):
            return _refusal(TooCostlyError())
        np.frombuffer(exchange, np.float32, scan.grey.size)[:] = scan.grey.ravel()
        return _told(scan)
    except UploadError as error:
        return _refusal(error)
    except MemoryError:
        return _refusal(TooCostlyError())


def _refusal(error: UploadError) -> dict[str, str]:
    return {"refusal": type(error).__name__, "message": str(error)}


def _spec_of(fields: Mapping[str, Any]) -> ModalitySpec:
    window = fields["window"]
    return ModalitySpec(**{**fields, "window": Window(**window) if window else None})


def _told(scan: DecodedScan) -> dict[str, Any]:
    """Return what is known of a scan besides its pixels, as JSON can hold it."""
    return {
        "shape": scan.grey.shape,
        "image_format": scan.image_format,
        "sha256": scan.sha256,
        "declared_synthetic": scan.declared_synthetic,
        "frames": scan.frames,
        "burned_in_text": scan.burned_in_text,
        "series": asdict(scan.series) if scan.series else None,
        "hounsfield": scan.hounsfield,
    }


if __name__ == "__main__":
    main(sys.argv[1:])

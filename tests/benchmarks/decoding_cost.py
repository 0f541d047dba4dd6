"""What it costs to decode in a process of its own, beyond decoding in the server itself.

Run it as ``python -m tests.benchmarks.decoding_cost`` on a machine with nothing else to do. Both
ways take turns on the same file; medians are printed, and more than ``--most-ms`` beyond the one
in the server for a PNG of 512 × 512 pixels fails.
"""

import statistics
import time
from collections.abc import Callable
from functools import partial

import click

from app.detection.decoding import decode
from app.detection.limits import DecodingLimits
from app.detection.spec import modality
from app.services.decoding.decoding import DecodingService, bounds_for
from app.services.decoding.pool import DecodingPool
from tests.factories import dicom_bytes, jpeg_bytes, make_grey, png16_bytes, png_bytes

SIDE = 512
SPEC = modality("lung_ct")
GREY = make_grey(SIDE, SIDE)
FILES = {
    "PNG, 8 bits": png_bytes(GREY),
    "PNG, 16 bits": png16_bytes(GREY),
    "JPEG": jpeg_bytes(GREY),
    "DICOM": dicom_bytes(GREY),
}


def seconds(work: Callable[[], object]) -> float:
    """Return how long some work takes, in seconds."""
    begin_s = time.perf_counter()
    work()
    return time.perf_counter() - begin_s


@click.command()
@click.option("--rounds", default=200, show_default=True)
@click.option("--most-ms", default=5.0, show_default=True, help="Largest overhead for the PNG.")
def main(rounds: int, most_ms: float) -> None:
    """Compare both ways of decoding."""
    limits = DecodingLimits()
    pool = DecodingPool(bounds_for(limits))
    service = DecodingService(pool, limits, b"key")
    click.echo(f"first file, with the start of a process: {_first_ms(service):.0f} ms")
    overheads = []
    for name, data in FILES.items():
        here, there = [], []
        for _ in range(rounds):
            here.append(seconds(partial(decode, data, SPEC, limits)))
            there.append(seconds(partial(service.decode, data, SPEC)))
        inside_ms, apart_ms = statistics.median(here) * 1e3, statistics.median(there) * 1e3
        overheads.append(apart_ms - inside_ms)
        click.echo(
            f"{name}: {inside_ms:.2f} ms in the server, {apart_ms:.2f} ms apart, "
            f"{overheads[-1]:+.2f} ms"
        )
    pool.close()
    if overheads[0] > most_ms:
        raise SystemExit(1)


def _first_ms(service: DecodingService) -> float:
    return seconds(partial(service.decode, FILES["PNG, 8 bits"], SPEC)) * 1e3


if __name__ == "__main__":
    main()

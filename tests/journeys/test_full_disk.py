"""A disk that is full, or cannot be written, under a running server: told, and got over."""

import io
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.factories import png_bytes
from tests.journeys import held_server
from tests.journeys.server import stop_server, wait_until
from tests.journeys.small_disk import SmallDisk, start_on_small_disk, why_there_is_none
from tests.journeys.visitor import Answer, Visitor, make_token

MADE_BEFORE = 3


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("small-disk")


@pytest.fixture(scope="module")
def token(folder: Path, decided_weights_dir: Path) -> str:
    """An API token of Alice, who has an account from the start."""
    return make_token(folder / "data", decided_weights_dir)


@pytest.fixture(scope="module")
def disk(folder: Path, decided_weights_dir: Path, token: str) -> Iterator[SmallDisk]:
    """A server on a disk of its own."""
    if reason := why_there_is_none():
        pytest.skip(reason)
    held_by = folder / "held"
    held_by.touch()
    disk = start_on_small_disk(
        folder,
        decided_weights_dir,
        serve=(sys.executable, *held_server.COMMAND),
        HELD_BY=str(held_by),
        VERISCAN_VERDICT_WAIT_S="0",
        VERISCAN_API_REQUESTS_PER_MIN="0",  # it is asked again and again until a scan has ended
    )
    yield disk
    stop_server(disk.server)


@pytest.fixture
def script(disk: SmallDisk, token: str) -> Visitor:
    """Alice's script."""
    return Visitor(disk.server, token)


def noise_png(side: int) -> bytes:
    """Return a picture that nothing can compress."""
    noise = np.random.default_rng(0).integers(0, 256, (side, side), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).save(buffer, "PNG")
    return buffer.getvalue()


def listed(script: Visitor) -> dict[str, Any]:
    """Return the analyses of a script's user by id."""
    answer = script.ask("GET", "/api/v1/analyses")
    assert answer.status == 200, answer.text
    return {one["id"]: one for one in answer.json["analyses"]}


def all_ended(script: Visitor) -> dict[str, Any]:
    """Return the analyses of a script's user by id; none while one of them waits."""
    found = listed(script)
    is_over = all(one["status"] in ("done", "failed") for one in found.values())
    return found if is_over else {}


def check_told(answer: Answer) -> None:
    """Check that a refusal is a sentence for people and no fault of ours."""
    assert answer.status == 503, (answer.status, answer.text)
    assert "Traceback" not in answer.text
    assert any(
        words in answer.text
        for words in ("free space", "cannot be written", "cannot be stored", "at present")
    ), answer.text


def test_a_scan_that_was_accepted_before_the_disk_was_full_comes_to_its_end(
    disk: SmallDisk, script: Visitor, folder: Path
) -> None:
    with held_server.holding(folder / "held"):
        accepted = script.send(png_bytes()).json["id"]
        disk.fill()
    wait_until(lambda: "could not be stored" in disk.server.log.read_text())
    disk.free()

    ended = wait_until(lambda: all_ended(script))[accepted]
    assert ended["status"] == "done" or "No space left" in ended["error"]
    assert "whole" in disk.verify_audit()


@pytest.mark.parametrize("trouble", ["full", "read-only"])
def test_a_disk_that_takes_nothing_is_told_and_everything_goes_on_once_it_does(
    disk: SmallDisk, script: Visitor, trouble: str
) -> None:
    kept = {script.send(png_bytes()).json["id"] for _ in range(MADE_BEFORE)}
    shown = set(wait_until(lambda: all_ended(script)))
    assert kept <= shown

    disk.fill() if trouble == "full" else disk.make_read_only()
    newcomer = Visitor(disk.server)
    for answer in (
        newcomer.register(f"newcomer-{trouble}"),
        Visitor(disk.server).sign_in("alice"),
        script.send(png_bytes()),
        script.send(noise_png(1200)),  # so large that it waits on the disk while it comes in
        script.ask("GET", f"/api/v1/analyses/{min(kept)}"),  # to look at a verdict is on record
    ):
        check_told(answer)
    refused = set(listed(script)) - shown
    # Files that were open before stay writable on this read-only disk, so that the record of a
    # refused scan may come in and not be taken back. Of a full disk nothing stays.
    assert not refused or trouble == "read-only"
    assert newcomer.ask("GET", "/healthz").status == 200
    assert "be written" in newcomer.ask("GET", "/readyz").text

    disk.free() if trouble == "full" else disk.make_writable()
    assert newcomer.register(f"newcomer-{trouble}").status == 303
    assert Visitor(disk.server).sign_in("alice").status == 303
    assert script.send(noise_png(1200)).status in (201, 202)  # judged already, or waiting
    assert script.ask("DELETE", f"/api/v1/analyses/{min(kept)}").status == 204
    assert len(wait_until(lambda: all_ended(script)).keys() - refused) == len(shown)
    assert "whole" in disk.verify_audit()

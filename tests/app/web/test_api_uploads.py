"""Batches, studies and notes by script."""

import io
import json
import time
from collections.abc import Sequence
from typing import Any

import pytest
from flask import Flask
from werkzeug.test import TestResponse

from app.records import User
from app.services.container import Services
from tests.app.web.conftest import make_user
from tests.app.web.script import Script, assert_problem, script_of
from tests.factories import make_grey, png_bytes, tiff_bytes

PATIENCE_S = 60


@pytest.fixture
def script(app: Flask, alice: User) -> Script:
    return script_of(app, alice)


def send(script: Script, files: Sequence[tuple[bytes, str]]) -> TestResponse:
    images = [(io.BytesIO(data), name) for data, name in files]
    return script.call("POST", "/uploads", data={"modality": "lung_ct", "images": images})


def finished(script: Script, sent: TestResponse) -> dict[str, Any]:
    """Ask again at Location, as the answer says, until it no longer says when to ask again."""
    assert sent.status_code == 202, sent.text
    answer, deadline = sent, time.monotonic() + PATIENCE_S
    while "Retry-After" in answer.headers and time.monotonic() < deadline:
        answer = script.call("GET", sent.headers["Location"].removeprefix("/api/v1"))
    body: dict[str, Any] = answer.get_json()
    assert body["status"] == "done"
    return body


def test_one_bad_file_is_named_while_the_others_proceed(
    script: Script, app: Flask, services: Services
) -> None:
    good = [(png_bytes(make_grey(seed=seed)), f"scan-{seed}.png") for seed in range(3)]
    sent = send(script, [good[0], (b"hello", "letter.txt"), *good[1:]])

    results = finished(script, sent)["results"]

    by_file = {result["file"]: result for result in results}
    assert set(by_file) == {"scan-0.png", "scan-1.png", "scan-2.png", "letter.txt"}
    assert by_file["letter.txt"]["status"] == "refused"
    assert "whatever its name says" in by_file["letter.txt"]["problem"]
    for _, name in good:
        assert by_file[name]["status"] == "done"
        assert by_file[name]["analysis"]["verdict"] in ("real", "fake", "inconclusive")
    stranger = script_of(app, make_user(services, "charlie"))
    path = sent.headers["Location"].removeprefix("/api/v1")
    assert_problem(stranger.call("GET", path), 404)


def test_the_slices_of_a_series_become_a_study_with_a_verdict(script: Script) -> None:
    frames = tiff_bytes(frames=3)

    (result,) = finished(script, send(script, [(frames, "series.tiff")]))["results"]

    link = result["study"]["links"]["self"].removeprefix("/api/v1")
    study = script.call("GET", link).get_json()
    assert (study["total"], study["finished"], study["status"]) == (3, 3, "done")
    assert study["verdict"] in ("real", "fake", "inconclusive")
    assert [found["number"] for found in study["slices"]] == [1, 2, 3]
    assert script.call("DELETE", link).status_code == 204
    assert_problem(script.call("GET", link), 404)


@pytest.mark.parametrize(
    ("data", "detail"),
    [
        ({"modality": "lung_ct"}, "once for each"),
        ({"modality": "brain", "images": (io.BytesIO(b"x"), "x")}, "knee_xray, lung_ct"),
    ],
)
def test_an_incomplete_batch_is_told_what_is_missing(
    script: Script, data: dict[str, Any], detail: str
) -> None:
    assert_problem(script.call("POST", "/uploads", data=data), 422, detail)


def test_a_note_is_kept_and_given_back(script: Script) -> None:
    link = f"/analyses/{script.analyse().get_json()['id']}/note"
    assert script.call("GET", link).get_json() == {"text": "", "tags": []}

    kept = script.call("PUT", link, json={"text": "Look again.", "tags": ["CT-GAN", "#Night"]})

    assert kept.get_json() == {"text": "Look again.", "tags": ["ct-gan", "night"]}
    assert script.call("GET", link).get_json() == kept.get_json()


@pytest.mark.parametrize(
    "sent",
    [
        None,
        [],
        {"text": "x"},
        {"text": 1, "tags": []},
        {"text": "", "tags": "a"},
        {"text": "", "tags": [1]},
        {"text": "", "tags": ["a,b"]},
        {"text": "", "tags": [], "more": 1},
        {"text": "x" * 2001, "tags": []},
        {"text": "", "tags": ["x" * 41]},
        {"text": "", "tags": [str(number) for number in range(11)]},
    ],
    ids=lambda sent: json.dumps(sent)[:40],
)
def test_an_odd_note_is_refused(script: Script, sent: object, services: Services) -> None:
    link = f"/analyses/{script.analyse().get_json()['id']}/note"

    data = json.dumps(sent)
    assert_problem(script.call("PUT", link, data=data, content_type="application/json"), 422)
    assert script.call("GET", link).get_json() == {"text": "", "tags": []}


def test_a_note_that_is_no_json_is_refused(script: Script) -> None:
    link = f"/analyses/{script.analyse().get_json()['id']}/note"

    assert_problem(script.call("PUT", link, data=b"{", content_type="application/json"), 422)
    assert_problem(script.call("PUT", link, data=b"x", content_type="text/plain"), 415)

"""Uploading scans: what is taken in, and what is refused in which words."""

import io
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from werkzeug.test import TestResponse

from app.engine.engine import InProcessEngine
from app.services.analyses import receiving
from app.services.decoding.pool import DecodingPool
from tests.app.web.conftest import CAST, Browser, MakeApp, browser_on
from tests.app.web.house import House, open_house
from tests.app.web.page import Page
from tests.factories import (
    bmp_bytes,
    dicom_bytes,
    huge_png_header,
    jpeg_bytes,
    make_grey,
    png16_bytes,
    png_bytes,
    series_files,
    tiff_bytes,
    truncated,
    zip_bytes,
)

FILES = {
    "8-bit PNG": png_bytes(),
    "16-bit PNG": png16_bytes(),
    "RGBA PNG": png_bytes(mode="RGBA"),
    "JPEG": jpeg_bytes(),
    "CMYK JPEG": jpeg_bytes(mode="CMYK"),
    "TIFF": tiff_bytes(),
    "BMP": bmp_bytes(),
    "DICOM": dicom_bytes(),
}
REFUSED = {
    "empty": (b"", 422, "The file is empty."),
    "text named .png": (b"hello, I am a scan", 415, "whatever its name says"),
    "truncated JPEG": (truncated(jpeg_bytes()), 422, "damaged or incomplete"),
    "truncated DICOM": (truncated(dicom_bytes()), 422, "damaged or incomplete"),
    "30,000 × 30,000 PNG": (huge_png_header(), 422, "30000 × 30000 pixels"),
    "thumbnail": (png_bytes(make_grey(32, 32)), 422, "only 32 × 32 pixels"),
    "HTML": (b"<html><script>alert(1)</script>", 415, "whatever its name says"),
}


@pytest.fixture(scope="module")
def house(
    tmp_path_factory: pytest.TempPathFactory, tiny_weights_dir: Path, decoding_pool: DecodingPool
) -> Iterator[House]:
    """An application that tests with many cases share."""
    house = open_house(tmp_path_factory.mktemp("uploads"), tiny_weights_dir, decoding_pool)
    yield house
    house.services.stop()


@pytest.fixture
def newcomer(house: House) -> Browser:
    """Somebody who has no scans yet."""
    return house.browser(house.user())


# --- the upload form ------------------------------------------------------------------------


def test_the_modality_in_the_address_is_chosen_already(owner: Browser) -> None:
    page = owner.get("/analyses/new?modality=lung_ct")

    chosen = [a["value"] for a in page.all("input") if "checked" in a]
    assert chosen == ["lung_ct"]


@pytest.mark.parametrize("modality", ["lung_ct", "knee_xray"])
@pytest.mark.parametrize("data", FILES.values(), ids=FILES)
def test_a_scan_in_any_accepted_format_gets_a_verdict(
    newcomer: Browser, data: bytes, modality: str
) -> None:
    page = newcomer.follow(newcomer.upload(data, modality))

    assert "How sure is that?" in page.text
    assert "Research use only. Not a medical device." in page.text


@pytest.mark.parametrize(("data", "status", "message"), REFUSED.values(), ids=REFUSED)
def test_a_file_that_cannot_be_judged_is_refused_in_words_at_its_field(
    newcomer: Browser, data: bytes, status: int, message: str
) -> None:
    response = newcomer.upload(data, "lung_ct")

    page = Page(response.text)
    assert response.status_code == status
    assert page.problems() == []
    assert message in (page.error_of("images") or "")
    assert page.title.startswith("Error: ")
    assert [a["value"] for a in page.all("input") if "checked" in a] == ["lung_ct"]
    assert "No scans yet" in newcomer.get("/analyses").text


def test_a_file_over_the_limit_is_refused_at_its_field(make_app: MakeApp) -> None:
    browser = browser_on(make_app(max_upload_bytes=2**18))

    response = browser.upload(png_bytes() + bytes(2**18))

    assert response.status_code == 413
    assert "larger than" in (Page(response.text).error_of("images") or "")


def test_no_bytes_of_a_file_are_taken_for_a_field_that_is_too_long(owner: Browser) -> None:
    # A line end as the last byte of what is read at once stays in the reader's buffer.
    owner.analyse(png_bytes() + b"\n" * 300_000)


def test_a_request_far_over_the_limit_is_refused_before_it_is_read(make_app: MakeApp) -> None:
    browser = browser_on(make_app(max_upload_bytes=2**20))

    # Written by hand: Werkzeug's client leaves the file open in which it keeps a large form.
    response = browser.client.post(
        "/analyses",
        input_stream=io.BytesIO(bytes(8 * 2**20)),
        content_length=8 * 2**20,
        content_type="multipart/form-data; boundary=x",
    )

    assert response.status_code == 413
    assert "A file may have up to 1 MB." in response.text


@pytest.mark.parametrize(
    ("data", "field", "message"),
    [
        ({"modality": "lung_ct"}, "images", "Choose a file."),
        ({"images": (io.BytesIO(png_bytes()), "a.png")}, "modality", "Choose the kind of scan."),
        (
            {"modality": "../etc", "images": (io.BytesIO(png_bytes()), "a.png")},
            "modality",
            "There is no modality",
        ),
    ],
)
def test_what_is_missing_is_named(
    owner: Browser, data: dict[str, object], field: str, message: str
) -> None:
    page = owner.submit("/analyses", data, 422)

    assert message in (page.error_of(field) or "")


def test_an_unavailable_modality_cannot_be_chosen_and_says_why(
    make_app: MakeApp, lung_engine: InProcessEngine
) -> None:
    browser = browser_on(make_app(lung_engine))

    page = browser.get("/analyses/new?modality=knee_xray")
    (knee,) = [a for a in page.all("input") if a.get("value") == "knee_xray"]
    assert "disabled" in knee
    assert "No weights are published" in page.text

    response = browser.upload(modality="knee_xray")
    assert response.status_code == 503
    assert "cannot be analysed at present" in (Page(response.text).error_of("modality") or "")


def upload_of(response: TestResponse) -> str:
    """Return the address of the page of the upload that a form has begun."""
    assert response.status_code == 303, response.text
    assert "/analyses/uploads/" in response.location
    return response.location


def finished(browser: Browser, address: str) -> Page:
    """Open the page of an upload or a study once all of it is finished."""
    deadline_s = time.monotonic() + 60
    while not browser.client.get(f"{address}/status").json["is_final"]:  # type: ignore[index]
        assert time.monotonic() < deadline_s
        time.sleep(0.05)
    response = browser.client.get(address)
    return browser.get(response.location if response.status_code == 303 else address)


def test_of_several_files_the_good_ones_are_taken_and_the_bad_ones_named(owner: Browser) -> None:
    files = [
        (io.BytesIO(png_bytes()), "good.png"),
        (io.BytesIO(b"nonsense"), "<bad>.png"),
        (io.BytesIO(b""), "empty.dcm"),
    ]

    address = upload_of(owner.send("/analyses", {"modality": "lung_ct", "images": files}))

    page = finished(owner, address)
    assert "<bad>.png This is not a PNG" in page.text
    assert "empty.dcm The file is empty." in page.text
    assert "1 of 1 scan finished, 2 were not taken in." in page.text
    assert "good.png" in page.text
    assert "One analysis" in owner.get("/analyses").text


def test_too_many_files_are_refused_together(owner: Browser) -> None:
    files = [(io.BytesIO(b"x"), f"{number}.png") for number in range(1001)]

    page = owner.submit("/analyses", {"modality": "lung_ct", "images": files}, 422)

    assert "at most 1000 files" in (page.error_of("images") or "")


def test_an_archive_alone_leads_to_its_study(owner: Browser) -> None:
    response = owner.upload(zip_bytes(series_files(3)), name="series.zip")

    page = finished(owner, upload_of(response))

    assert "3 slices" in page.text
    assert "The rule: a study is a deepfake from" in page.text
    assert len([a for a in page.all("a") if str(a["href"]).startswith("/analyses/")]) >= 6


def test_a_full_engine_refuses_nobody(
    make_app: MakeApp, tiny_weights_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = InProcessEngine(tiny_weights_dir, max_queue=1, max_batch=1, device="cpu")
    release, judge = Event(), engine._judge

    def judge_later(*batch: Any) -> None:
        release.wait(30)
        judge(*batch)

    monkeypatch.setattr(engine, "_judge", judge_later)
    browser = browser_on(make_app(engine, verdict_wait_s=0))

    responses = [browser.upload() for _ in range(4)]

    assert [response.status_code for response in responses] == [303] * 4
    states = browser.client.get(
        "/analyses/states?" + "&".join(f"id={r.location.rsplit('/', 1)[1]}" for r in responses)
    ).json
    release.set()
    assert states is not None
    assert {part["words"] for part in states["parts"]} >= {"Running", "Waiting, 1st in line"}


# --- as a script on the page sends them -----------------------------------------------------


def begin(browser: Browser, modality: str = "lung_ct") -> dict[str, str]:
    response = browser.send("/analyses/uploads", {"modality": modality})
    assert response.status_code == 200, response.text
    found: dict[str, str] = response.get_json()
    return found


def add(browser: Browser, upload: dict[str, str], data: bytes, name: str, **more: str) -> Any:
    response = browser.send(upload["files"], {"image": (io.BytesIO(data), name), **more})
    assert response.status_code == 200, response.text
    return response.get_json()


def test_a_script_sends_files_one_by_one_and_asks_once_for_all(owner: Browser) -> None:
    upload = begin(owner)

    taken = [
        add(owner, upload, png_bytes(make_grey(seed=n)), f"{n}.png", number=str(9 - n))
        for n in range(3)
    ]
    refused = add(owner, upload, b"?", "bad.png", number="1")

    assert [file["state"] for file in taken] == ["taken"] * 3
    assert refused["is_refused"]
    assert refused["problem"].startswith("This is not a PNG")
    page = finished(owner, upload["page"])
    state = owner.client.get(upload["status"]).get_json()
    assert state["words"] == "3 of 3 scans finished, one was not taken in."
    order = [refused["key"], *(file["key"] for file in reversed(taken))]
    assert [part["key"] for part in state["parts"]] == order
    assert page.text.index("2.png") < page.text.index("0.png")


def test_who_has_too_many_scans_in_line_is_told_when_to_send_again(
    owner: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(receiving, "MAX_IN_LINE", 0)
    upload = begin(owner)

    response = owner.send(upload["files"], {"image": (io.BytesIO(png_bytes()), "scan.png")})

    assert response.status_code == 503
    assert int(response.headers["Retry-After"]) > 0
    assert "Send this one again" in response.get_json()["detail"]
    assert owner.client.get(upload["status"]).get_json()["parts"] == []


def test_what_is_sent_alone_has_its_verdict_when_the_answer_comes(owner: Browser) -> None:
    upload = begin(owner)

    add(owner, upload, png_bytes(), "scan.png", is_only="yes")

    page = owner.follow(owner.client.get(upload["page"]))
    assert "How sure is that?" in page.text


@pytest.mark.parametrize(
    ("modality", "status"), [("", 422), ("../etc", 422), ("knee_xray", 503)], ids=str
)
def test_an_upload_that_cannot_begin_says_why(
    make_app: MakeApp, lung_engine: InProcessEngine, modality: str, status: int
) -> None:
    browser = browser_on(make_app(lung_engine))

    response = browser.send("/analyses/uploads", {"modality": modality})

    assert response.status_code == status
    assert response.mimetype == "application/problem+json"
    assert response.get_json()["detail"]


def test_a_file_without_a_file_is_refused_in_words(owner: Browser) -> None:
    response = owner.send(begin(owner)["files"], {})

    assert response.status_code == 422
    assert "in the field “image”" in response.get_json()["detail"]


def test_scripts_of_other_sites_cannot_send_files(owner: Browser) -> None:
    upload = begin(owner)

    for address in ("/analyses/uploads", upload["files"], f"{upload['page']}/forget"):
        assert owner.client.post(address, data={"modality": "lung_ct"}).status_code == 400


# --- whose they are -------------------------------------------------------------------------


@pytest.mark.parametrize("actor", CAST, indirect=True)
def test_an_upload_is_shown_to_its_sender_alone(actor: Browser, owner: Browser) -> None:
    upload = begin(owner)
    add(owner, upload, b"?", "bad.png")
    # The sender is let in; whoever is not signed in is sent to the sign-in page.
    signed_out = actor.client.get("/account").status_code != 200
    expected = 200 if actor is owner else 302 if signed_out else 404

    for address in (upload["page"], upload["status"]):
        assert actor.client.get(address).status_code == expected


@pytest.mark.parametrize("actor", CAST, indirect=True)
def test_a_study_is_shown_to_its_owner_and_to_an_admin(
    actor: Browser, owner: Browser, admin: Browser
) -> None:
    finished(owner, upload_of(owner.upload(zip_bytes(series_files(2)), name="a.zip")))
    upload = owner.get("/analyses/new").links
    page = owner.client.get(next(a for a in upload if "/analyses/uploads/" in a)).location
    signed_out = actor.client.get("/account").status_code != 200
    expected = 200 if actor in (owner, admin) else 302 if signed_out else 404

    for address in (page, f"{page}/status"):
        assert actor.client.get(address).status_code == expected
    if expected == 200:
        assert ("IM0000" in actor.client.get(page).text) is (actor is owner)


def test_a_study_is_deleted_with_all_its_slices(owner: Browser) -> None:
    finished(owner, upload_of(owner.upload(zip_bytes(series_files(2)), name="a.zip")))
    links = owner.get("/analyses/new").links
    page = owner.client.get(next(a for a in links if "/analyses/uploads/" in a)).location

    after = owner.follow(owner.send(f"{page}/delete"))

    assert "all its slices are deleted" in after.text
    assert owner.client.get(page).status_code == 404
    assert "No scans yet" in after.text


def test_the_names_of_an_upload_can_be_forgotten(owner: Browser) -> None:
    upload = begin(owner)
    add(owner, upload, png_bytes(), "Sentinel.png")
    add(owner, upload, b"?", "bad.png")
    finished(owner, upload["page"])

    page = owner.follow(owner.send(f"{upload['page']}/forget"))

    assert "are forgotten" in page.text
    assert owner.client.get(upload["page"]).status_code == 404
    assert "One analysis" in page.text


def test_the_states_of_analyses_of_others_are_not_told(owner: Browser, stranger: Browser) -> None:
    analysis_id = owner.analyse()

    assert stranger.client.get(f"/analyses/states?id={analysis_id}").get_json()["parts"] == []
    (part,) = owner.client.get(f"/analyses/states?id={analysis_id}&id=x").get_json()["parts"]
    assert part["is_final"]
    assert "badge" in part["html"]

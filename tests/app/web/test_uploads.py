"""Uploading scans: what is taken in, and what is refused in which words."""

import io
from pathlib import Path
from threading import Event

import pytest

from app.engine.engine import InProcessEngine
from tests.app.web.conftest import Browser, MakeApp, browser_on
from tests.app.web.page import Page
from tests.factories import (
    bmp_bytes,
    dicom_bytes,
    huge_png_header,
    jpeg_bytes,
    make_grey,
    png16_bytes,
    png_bytes,
    tiff_bytes,
    truncated,
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
    "several images": (tiff_bytes(frames=3), 422, "The file holds 3 images."),
    "HTML": (b"<html><script>alert(1)</script>", 415, "whatever its name says"),
}


# --- the upload form ------------------------------------------------------------------------


def test_the_modality_in_the_address_is_chosen_already(owner: Browser) -> None:
    page = owner.get("/analyses/new?modality=lung_ct")

    chosen = [a["value"] for a in page.all("input") if "checked" in a]
    assert chosen == ["lung_ct"]


@pytest.mark.parametrize("modality", ["lung_ct", "knee_xray"])
@pytest.mark.parametrize("data", FILES.values(), ids=FILES)
def test_a_scan_in_any_accepted_format_gets_a_verdict(
    owner: Browser, data: bytes, modality: str
) -> None:
    page = owner.follow(owner.upload(data, modality))

    assert "How sure is that?" in page.text
    assert "Research use only. Not a medical device." in page.text


@pytest.mark.parametrize(("data", "status", "message"), REFUSED.values(), ids=REFUSED)
def test_a_file_that_cannot_be_judged_is_refused_in_words_at_its_field(
    owner: Browser, data: bytes, status: int, message: str
) -> None:
    response = owner.upload(data, "lung_ct")

    page = Page(response.text)
    assert response.status_code == status
    assert page.problems() == []
    assert message in (page.error_of("images") or "")
    assert page.title.startswith("Error: ")
    assert [a["value"] for a in page.all("input") if "checked" in a] == ["lung_ct"]
    assert "No scans yet" in owner.get("/analyses").text


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


def test_of_several_files_the_good_ones_are_taken_and_the_bad_ones_named(owner: Browser) -> None:
    files = [
        (io.BytesIO(png_bytes()), "good.png"),
        (io.BytesIO(b"nonsense"), "<bad>.png"),
        (io.BytesIO(b""), "empty.dcm"),
    ]

    page = owner.submit("/analyses", {"modality": "lung_ct", "images": files}, 415)

    assert "<bad>.png: This is not a PNG" in page.text
    assert "empty.dcm: The file is empty." in page.text
    assert "good.png" not in owner.get("/analyses").text
    assert "One analysis" in owner.get("/analyses").text


def test_several_good_files_lead_to_the_history(owner: Browser) -> None:
    files = [(io.BytesIO(png_bytes(make_grey(seed=seed))), f"{seed}.png") for seed in range(3)]

    page = owner.follow(owner.send("/analyses", {"modality": "lung_ct", "images": files}))

    assert "3 scans were taken in." in page.text
    assert "3 analyses, newest first" in page.text


def test_too_many_files_are_refused_together(owner: Browser) -> None:
    files = [(io.BytesIO(b"x"), f"{number}.png") for number in range(21)]

    page = owner.submit("/analyses", {"modality": "lung_ct", "images": files}, 422)

    assert "at most 20 files" in (page.error_of("images") or "")


def test_a_full_queue_is_told_with_the_time_to_wait(
    make_app: MakeApp, tiny_weights_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = InProcessEngine(tiny_weights_dir, max_queue=1, max_batch=1, device="cpu")
    release = Event()
    monkeypatch.setattr(engine, "_judge", lambda *batch: release.wait(30))
    browser = browser_on(make_app(engine, verdict_wait_s=0))

    responses = [browser.upload() for _ in range(4)]
    release.set()

    refused = responses[-1]
    assert refused.status_code == 503
    assert int(refused.headers["Retry-After"]) > 0
    assert "Too many analyses are waiting." in refused.text

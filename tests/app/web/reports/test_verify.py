"""Reports as they are downloaded, and the page on which anybody checks them."""

import io
import json
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from flask import Flask
from werkzeug.test import TestResponse

from app.detection.labels import Verdict
from app.records import Analysis, AnalysisStatus, Role, User
from app.services.certificates import verification as checks
from app.services.rate_limits import REPORT_CHECKS_PER_MIN
from tests.app.web.conftest import Browser
from tests.app.web.house import House, open_house
from tests.app.web.page import Page
from tests.movable_clock import MovableClock


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory, tiny_weights_dir: Path) -> Iterator[House]:
    house = open_house(tmp_path_factory.mktemp("house"), tiny_weights_dir)
    yield house
    house.services.stop()


@pytest.fixture(scope="module")
def alice(house: House) -> User:
    return house.user()


@pytest.fixture(scope="module")
def analysis(house: House, alice: User) -> Analysis:
    return house.board.judged(alice, seed=29)


@pytest.fixture(scope="module")
def report(house: House, alice: User, analysis: Analysis) -> bytes:
    return download(house.browser(alice), analysis, "json")


@pytest.fixture(scope="module")
def pdf(house: House, alice: User, analysis: Analysis) -> bytes:
    return download(house.browser(alice), analysis, "pdf")


@pytest.fixture
def anonymous(house: House) -> Browser:
    return house.browser()


def download(browser: Browser, analysis: Analysis, ending: str) -> bytes:
    response = browser.client.get(f"/analyses/{analysis.id}/report.{ending}")
    assert response.status_code == 200
    assert response.headers["Content-Disposition"].startswith('attachment; filename="veriscan-')
    data: bytes = response.data
    return data


def check(
    browser: Browser, *, report: bytes | None = None, image: bytes | None = None, status: int = 200
) -> Page:
    data: dict[str, Any] = {}
    if report is not None:
        data["report"] = (io.BytesIO(report), "Sentinel_report")
    if image is not None:
        data["image"] = (io.BytesIO(image), "Sentinel_image")
    return browser.submit("/verify", data, status)


# --- downloading ----------------------------------------------------------------------------


@pytest.mark.parametrize("ending", ["json", "pdf"])
@pytest.mark.parametrize(
    ("role", "status"),
    [(Role.CLINICIAN, 404), (Role.REVIEWER, 404), (Role.ADMIN, 200), (None, 302)],
    ids=["stranger", "reviewer", "admin", "anonymous"],
)
def test_a_report_is_for_the_owner_and_admins(
    house: House, analysis: Analysis, ending: str, role: Role | None, status: int
) -> None:
    browser = house.browser(house.user(role) if role else None)

    response = browser.client.get(f"/analyses/{analysis.id}/report.{ending}")

    assert response.status_code == status


def test_a_deactivated_owner_gets_none(house: House) -> None:
    dan = house.user()
    analysis, browser = house.board.judged(dan, seed=30), house.browser(dan)
    house.services.accounts.set_active(dan.id, active=False)

    assert browser.client.get(f"/analyses/{analysis.id}/report.pdf").status_code == 302


@pytest.mark.parametrize("ending", ["json", "pdf"])
def test_an_analysis_without_a_verdict_has_no_report(
    house: House, alice: User, ending: str
) -> None:
    failed = house.board.judged(
        alice, seed=31, status=AnalysisStatus.FAILED, finding=None, error="It failed."
    )

    house.browser(alice).get(f"/analyses/{failed.id}/report.{ending}", 404)


@pytest.mark.parametrize("verdict", list(Verdict))
def test_the_page_of_every_verdict_offers_the_report(
    house: House, alice: User, verdict: Verdict
) -> None:
    analysis = house.board.judged(alice, verdict, seed=32)

    page = house.browser(alice).get(f"/analyses/{analysis.id}")

    for ending in ("json", "pdf"):
        assert f"/analyses/{analysis.id}/report.{ending}" in page.links
        assert download(house.browser(alice), analysis, ending)


# --- checking -------------------------------------------------------------------------------


def test_the_page_opens_for_everybody_and_is_linked_from_every_page(anonymous: Browser) -> None:
    assert "/verify" in anonymous.get("/").links
    assert "No account is needed" in anonymous.get("/verify").text


def test_a_genuine_report_is_told_to_be_one_with_what_it_says(
    anonymous: Browser, report: bytes, pdf: bytes, analysis: Analysis
) -> None:
    for data in (report, pdf):
        page = check(anonymous, report=data)
        assert "genuine and unchanged" in page.text
        assert "Deepfake" in page.text
        assert "0.993; authentic below 0.2, deepfake above 0.8" in page.text
        assert analysis.image_sha256 in page.text
        assert "Research use only" in page.text
        assert "verified" not in page.text.lower()


def test_a_changed_report_is_refused_and_the_change_named(
    anonymous: Browser, report: bytes
) -> None:
    page = check(anonymous, report=report.replace(b'"verdict":"fake"', b'"verdict":"real"'))

    assert "Do not trust this report" in page.text
    assert "this was changed: the verdict" in page.text
    assert "Authentic" not in page.text
    assert "What the report says" not in page.text


def test_a_pdf_with_other_pages_is_told_apart(anonymous: Browser, pdf: bytes) -> None:
    page = check(anonymous, report=pdf.replace(b"%PDF-1.", b"%PDF-2.", 1))

    assert "genuine, but something is wrong" in page.text
    assert checks.PDF_CHANGED in page.text
    assert "What the report says" in page.text


def test_an_image_that_belongs_to_the_report_is_told_from_one_that_does_not(
    house: House, alice: User, anonymous: Browser
) -> None:
    own = house.board.judged(alice, seed=33, image_sha256=sha256(b"the image").hexdigest())
    report = download(house.browser(alice), own, "json")

    assert "The image is the one" in check(anonymous, report=report, image=b"the image").text
    other = check(anonymous, report=report, image=b"another image").text
    assert checks.OTHER_IMAGE in other
    assert "The image is the one" not in other


def test_of_an_image_alone_nothing_is_told_but_whether_there_is_a_report(
    house: House, alice: User, anonymous: Browser
) -> None:
    own = house.board.judged(alice, seed=34, image_sha256=sha256(b"mine").hexdigest())
    before = check(anonymous, image=b"mine").text
    download(house.browser(alice), own, "json")

    after = check(anonymous, image=b"mine").text

    assert "No report was issued here for this file" in before
    assert "A report was issued here for exactly this file" in after
    hidden = ("Deepfake", "Lung CT", "0.99", alice.username, str(own.id), "2026")
    assert not [secret for secret in hidden if secret in after]


def test_nothing_chosen_is_said_at_the_field(anonymous: Browser) -> None:
    page = check(anonymous, status=422)

    assert page.error_of("report") == "Choose a report, an image, or both."


def test_an_image_over_the_limit_is_refused(anonymous: Browser) -> None:
    page = check(anonymous, image=bytes(2**17 + 1), status=413)

    assert "larger than" in str(page.error_of("image"))


def test_a_body_over_all_limits_is_refused_unread(anonymous: Browser) -> None:
    token = anonymous.get("/verify").csrf_token

    response = anonymous.client.post(
        "/verify",
        data={"csrf_token": token, "report": (io.BytesIO(b"{}"), "r")},
        environ_overrides={"CONTENT_LENGTH": str(2**30)},
    )

    assert response.status_code == 413


@pytest.mark.parametrize(
    "data", [b"\x00", b"<script>alert(1)</script>", b"{", b'{"report":{},"signature":"<b>"}']
)
def test_what_is_no_report_is_refused_and_not_repeated(anonymous: Browser, data: bytes) -> None:
    page = check(anonymous, report=data)

    assert "Do not trust this report" in page.text
    assert "alert(1)" not in page.html
    assert "Sentinel" not in page.html


def test_checking_needs_the_token_of_the_form(anonymous: Browser) -> None:
    response = anonymous.client.post("/verify", data={"report": (io.BytesIO(b"{}"), "r")})

    assert response.status_code == 400


# --- keys -----------------------------------------------------------------------------------


def test_the_public_key_checks_a_report_without_this_server(
    anonymous: Browser, report: bytes
) -> None:
    key = load_pem_public_key(anonymous.client.get("/verify/public-key.pem").data)
    document = json.loads(report)
    text = report[len(b'{"report":') : report.rindex(b',"signature"')]

    assert isinstance(key, Ed25519PublicKey)
    key.verify(bytes.fromhex(document["signature"]), text)


def test_old_keys_stay_in_the_list(house: House, anonymous: Browser) -> None:
    before = house.services.signing.signer().key_id
    house.services.signing.rotate()

    body = anonymous.client.get("/verify/public-keys.json").get_json()

    assert body["installation"] == house.services.signing.installation
    assert [key["id"] for key in body["keys"]][-2:] == [
        before,
        house.services.signing.signer().key_id,
    ]
    assert [key["current"] for key in body["keys"]][-2:] == [False, True]
    assert "PRIVATE" not in json.dumps(body)


# --- how often ------------------------------------------------------------------------------


def test_an_address_that_checks_too_often_waits(app: Flask, clock: MovableClock) -> None:
    stranger = Browser(app.test_client())
    data = {"csrf_token": stranger.get("/verify").csrf_token}

    def check_once(address: str = "192.0.2.7") -> TestResponse:
        files = {"image": (io.BytesIO(b"any"), "Sentinel_image")}
        environment = {"REMOTE_ADDR": address}
        return stranger.client.post("/verify", data=data | files, environ_overrides=environment)

    for _ in range(REPORT_CHECKS_PER_MIN):
        assert check_once().status_code == 200
    clock.move(seconds=20)
    refused = check_once()

    assert (refused.status_code, refused.headers["Retry-After"]) == (429, "40")
    assert "Try again in 40 seconds" in refused.text
    assert check_once("192.0.2.8").status_code == 200
    clock.move(seconds=40)
    assert check_once().status_code == 200

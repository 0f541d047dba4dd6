"""Certificates, and what their check says of every kind of change."""

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pypdf
import pytest
import rfc8785

from app.detection.labels import Verdict
from app.detection.verdict import Finding
from app.errors import NotFoundError
from app.records import Analysis, AnalysisStatus, Role, User
from app.services.analyses.reports import NOTICE
from app.services.certificates import verification as checks
from app.services.certificates.certificates import SEAL_BYTES
from app.services.certificates.report_pdf import Words
from app.services.certificates.verification import Verification, VerificationService
from tests.app.services.reviews.review_board import Board, open_board
from tests.people import person

OWNER = person()


def say(analysis: Analysis, finding: Finding) -> Words:
    """Return words as the web pages give them."""
    return Words(
        title="Lung CT",
        tone=finding.verdict.value,
        headline="This lung CT slice appears to be a deepfake.",
        advice="Compare it with the original in the archive.",
        certainty="more than 99 of 100 scans with a score like this one would be deepfakes.",
        rates=("about 4 of 100 authentic scans are called fake",),
        reasons=finding.reasons,
        limits=("It has seen no “other” scanner – and no Ж.",),
        findings=(("Operating point", "authentic below 0.2, deepfake above 0.8"),),
        facts=(("The scan", (("SHA-256 of the file", analysis.image_sha256),)),),
        notice=NOTICE,
        how_to_check="Open /verify and choose this file.",
    )


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory, tiny_weights_dir: Path) -> Iterator[Board]:
    board = open_board(tmp_path_factory.mktemp("board"), tiny_weights_dir)
    yield board
    board.services.stop()


@pytest.fixture(scope="module")
def analysis(board: Board) -> Analysis:
    return board.judged(OWNER, seed=7)


@pytest.fixture(scope="module")
def report(board: Board, analysis: Analysis) -> bytes:
    return board.services.certificates.report(OWNER, analysis.id)


@pytest.fixture(scope="module")
def pdf(board: Board, analysis: Analysis) -> bytes:
    return board.services.certificates.pdf(OWNER, analysis.id, say)


@pytest.fixture(scope="module")
def verification(board: Board) -> VerificationService:
    return board.services.verification


def with_bit_flipped(data: bytes, position: int) -> bytes:
    """Change one bit of one byte, another bit from byte to byte."""
    changed = bytearray(data)
    changed[position] ^= 1 << (position % 8)
    return bytes(changed)


def changed(report: bytes, path: str, value: Any) -> bytes:
    """Return a report in which one entry says something else, under the signature as it was."""
    document = json.loads(report)
    *parents, name = path.split(".")
    place = document["report"]
    for parent in parents:
        place = place[parent]
    place[name] = value
    return rfc8785.dumps(document)


# --- what is issued -------------------------------------------------------------------------


def test_a_report_binds_image_weights_thresholds_findings_time_and_installation(
    board: Board, analysis: Analysis, report: bytes
) -> None:
    said = json.loads(report)["report"]

    assert said["image"]["sha256"] == analysis.image_sha256
    assert said["weights"] == {"name": "efficientnet_b4", "sha256": "b" * 64}
    assert (said["threshold"], said["inconclusive_band"]) == (0.5, [0.2, 0.8])
    assert (said["verdict"], said["probability_fake"]) == ("fake", 0.9931)
    assert said["gate"]["likeness"] == 0.998
    assert said["stability"] == {"stable": True, "probabilities": {"mirrored": 0.99}}
    assert said["judged"] == said["submitted"] == "2026-11-20T12:00:00Z"
    assert said["installation"] == board.services.signing.installation
    assert said["signing_key"] == board.services.signing.signer().key_id
    assert "Research use only" in said["notice"]


def test_a_report_names_nobody(report: bytes) -> None:
    assert str(OWNER.id).encode() not in report
    assert OWNER.username.encode() not in report


def test_a_report_is_canonical_and_always_the_same(
    board: Board, analysis: Analysis, report: bytes
) -> None:
    assert rfc8785.dumps(json.loads(report)) == report
    assert board.services.certificates.report(OWNER, analysis.id) == report


def test_a_pdf_can_be_read_and_carries_the_report(pdf: bytes, report: bytes) -> None:
    reader = pypdf.PdfReader(io.BytesIO(pdf), strict=True)
    text = " ".join(" ".join(page.extract_text() for page in reader.pages).split())

    assert len(reader.pages) == 2
    assert reader.attachments["report.json"] == [report]
    assert "This lung CT slice appears to be a deepfake." in text
    assert "about 4 of 100 authentic scans are called fake" in text
    assert f"{7:064x}" in text
    assert text.count("Research use only. Not a medical device.") == 2
    assert len(reader.pages[0].images) == 2


def test_a_scan_that_was_not_judged_gets_a_report_without_a_heatmap(board: Board) -> None:
    stopped = board.judged(OWNER, Verdict.NOT_JUDGED, seed=8)

    pdf = board.services.certificates.pdf(OWNER, stopped.id, say)

    assert len(pypdf.PdfReader(io.BytesIO(pdf)).pages[0].images) == 1
    assert board.services.verification.check_report(pdf).is_genuine


@pytest.mark.parametrize(
    ("viewer", "is_served"),
    [(OWNER, True), (person(Role.ADMIN), True), (person(), False), (person(Role.REVIEWER), False)],
    ids=["owner", "admin", "stranger", "reviewer"],
)
def test_a_report_is_issued_to_those_who_may_see_the_analysis(
    board: Board, analysis: Analysis, viewer: User, is_served: bool
) -> None:
    if is_served:
        assert board.services.certificates.report(viewer, analysis.id)
    else:
        with pytest.raises(NotFoundError):
            board.services.certificates.report(viewer, analysis.id)


def test_there_is_no_report_before_the_verdict(board: Board) -> None:
    queued = board.judged(
        OWNER, seed=9, status=AnalysisStatus.FAILED, finding=None, error="It failed."
    )

    with pytest.raises(NotFoundError):
        board.services.certificates.report(OWNER, queued.id)
    with pytest.raises(NotFoundError):
        board.services.certificates.pdf(OWNER, queued.id, say)


# --- genuine --------------------------------------------------------------------------------


def test_a_report_as_it_was_issued_is_genuine(
    verification: VerificationService, report: bytes, pdf: bytes
) -> None:
    for data in (report, pdf):
        found = verification.check_report(data)
        assert found.is_genuine
        assert found.report == json.loads(report)["report"]


def test_a_report_that_was_only_laid_out_anew_is_genuine(
    verification: VerificationService, report: bytes
) -> None:
    assert verification.check_report(json.dumps(json.loads(report), indent=2).encode()).is_genuine


def test_a_report_outlives_its_analysis_and_its_key(board: Board) -> None:
    analysis = board.judged(OWNER, seed=10)
    report = board.services.certificates.report(OWNER, analysis.id)
    pdf = board.services.certificates.pdf(OWNER, analysis.id, say)

    board.services.analyses.delete(OWNER, analysis.id)
    board.services.signing.rotate()

    assert board.services.verification.check_report(report).is_genuine
    assert board.services.verification.check_report(pdf).is_genuine


def test_a_report_of_a_withdrawn_key_is_not_trusted(board: Board) -> None:
    analysis = board.judged(OWNER, seed=11)
    report = board.services.certificates.report(OWNER, analysis.id)
    pdf = board.services.certificates.pdf(OWNER, analysis.id, say)
    board.services.signing.rotate(withdraw=True)

    for data in (report, pdf):
        found = board.services.verification.check_report(data)
        assert not found.is_genuine
        assert found.problems == (checks.WITHDRAWN_KEY,)
        assert found.report is None


# --- changed --------------------------------------------------------------------------------


def test_no_bit_of_a_json_report_can_be_changed_unnoticed(
    verification: VerificationService, report: bytes
) -> None:
    unnoticed = [
        position
        for position in range(len(report))
        if verification.check_report(with_bit_flipped(report, position)).is_genuine
    ]

    assert unnoticed == []


def test_no_bit_of_a_pdf_can_be_changed_unnoticed(
    verification: VerificationService, pdf: bytes
) -> None:
    seal = range(len(pdf) - SEAL_BYTES, len(pdf))
    attachment = range(pdf.find(b'{"report":'), pdf.find(b'{"report":') + 2500, 7)
    positions = [0, 5, *range(6, len(pdf), 499), *attachment, *seal]

    unnoticed = [
        position
        for position in positions
        if verification.check_report(with_bit_flipped(pdf, position)).is_genuine
    ]

    assert len(positions) > 500
    assert unnoticed == []


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("verdict", "real"),
        ("probability_fake", 0.0001),
        ("threshold", 0.9999),
        ("inconclusive_band", [0.2, 0.9999]),
        ("judged", "2026-11-21T12:00:00Z"),
        ("image.sha256", "d" * 64),
        ("weights.sha256", "e" * 64),
        ("gate.overridden", True),
        ("stability.stable", False),
        ("installation", "0" * 16),
        ("signing_key", "0" * 16),
        ("notice", "A medical device."),
    ],
)
def test_the_entry_that_was_changed_is_named(
    verification: VerificationService, report: bytes, path: str, value: object
) -> None:
    found = verification.check_report(changed(report, path, value))

    assert found.problems == (checks.BAD_SIGNATURE,)
    assert found.changed == (path,)
    assert found.report is None


def test_an_entry_that_was_added_is_noticed_and_not_repeated(
    verification: VerificationService, report: bytes
) -> None:
    found = verification.check_report(changed(report, "<b>praise</b>", "excellent"))

    assert found.changed == ("(an entry was added)",)


def test_what_was_changed_is_told_to_nobody_without_the_signature(
    verification: VerificationService, report: bytes
) -> None:
    document = json.loads(report) | {"signature": "0" * 128}

    found = verification.check_report(rfc8785.dumps(document))

    assert found == Verification(problems=(checks.BAD_SIGNATURE,))


def test_a_report_signed_with_a_key_of_ones_own_is_refused(
    verification: VerificationService, report: bytes, tmp_path: Path, tiny_weights_dir: Path
) -> None:
    other = open_board(tmp_path, tiny_weights_dir)
    foreign = other.services.certificates.report(OWNER, other.judged(OWNER).id)
    other.services.stop()

    assert verification.check_report(foreign).problems == (checks.UNKNOWN_KEY,)


def test_a_genuine_report_in_a_changed_pdf_is_told_apart(
    verification: VerificationService, pdf: bytes
) -> None:
    saved_again = pdf.replace(b"%PDF-1.", b"%PDF-2.", 1)

    for data in (saved_again, pdf + b"\n", pdf[:-SEAL_BYTES]):
        found = verification.check_report(data)
        assert found.problems == (checks.PDF_CHANGED,)
        assert found.report is not None
        assert not found.is_genuine


def test_a_pdf_whose_attachment_says_something_else_is_refused(
    verification: VerificationService, pdf: bytes
) -> None:
    found = verification.check_report(pdf.replace(b'"verdict":"fake"', b'"verdict":"real"'))

    assert found.problems == (checks.BAD_SIGNATURE,)
    assert found.changed == ("verdict",)


def test_the_seal_of_a_pdf_does_not_fit_a_report_nor_the_other_way_round(
    verification: VerificationService, pdf: bytes, report: bytes
) -> None:
    seal = pdf[-129:-1].decode()
    document = json.loads(report) | {"signature": seal}

    assert not verification.check_report(rfc8785.dumps(document)).is_genuine


# --- the image ------------------------------------------------------------------------------


def test_an_image_is_compared_with_the_report(
    verification: VerificationService, report: bytes, pdf: bytes
) -> None:
    for data in (report, pdf):
        fitting = verification.check_report(data, f"{7:064x}")
        other = verification.check_report(data, "f" * 64)
        assert fitting.is_genuine
        assert fitting.image_fits
        assert other.problems == (checks.OTHER_IMAGE,)
        assert other.image_fits is False


def test_of_an_image_alone_is_told_whether_a_report_was_issued(
    board: Board, verification: VerificationService, report: bytes
) -> None:
    without = board.judged(OWNER, seed=12)

    assert verification.has_certificate(f"{7:064x}")
    assert not verification.has_certificate(without.image_sha256)


def test_with_the_analysis_goes_what_was_known_of_its_image(board: Board) -> None:
    analysis = board.judged(OWNER, seed=13)
    report = board.services.certificates.report(OWNER, analysis.id)

    board.services.analyses.delete(OWNER, analysis.id)

    assert not board.services.verification.has_certificate(analysis.image_sha256)
    found = board.services.verification.check_report(changed(report, "verdict", "real"))
    assert found == Verification(problems=(checks.BAD_SIGNATURE,))


# --- hostile --------------------------------------------------------------------------------

DEEP = b'{"report":' + b"[" * 30_000 + b"]" * 30_000 + b',"signature":""}'


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x00" * 100,
        b"%PDF-",
        b"%PDF-1.7\n" + b'{"report":{' * 5000,
        b"{",
        b"[]",
        b"null",
        b'"text"',
        b'{"report":{},"signature":""}',
        b'{"report":{"signing_key":null},"signature":null}',
        b'{"report":{"signing_key":["a"]},"signature":"' + b"0" * 128 + b'"}',
        b'{"report":{},"report":{},"signature":""}',
        b'{"report":{"n":NaN},"signature":"' + b"0" * 128 + b'"}',
        b'{"report":{"n":1e999},"signature":"' + b"0" * 128 + b'"}',
        b'{"report":{"n":' + b"9" * 5000 + b'},"signature":"' + b"0" * 128 + b'"}',
        b'{"report":{"n":"\\ud800"},"signature":"' + b"0" * 128 + b'"}',
        b'{"report":{},"signature":"' + "٠".encode() * 128 + b'"}',
        b'\xff\xfe{"report":{},"signature":""}',
        DEEP,
        b"%PDF-" + DEEP,
        b"{" + b" " * checks.MAX_REPORT_BYTES + b"}",
        b"%PDF-" + b"x" * checks.MAX_PDF_BYTES,
    ],
)
def test_hostile_input_is_refused_in_words(verification: VerificationService, data: bytes) -> None:
    found = verification.check_report(data, "f" * 64)

    assert not found.is_genuine
    assert found.report is None
    assert len(found.problems) == 1

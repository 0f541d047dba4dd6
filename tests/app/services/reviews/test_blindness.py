"""Whoever is to give a blind opinion does not get the detector's verdict on the very scan."""

import io
from uuid import UUID

import numpy as np
import pytest
from PIL import Image

from app.errors import ScanUnderReviewError
from app.records import EventFilter, Opinion, ReviewCase, Role, User
from app.services.container import Services
from app.services.uploads.uploads import IncomingFile
from tests.app.services.conftest import Register
from tests.factories import make_grey, picture_bytes, png16_bytes, png_bytes

PATIENCE_S = 30.0


@pytest.fixture
def reviewer(services: Services, register: Register) -> User:
    return services.accounts.set_role(register("rita").id, Role.REVIEWER)


@pytest.fixture
def case(services: Services, alice: User) -> ReviewCase:
    """A contested verdict on a scan of 16 bits."""
    analysis = services.analyses.submit(alice, "lung_ct", png16_bytes(make_grey(seed=7)))
    services.analyses.wait(analysis.id, PATIENCE_S)
    return services.reviews.contest(alice, analysis.id, "It looks real.", may_be_label=False)


def uploaded(services: Services, case_id: UUID) -> int:
    wanted = EventFilter(action="review.case_uploaded", subject=str(case_id))
    return len(services.audit.page(wanted, limit=9))


def in_eight_bits(png: bytes) -> bytes:
    """Save a picture of 16 bits as a canvas would."""
    with Image.open(io.BytesIO(png)) as image:
        return picture_bytes(Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)), "PNG")


@pytest.mark.parametrize("is_rewritten", [False, True])
def test_a_reviewer_is_refused_the_verdict_on_a_case_that_waits_for_them(
    services: Services, case: ReviewCase, reviewer: User, is_rewritten: bool
) -> None:
    saved = services.reviews.scan_png(reviewer, case.id)
    saved = in_eight_bits(saved) if is_rewritten else saved

    with pytest.raises(ScanUnderReviewError, match="Give your opinion first"):
        services.analyses.submit(reviewer, "lung_ct", saved)
    upload = services.intake.uploads.begin(reviewer, "knee_xray")
    scan = IncomingFile(name="scan.png", stream=io.BytesIO(saved))
    file = services.intake.uploads.add(reviewer, upload.id, scan)

    assert "waits for your second opinion" in (file.problem or "")
    assert uploaded(services, case.id) == 2
    assert services.analyses.history(reviewer).total == 0


def test_after_the_answer_and_for_all_others_it_is_a_scan_as_any(
    services: Services, case: ReviewCase, reviewer: User, alice: User, charlie: User
) -> None:
    saved = services.reviews.scan_png(reviewer, case.id)
    services.analyses.submit(reviewer, "lung_ct", png_bytes(make_grey(seed=8)))
    services.analyses.submit(charlie, "lung_ct", saved)
    services.analyses.submit(alice, "lung_ct", saved)
    services.reviews.answer(reviewer, case.id, Opinion.REAL)

    services.analyses.submit(reviewer, "lung_ct", saved)

    assert uploaded(services, case.id) == 0


def test_that_a_reviewer_looks_at_a_case_is_recorded(
    services: Services, case: ReviewCase, reviewer: User, alice: User
) -> None:
    services.reviews.scan_png(alice, case.id)
    services.reviews.scan_png(reviewer, case.id)

    (event,) = services.audit.page(EventFilter(action="review.viewed"), limit=9)

    assert (event.actor_id, event.subject) == (reviewer.id, str(case.id))
    assert event.details == '{"picture":"scan"}'

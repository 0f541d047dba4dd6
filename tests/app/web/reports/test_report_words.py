"""What a report says of where it is checked."""

import pytest

from app.detection.labels import Verdict
from app.web.reports.reports import words_of
from tests.app.services.reviews.review_board import Board, finding_of
from tests.app.web.conftest import MakeApp
from tests.people import person


@pytest.mark.parametrize(
    ("public_url", "said"),
    [
        ("https://veriscan.hospital.org/x", "Open https://veriscan.hospital.org/x/verify and"),
        (None, "Open the page “Check a report” (/verify) of this installation"),
    ],
)
def test_what_a_client_calls_the_server_is_not_sealed_into_a_report(
    make_app: MakeApp, public_url: str | None, said: str
) -> None:
    app = make_app(public_url=public_url)
    analysis = Board(app.extensions["veriscan"]).judged(person())

    with app.test_request_context("/", headers={"Host": "elsewhere.example"}):
        words = words_of(analysis, finding_of(Verdict.FAKE)).how_to_check

    assert said in words
    assert "elsewhere.example" not in words

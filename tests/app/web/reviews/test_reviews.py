"""The pages around a second opinion: the owner's, the reviewers' and the chart."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from app.detection.labels import Verdict
from app.records import Analysis, Opinion, ReviewCase, Role, User
from tests.app.web.house import House, open_house

REASON = "The lesion was there a year ago."


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory, tiny_weights_dir: Path) -> Iterator[House]:
    house = open_house(tmp_path_factory.mktemp("house"), tiny_weights_dir)
    yield house
    house.services.stop()


@pytest.fixture(scope="module")
def alice(house: House) -> User:
    return house.user()


@pytest.fixture(scope="module")
def reviewers(house: House) -> list[User]:
    return [house.user(Role.REVIEWER) for _ in range(3)]


@pytest.fixture
def analysis(house: House, alice: User) -> Analysis:
    return house.board.judged(alice)


@pytest.fixture
def case(house: House, alice: User, analysis: Analysis) -> ReviewCase:
    return house.services.reviews.contest(alice, analysis.id, REASON, may_be_label=True)


def settle(house: House, case: ReviewCase, reviewers: list[User], *opinions: Opinion) -> None:
    for reviewer, opinion in zip(reviewers, opinions, strict=False):
        house.services.reviews.answer(reviewer, case.id, opinion, "Look at the edge.")


# --- the owner ------------------------------------------------------------------------------


def test_the_page_of_a_verdict_has_the_form_and_then_the_state(
    house: House, alice: User, analysis: Analysis
) -> None:
    owner, address = house.browser(alice), f"/analyses/{analysis.id}"
    assert f"{address}/contest" in [f.attributes["action"] for f in owner.get(address).forms]

    response = owner.send(f"{address}/contest", {"reason": REASON, "may_be_label": "yes"})

    page = owner.follow(response)
    assert "The reviewers will look at the scan" in page.text
    assert "No reviewer has answered so far" in page.text
    assert REASON in page.text
    assert "Take back the consent to training" in page.text


def test_consent_is_only_what_was_ticked(house: House, alice: User, analysis: Analysis) -> None:
    owner = house.browser(alice)

    owner.send(f"/analyses/{analysis.id}/contest", {"reason": REASON})

    case = house.services.reviews.find(alice, analysis.id)
    assert case is not None
    assert case.may_be_label is False


def test_an_empty_reason_is_said_at_its_field_and_nothing_typed_is_lost(
    house: House, alice: User, analysis: Analysis
) -> None:
    owner, address = house.browser(alice), f"/analyses/{analysis.id}/contest"

    page = owner.submit(address, {"reason": "  ", "may_be_label": "yes"}, 422)
    long = owner.submit(address, {"reason": "x" * 1001}, 422)

    assert "Say why you doubt the verdict" in str(page.error_of("reason"))
    assert any(box.get("name") == "may_be_label" and "checked" in box for box in page.all("input"))
    assert "x" * 1001 in long.html
    assert "Ask for a second opinion" in owner.get(address).text


def test_contesting_twice_says_so(house: House, alice: User, case: ReviewCase) -> None:
    owner = house.browser(alice)

    response = owner.send(f"/analyses/{case.analysis_id}/contest", {"reason": REASON})

    assert "already" in owner.follow(response).text
    assert owner.client.get(f"/analyses/{case.analysis_id}/contest").status_code == 303


def test_the_question_can_be_taken_back(house: House, alice: User, case: ReviewCase) -> None:
    owner = house.browser(alice)

    response = owner.send(f"/analyses/{case.analysis_id}/contest/withdraw")

    assert "Do you doubt this verdict?" in owner.follow(response).text


def test_consent_is_taken_back_and_given(house: House, alice: User, case: ReviewCase) -> None:
    owner, address = house.browser(alice), f"/analyses/{case.analysis_id}/contest/consent"

    taken = owner.follow(owner.send(address, {"may_be_label": "no"}))
    given = owner.follow(owner.send(address, {"may_be_label": "yes"}))

    assert "not be given out as a label any more" in taken.text
    assert "may be kept as a label" in given.text


@pytest.mark.parametrize("act", ["contest", "contest/withdraw", "contest/consent"])
@pytest.mark.parametrize(
    ("role", "status"),
    [(Role.CLINICIAN, 404), (Role.REVIEWER, 404), (Role.ADMIN, 404), (None, 302)],
    ids=["stranger", "reviewer", "admin", "anonymous"],
)
def test_only_the_owner_acts_on_it(
    house: House, case: ReviewCase, act: str, role: Role | None, status: int
) -> None:
    browser = house.browser(house.user(role) if role else None)

    response = browser.send(f"/analyses/{case.analysis_id}/{act}", {"reason": REASON})

    assert response.status_code == status


@pytest.mark.parametrize("verdict", [Verdict.NOT_JUDGED])
def test_what_was_not_judged_cannot_be_contested(
    house: House, alice: User, verdict: Verdict
) -> None:
    analysis, owner = house.board.judged(alice, verdict), house.browser(alice)

    assert "Do you doubt this verdict?" not in owner.get(f"/analyses/{analysis.id}").text
    response = owner.send(f"/analyses/{analysis.id}/contest", {"reason": REASON})
    assert "no verdict on this scan" in owner.follow(response).text


# --- the reviewers --------------------------------------------------------------------------


def test_a_reviewer_finds_the_case_by_the_navigation(
    house: House, reviewers: list[User], case: ReviewCase
) -> None:
    reviewer = house.browser(reviewers[0])

    assert "/reviews" in reviewer.get("/").links
    assert f"/reviews/{case.id}" in reviewer.get("/reviews").links


def test_the_navigation_counts_what_waits_for_a_reviewer(
    house: House, reviewers: list[User], case: ReviewCase
) -> None:
    reviewer = house.browser(reviewers[0])
    waiting = len(house.services.reviews.waiting_for(reviewers[0]))

    before = reviewer.get("/analyses").text
    reviewer.send(f"/reviews/{case.id}/answer", {"opinion": "unsure"})
    after = reviewer.get("/analyses").text

    assert f"Reviews {waiting} waiting for you" in before
    assert f"Reviews {waiting} waiting for you" not in after


def test_the_page_of_an_open_case_is_blind(
    house: House, alice: User, reviewers: list[User], case: ReviewCase
) -> None:
    settle(house, case, reviewers, Opinion.FAKE)
    reviewer = house.browser(reviewers[1])

    page = reviewer.get(f"/reviews/{case.id}")

    hidden = (
        REASON,
        alice.username,
        str(alice.id),
        str(case.analysis_id),
        case.analysis_id.hex,
        "/heatmap",
        "0.99",
        "Look at the edge",
        "appears to be",
        "2026",
        "Reviewer 1",
    )
    assert not [secret for secret in hidden if secret in page.html]
    for picture in ("image", "thumbnail"):
        response = reviewer.client.get(f"/reviews/{case.id}/{picture}")
        assert response.mimetype == "image/png"
        assert "Content-Disposition" not in response.headers


def test_a_reviewer_cannot_look_behind_the_case(
    house: House, reviewers: list[User], case: ReviewCase
) -> None:
    reviewer = house.browser(reviewers[0])

    for path in ("", "/image", "/heatmap", "/thumbnail", "/report.json", "/report.pdf", "/contest"):
        assert reviewer.client.get(f"/analyses/{case.analysis_id}{path}").status_code == 404


def test_an_opinion_is_asked_for(house: House, reviewers: list[User], case: ReviewCase) -> None:
    reviewer = house.browser(reviewers[0])

    for opinion in ("", "certain"):
        page = reviewer.submit(
            f"/reviews/{case.id}/answer", {"opinion": opinion, "comment": "Kept."}, 422
        )
        assert page.error_of("opinion") == "Choose what you take the scan for."
        assert "Kept." in page.html


def test_a_comment_that_is_too_long_is_said_at_its_field(
    house: House, reviewers: list[User], case: ReviewCase
) -> None:
    page = house.browser(reviewers[0]).submit(
        f"/reviews/{case.id}/answer", {"opinion": "fake", "comment": "x" * 1001}, 422
    )

    assert "at most 1000 characters" in str(page.error_of("comment"))


def test_answers_settle_the_case_and_show_it(
    house: House, alice: User, reviewers: list[User], case: ReviewCase
) -> None:
    first, second = (house.browser(reviewer) for reviewer in reviewers[:2])
    address = f"/reviews/{case.id}"

    waiting = first.follow(first.send(f"{address}/answer", {"opinion": "real"}))
    assert "You will see the outcome here" in waiting.text
    assert "You have answered: Authentic" in first.get(address).text
    settled = second.follow(
        second.send(f"{address}/answer", {"opinion": "real", "comment": "<b>Old scar.</b>"})
    )

    assert "Your answer settled the case" in settled.text
    owners = house.browser(alice).get(f"/analyses/{case.analysis_id}")
    for page in (settled, owners, first.get(address)):
        assert "Reviewers Authentic" in page.text
        assert "Detector Deepfake" in page.text
        assert "<b>Old scar.</b>" in page.text
        assert REASON in page.text
        assert not [r.username for r in reviewers[:1] if page is owners and r.username in page.html]


def test_a_late_answer_is_told_that_the_case_is_closed(
    house: House, reviewers: list[User], case: ReviewCase
) -> None:
    late = house.browser(reviewers[2])
    settle(house, case, reviewers, Opinion.FAKE, Opinion.FAKE)

    page = late.follow(late.send(f"/reviews/{case.id}/answer", {"opinion": "real"}))

    assert "This case is closed by now" in page.text


def test_an_answer_is_not_given_twice(
    house: House, reviewers: list[User], case: ReviewCase
) -> None:
    reviewer = house.browser(reviewers[0])
    settle(house, case, reviewers, Opinion.FAKE)

    page = reviewer.follow(reviewer.send(f"/reviews/{case.id}/answer", {"opinion": "real"}))

    assert "answered this case already" in page.text


def test_a_deactivated_reviewer_is_kept_out_and_the_answer_stays(
    house: House, alice: User, case: ReviewCase, reviewers: list[User]
) -> None:
    gone = house.user(Role.REVIEWER)
    browser = house.browser(gone)
    house.services.reviews.answer(gone, case.id, Opinion.FAKE)
    house.services.accounts.set_active(gone.id, active=False)

    for path in ("/reviews", f"/reviews/{case.id}", f"/reviews/{case.id}/image"):
        assert browser.client.get(path).status_code == 302
    settle(house, case, reviewers, Opinion.FAKE)
    assert "Reviewer 2" in house.browser(alice).get(f"/analyses/{case.analysis_id}").text


def test_a_case_of_a_deleted_analysis_is_gone(
    house: House, alice: User, reviewers: list[User], case: ReviewCase
) -> None:
    house.services.analyses.delete(alice, case.analysis_id)
    reviewer = house.browser(reviewers[0])

    reviewer.get(f"/reviews/{case.id}", 404)
    assert f"/reviews/{case.id}" not in reviewer.get("/reviews").links


@pytest.mark.parametrize(
    ("role", "statuses"),
    [
        (Role.CLINICIAN, (403, 403, 403, 403)),
        (Role.ADMIN, (403, 404, 200, 200)),
        (None, (302, 302, 302, 302)),
    ],
    ids=["clinician", "admin", "anonymous"],
)
def test_the_reviewers_pages_are_for_reviewers(
    house: House, case: ReviewCase, role: Role | None, statuses: tuple[int, ...]
) -> None:
    browser = house.browser(house.user(role) if role else None)
    paths = ("/reviews", f"/reviews/{case.id}", f"/reviews/{case.id}/image", "/reviews/agreement")

    found = tuple(browser.client.get(path).status_code for path in paths)

    assert found == statuses
    if role is Role.CLINICIAN:
        assert "not open to you" in browser.get("/reviews", 403).text
        assert "/reviews" not in browser.get("/").links


# --- the chart ------------------------------------------------------------------------------


def test_the_chart_says_in_words_and_in_a_table_what_it_draws(
    house: House, alice: User, reviewers: list[User]
) -> None:
    admin = house.browser(house.user(Role.ADMIN))
    knee = house.board.judged(alice, Verdict.REAL, modality="knee_xray")
    case = house.services.reviews.contest(alice, knee.id, REASON, may_be_label=False)
    settle(house, case, reviewers, Opinion.FAKE, Opinion.FAKE)

    page = admin.get("/reviews/agreement")

    drawn = [str(a.get("aria-label")) for a in page.all("svg") if a.get("role") == "img"]
    (words,) = [label for label in drawn if label.startswith("Knee X-ray")]
    assert (
        "of 1 contested with the verdict authentic, the reviewers found 0 authentic, 0 undecided, "
        "1 deepfake" in words
    )
    assert "0 of 1 cases with a verdict and an outcome" in page.text
    assert "1 of 1 pairs of answers" in page.text
    assert "no error rates of the detector" in page.text

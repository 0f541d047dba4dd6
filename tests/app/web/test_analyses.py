"""The history, deleting, and who may see what."""

from uuid import UUID, uuid4

import pytest

from app.records import User
from app.services.container import Services
from tests.app.web.conftest import CAST, Browser
from tests.factories import (
    make_grey,
    png_bytes,
)

# --- the history and deleting ---------------------------------------------------------------


def test_a_scan_is_found_again_in_the_history(owner: Browser) -> None:
    analysis_id = owner.analyse()

    page = owner.get("/analyses")

    assert f"/analyses/{analysis_id}" in page.links
    assert "Inconclusive" in page.text
    assert [a["src"] for a in page.all("img")] == [f"/analyses/{analysis_id}/thumbnail"]


def test_the_history_is_turned_page_by_page(
    owner: Browser, services: Services, alice: User
) -> None:
    for seed in range(21):
        analysis = services.analyses.submit(alice, "lung_ct", png_bytes(make_grey(seed=seed)))
        services.analyses.wait(analysis.id, 10)

    first, second = owner.get("/analyses"), owner.get("/analyses?page=2")

    assert "Page 1 of 2" in first.text
    assert "/analyses?page=2" in first.links
    assert "Page 2 of 2" in second.text
    assert len([link for link in second.links if len(link) == len(f"/analyses/{uuid4()}")]) == 1


@pytest.mark.parametrize("page", ["0", "-1", "x", "999999999999999999999999"])
def test_an_odd_page_number_does_no_harm(owner: Browser, page: str) -> None:
    owner.get(f"/analyses?page={page}")


def test_a_deleted_analysis_is_gone(owner: Browser) -> None:
    analysis_id = owner.analyse()

    page = owner.follow(owner.send(f"/analyses/{analysis_id}/delete"))

    assert "The analysis and its scan are deleted." in page.text
    for path in ("", "/image", "/thumbnail", "/heatmap", "/status"):
        assert owner.client.get(f"/analyses/{analysis_id}{path}").status_code == 404


# --- who may see what -----------------------------------------------------------------------


@pytest.fixture
def analysis_of_alice(owner: Browser) -> UUID:
    return owner.analyse()


@pytest.mark.parametrize("path", ["", "/image", "/thumbnail", "/heatmap", "/status"])
@pytest.mark.parametrize(
    ("actor", "status"), list(zip(CAST, (200, 404, 200, 302, 302), strict=True)), indirect=["actor"]
)
def test_an_analysis_is_for_its_owner_and_admins(
    actor: Browser, status: int, path: str, analysis_of_alice: UUID
) -> None:
    response = actor.client.get(f"/analyses/{analysis_of_alice}{path}")

    assert response.status_code == status
    if status == 302:
        assert response.location.startswith("/sign-in?next=")


@pytest.mark.parametrize(
    ("actor", "status"), list(zip(CAST, (303, 404, 303, 302, 302), strict=True)), indirect=["actor"]
)
def test_an_analysis_is_deleted_by_its_owner_or_an_admin(
    actor: Browser, status: int, analysis_of_alice: UUID, owner: Browser
) -> None:
    response = actor.send(f"/analyses/{analysis_of_alice}/delete")

    assert response.status_code == status
    is_there = owner.client.get(f"/analyses/{analysis_of_alice}").status_code == 200
    assert is_there is (status != 303)


@pytest.mark.parametrize("path", ["/analyses", "/analyses/new"])
@pytest.mark.parametrize(
    ("actor", "status"), list(zip(CAST, (200, 200, 200, 302, 302), strict=True)), indirect=["actor"]
)
def test_the_lists_are_for_whoever_is_signed_in(actor: Browser, status: int, path: str) -> None:
    assert actor.client.get(path).status_code == status


def test_a_stranger_finds_nothing_of_others_in_the_history(
    stranger: Browser, admin: Browser, analysis_of_alice: UUID
) -> None:
    for browser in (stranger, admin):
        assert str(analysis_of_alice) not in browser.get("/analyses").html


def test_an_admin_is_told_whose_analysis_it_is_not(admin: Browser, analysis_of_alice: UUID) -> None:
    assert "belongs to another user" in admin.get(f"/analyses/{analysis_of_alice}").text


def test_an_unknown_analysis_looks_like_that_of_somebody_else(
    stranger: Browser, analysis_of_alice: UUID
) -> None:
    unknown = stranger.get(f"/analyses/{uuid4()}", 404)

    assert stranger.get(f"/analyses/{analysis_of_alice}", 404).text == unknown.text

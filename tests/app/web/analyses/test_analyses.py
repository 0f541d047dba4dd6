"""Deleting, and who may see what."""

import json
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from app.services.decoding.pool import DecodingPool
from tests.app.web.conftest import CAST, Browser
from tests.app.web.house import cast_of, open_house


@pytest.fixture(scope="module")
def cast(
    tmp_path_factory: pytest.TempPathFactory, tiny_weights_dir: Path, decoding_pool: DecodingPool
) -> Iterator[dict[str, Browser]]:
    """One of each, in an application that all tests here share."""
    house = open_house(tmp_path_factory.mktemp("analyses"), tiny_weights_dir, decoding_pool)
    yield cast_of(house.app)
    house.services.stop()


@pytest.fixture
def owner(cast: dict[str, Browser]) -> Browser:
    return cast["owner"]


@pytest.fixture
def stranger(cast: dict[str, Browser]) -> Browser:
    return cast["stranger"]


@pytest.fixture
def admin(cast: dict[str, Browser]) -> Browser:
    return cast["admin"]


@pytest.fixture
def actor(cast: dict[str, Browser], request: pytest.FixtureRequest) -> Browser:
    """The member of the cast that a test names with ``indirect``."""
    return cast[request.param]


def states(browser: Browser, analysis_id: UUID) -> list[str]:
    """Return the analyses of which somebody who asks for one is told how far it is."""
    response = browser.client.get(f"/analyses/states?id={analysis_id}")
    return [part["key"] for part in json.loads(response.text)["parts"]]


# --- deleting -------------------------------------------------------------------------------


def test_a_deleted_analysis_is_gone(owner: Browser) -> None:
    analysis_id = owner.analyse()

    page = owner.follow(owner.send(f"/analyses/{analysis_id}/delete"))

    assert "The analysis and its scan are deleted." in page.text
    for path in ("", "/image", "/thumbnail", "/heatmap"):
        assert owner.client.get(f"/analyses/{analysis_id}{path}").status_code == 404
    assert states(owner, analysis_id) == []


# --- who may see what -----------------------------------------------------------------------


@pytest.fixture
def analysis_of_alice(owner: Browser) -> UUID:
    return owner.analyse()


@pytest.mark.parametrize("path", ["", "/image", "/thumbnail", "/heatmap"])
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
    ("actor", "is_told"),
    [("owner", True), ("stranger", False), ("admin", True)],
    indirect=["actor"],
)
def test_how_far_an_analysis_is_is_told_to_its_owner_and_admins(
    actor: Browser, is_told: bool, analysis_of_alice: UUID
) -> None:
    assert states(actor, analysis_of_alice) == [str(analysis_of_alice)] * is_told


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


def test_an_unknown_analysis_looks_like_that_of_somebody_else(
    stranger: Browser, analysis_of_alice: UUID
) -> None:
    unknown = stranger.get(f"/analyses/{uuid4()}", 404)

    assert stranger.get(f"/analyses/{analysis_of_alice}", 404).text == unknown.text

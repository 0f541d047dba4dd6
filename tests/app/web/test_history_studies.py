"""Studies in the history: a line for each, with its verdict, its slices and its picture."""

from uuid import UUID

import pytest

from app.records import EventFilter, User
from app.services.container import Services
from app.storage.database import ANALYSES, Database
from tests.app.web.conftest import Browser
from tests.app.web.page import Page
from tests.many_analyses import fill, gather

SLICES = 30
SINGLE = 4


@pytest.fixture
def database(services: Services) -> Database:
    """The one in which the application keeps its analyses."""
    return services.history._store._database


@pytest.fixture
def kept(database: Database, alice: User) -> list[UUID]:
    """Thirty-four analyses of Alice, newest first; the ten newest have a note and a tag."""
    return fill(database, alice.id, SLICES + SINGLE, noted=10)


@pytest.fixture
def study_id(database: Database, kept: list[UUID]) -> UUID:
    """A study of the thirty newest of them."""
    return gather(database, kept[:SLICES])[0]


def ticks(page: Page) -> list[tuple[str, str]]:
    """Return what can be ticked on a page, by name and value."""
    names = ("id", "study")
    return [(str(a["name"]), str(a["value"])) for a in page.all("input") if a.get("name") in names]


def change(database: Database, analysis_id: UUID, **values: object) -> None:
    with database.writing() as connection:
        connection.execute(ANALYSES.update().where(ANALYSES.c.id == analysis_id).values(**values))


def test_a_study_is_one_line_with_its_verdict_and_its_most_suspicious_slice(
    owner: Browser, database: Database, kept: list[UUID], study_id: UUID
) -> None:
    change(database, kept[7], probability_fake=0.999)

    page = owner.get("/analyses")

    singles = [("id", str(analysis_id)) for analysis_id in kept[SLICES:]]
    assert ticks(page) == [("study", str(study_id)), *singles]
    assert f"/analyses/studies/{study_id}" in page.links
    assert "34 analyses, newest first; a study is one line" in page.text
    assert "Study of 30 slices" in page.text
    assert page.all("img")[0]["src"] == f"/analyses/{kept[7]}/thumbnail"
    assert "Page 1" not in page.text
    assert ticks(owner.get("/analyses?modality=lung_ct"))[0] == ("study", str(study_id))


def test_the_overview_has_a_line_for_a_study_too(owner: Browser, study_id: UUID) -> None:
    page = owner.get("/")

    assert f"/analyses/studies/{study_id}" in page.links
    assert page.text.count("Study of 30 slices") == 1


def test_a_study_that_is_judged_says_how_far_it_is_and_then_its_verdict(
    owner: Browser, database: Database, kept: list[UUID], study_id: UUID
) -> None:
    waiting = {"status": "queued", "verdict": None, "probability_fake": None}
    change(database, kept[3], **waiting)

    page = owner.get("/analyses")
    state = owner.client.get(f"/analyses/states?study={study_id}&id={kept[3]}").json

    assert "29 of 30 slices judged" in page.text
    cell = next(a for a in page.all("td") if "data-waiting" in a)
    assert (cell["data-asks"], cell["data-part"]) == ("study", str(study_id))
    assert state is not None
    assert [part["key"] for part in state["parts"]] == [str(kept[3]), str(study_id)]
    assert state["parts"][1]["words"] == "29 of 30 slices judged"

    change(database, kept[3], status="done", verdict="real", probability_fake=0.1)

    state = owner.client.get(f"/analyses/states?study={study_id}").json
    assert state is not None
    assert state["is_final"]
    assert state["parts"][0]["words"] == "Inconclusive"
    assert not [a for a in owner.get("/analyses").all("td") if "data-waiting" in a]


@pytest.mark.parametrize(
    "question", ["result=fake", "q=common", "tag=ward+3", "sort=highest-score", "result=real"]
)
def test_slices_are_found_one_by_one_where_it_is_asked_for_what_they_differ_in(
    owner: Browser, kept: list[UUID], study_id: UUID, question: str
) -> None:
    page = owner.get(f"/analyses?{question}")

    found = ticks(page)
    assert found
    assert {name for name, _ in found} == {"id"}
    assert {UUID(value) for _, value in found} & set(kept[1:SLICES])
    assert "each slice of a study by itself" in page.text
    assert f"/analyses/studies/{study_id}" in page.links


def test_exports_hold_every_slice(owner: Browser, kept: list[UUID], study_id: UUID) -> None:
    everything = owner.client.get("/analyses/export?format=json").json
    ticked = owner.client.get(f"/analyses/export?format=json&study={study_id}").json

    assert everything is not None
    assert ticked is not None
    assert [each["id"] for each in everything["analyses"]] == [str(each) for each in kept]
    assert [each["id"] for each in ticked["analyses"]] == [str(each) for each in kept[:SLICES]]
    assert {each["study_id"] for each in ticked["analyses"]} == {str(study_id)}


def test_a_ticked_study_is_deleted_whole_as_one_act(
    owner: Browser, services: Services, kept: list[UUID], study_id: UUID
) -> None:
    last = kept[-1]
    page = owner.get(f"/analyses/delete?study={study_id}&id={last}")
    assert "Delete 31 analyses?" in page.text
    assert "with all slices of the study" in page.text
    before = services.audit.count()

    sent = {"study": str(study_id), "id": str(last), "sure": "yes"}
    after = owner.follow(owner.send("/analyses/delete", sent))

    assert "31 analyses and their scans are deleted." in after.text
    assert ticks(after) == [("id", str(analysis_id)) for analysis_id in kept[SLICES:-1]]
    events = services.audit.page(EventFilter(), limit=services.audit.count() - before)
    assert [e.action for e in events] == ["analysis.deleted", "study.deleted"]
    assert events[1].subject == str(study_id)
    assert '"count":30' in events[1].details


def test_a_study_deleted_on_its_page_is_one_act(
    owner: Browser, services: Services, study_id: UUID
) -> None:
    before = services.audit.count()

    owner.send(f"/analyses/studies/{study_id}/delete")

    assert services.audit.count() == before + 1
    assert services.audit.page(EventFilter(), limit=1)[0].action == "study.deleted"


def test_nobody_deletes_exports_or_asks_for_a_study_that_is_not_theirs(
    owner: Browser, stranger: Browser, admin: Browser, study_id: UUID
) -> None:
    for other in (stranger, admin):
        assert "nothing to delete" in other.get(f"/analyses/delete?study={study_id}").text
        other.send("/analyses/delete", {"study": str(study_id), "sure": "yes"})
        body = other.client.get(f"/analyses/export?format=json&study={study_id}").json
        assert body is not None
        assert body["analyses"] == []
    state = stranger.client.get(f"/analyses/states?study={study_id}").json
    assert state is not None
    assert state["parts"] == []
    assert ("study", str(study_id)) in ticks(owner.get("/analyses"))


def test_a_study_stays_when_its_first_slice_is_deleted_as_an_analysis(
    owner: Browser, kept: list[UUID], study_id: UUID
) -> None:
    owner.send(f"/analyses/{kept[SLICES - 1]}/delete")

    page = owner.get("/analyses")

    assert ticks(page)[0] == ("study", str(study_id))
    assert "Study of 29 slices" in page.text


def test_what_of_a_study_cannot_be_read_is_refused(owner: Browser, study_id: UUID) -> None:
    assert "cannot be told" in owner.get("/analyses/delete?study=x", 422).text

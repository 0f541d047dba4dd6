"""The history: finding, turning pages, exporting, and deleting many."""

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from time import process_time
from uuid import UUID, uuid4

import pytest

from app.config import Settings
from app.factory import create_app
from app.records import User
from app.services.accounts.passwords import PasswordService
from app.services.container import Services
from app.storage.database import Database
from app.web.history import history as module
from tests.app.web.conftest import CAST, CHEAP_HASH, Browser, browser_on
from tests.app.web.page import Page
from tests.many_analyses import NEWEST, fill

MANY = 60
MAX_PAGE_BYTES = 100_000


@pytest.fixture
def database(services: Services) -> Database:
    """The one in which the application keeps its analyses."""
    return services.history._store._database


@dataclass(frozen=True)
class Library:
    """A user with many analyses, which tests look at and leave as they are.

    Attributes:
        ids: Newest first; the ten newest have a note and a tag.
    """

    browser: Browser
    ids: list[UUID]


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory, tiny_weights_dir: Path) -> Iterator[Library]:
    data_dir = tmp_path_factory.mktemp("library")
    settings = Settings(data_dir=data_dir, weights_dir=tiny_weights_dir)
    app = create_app(settings, passwords=PasswordService(CHEAP_HASH))
    services = app.extensions["veriscan"]
    browser = browser_on(app)
    user = services.accounts.list_users()[0]
    yield Library(browser, fill(services.history._store._database, user.id, MANY, noted=10))
    services.stop()


@pytest.fixture
def kept(database: Database, alice: User) -> list[UUID]:
    """Sixty analyses of Alice, newest first; the ten newest have a note and a tag."""
    return fill(database, alice.id, MANY, noted=10)


def listed(page: Page) -> list[UUID]:
    """Return which analyses a page lists, in its order."""
    return [UUID(str(a["value"])) for a in page.all("input") if a.get("name") == "id"]


def link(page: Page, rel: str) -> str:
    (found,) = [str(a["href"]) for a in page.all("a") if a.get("rel") == rel]
    return found


# --- finding --------------------------------------------------------------------------------


def test_a_scan_is_found_again_in_the_history(owner: Browser) -> None:
    analysis_id = owner.analyse()

    page = owner.get("/analyses")

    assert f"/analyses/{analysis_id}" in page.links
    assert "One analysis, newest first" in page.text
    assert [(a["src"], a["loading"]) for a in page.all("img")] == [
        (f"/analyses/{analysis_id}/thumbnail", "lazy")
    ]


def test_a_new_user_is_told_what_will_be_here(owner: Browser) -> None:
    page = owner.get("/analyses")

    assert "No scans yet" in page.text
    assert "Search" not in page.text


def test_pages_are_turned_to_the_end_and_back(library: Library) -> None:
    first = library.browser.get("/analyses")
    second = library.browser.get(link(first, "next"))
    third = library.browser.get(link(second, "next"))

    assert listed(first) + listed(second) + listed(third) == library.ids
    assert [f"Page {n} of 3" in page.text for n, page in enumerate((first, second, third), 1)] == (
        [True] * 3
    )
    assert listed(library.browser.get(link(third, "prev"))) == listed(second)
    assert listed(library.browser.get(link(second, "prev"))) == listed(first)
    assert not [a for a in third.all("a") if a.get("rel") == "next"]
    assert not [a for a in first.all("a") if a.get("rel") == "prev"]


def test_filters_and_order_survive_turning_pages(library: Library) -> None:
    address = "/analyses?modality=lung_ct&sort=highest-score"
    first = library.browser.get(address)
    second = library.browser.get(link(first, "next"))

    for page in (first, second):
        assert "40 analyses found, most suspicious first" in page.text
        assert "Lung CT: take this filter away" in page.text
        assert [a["value"] for a in page.all("option") if "selected" in a] == [
            "lung_ct",
            "highest-score",
        ]
    assert not set(listed(first)) & set(listed(second))
    assert "/analyses?sort=highest-score" in second.links


@pytest.mark.parametrize(
    ("filters", "count"),
    [
        ("result=fake", 12),
        ("result=waiting", 0),
        ("modality=knee_xray", 20),
        ("q=common", 10),
        ("q=Com+Seld", 1),
        ("q=5feceb66", 1),  # the hash of the newest begins so
        ("q=5FECEB66FFC86F38D952786C6D696C79C2DBC239DD4E91B46729D73A27FB57E9", 1),
        ("tag=%23Ward+3", 1),
        ("tag=ward", 0),
        ("modality=&result=&q=&from=&until=&tag=&zone=&sort=", 60),
        ("page=7&unknown=x", 60),
    ],
)
def test_filters_find_what_they_say(library: Library, filters: str, count: int) -> None:
    page = library.browser.get(f"/analyses?{filters}")

    assert len(listed(page)) == min(count, module.PER_PAGE)
    if count == 0:
        assert "No analysis fits" in page.text
    elif count == 1:
        assert "One analysis found" in page.text
    else:
        assert f"{count} analyses" in page.text


def test_days_are_those_of_the_viewers_zone(
    owner: Browser, database: Database, alice: User
) -> None:
    newest, before = fill(database, alice.id, 2)  # at noon UTC, and seven minutes earlier
    day = f"{NEWEST:%Y-%m-%d}"
    next_day = f"{NEWEST + timedelta(days=1):%Y-%m-%d}"

    def found(filters: str) -> list[UUID]:
        return listed(owner.get(f"/analyses?{filters}"))

    assert found(f"from={day}&until={day}") == [newest, before]
    assert found(f"from={next_day}") == []
    # There it is midnight, and seven minutes to midnight.
    assert found(f"from={next_day}&zone=Pacific/Auckland") == [newest]
    assert found(f"until={day}&zone=Pacific/Auckland") == [before]


def test_a_note_and_its_tags_are_seen_and_lead_to_their_like(library: Library) -> None:
    page = library.browser.get("/analyses")

    assert "common seldom" in page.text
    assert listed(library.browser.get("/analyses?tag=ward+3")) == [library.ids[3]]
    assert "/analyses?tag=ward+3" in page.links
    assert "ward 3" in [a.get("value") for a in page.all("option")]


def test_a_note_cannot_bring_its_own_markup(owner: Browser) -> None:
    analysis_id = owner.analyse()
    owner.send(f"/analyses/{analysis_id}/note", {"note": "<script>x</script>", "tags": "<b>"})

    for path in ("/analyses", f"/analyses/{analysis_id}"):
        page = owner.get(path)
        assert "<script>x</script>" in page.text
        assert "<b>" in page.text


@pytest.mark.parametrize(
    ("filters", "message"),
    [
        ("modality=brain", "There is no such kind of scan."),
        ("result=guilty", "There is no such result."),
        ("sort=random", "There is no such order."),
        ("from=yesterday", "The first day cannot be read."),
        ("from=0001-01-01", "The first day cannot be read."),
        ("until=9999-12-31", "The last day cannot be read."),
        ("until=2026-02-30", "The last day cannot be read."),
        ("from=2026-11-20&until=2026-11-19", "The last day is before the first."),
        ("from=2026-11-20&zone=../../etc/passwd", "There is no such time zone."),
        ("zone=Europe/Atlantis", "There is no such time zone."),
        ("q=%25%25", "Look for words or numbers"),
        ("q=a+b+c+d+e+f+g+h+i", "at most 8 words"),
        ("q=" + "a" * 201, "at most 8 words"),
        ("tag=" + "a" * 161, "A tag has at most 40 characters."),
        ("after=x", "This address leads nowhere"),
        ("after=2026-11-20_" + "0" * 32, "This address leads nowhere"),
        ("before=9999-12-31T23:59:59-12:00_" + "0" * 32, "This address leads nowhere"),
        ("after=nan_" + "0" * 32 + "&sort=lowest-score", "This address leads nowhere"),
        ("after=2_" + "0" * 32 + "&sort=lowest-score", "This address leads nowhere"),
        ("after=0.5_0&sort=lowest-score", "This address leads nowhere"),
    ],
)
def test_what_cannot_be_looked_for_is_said_and_nothing_is_listed(
    library: Library, filters: str, message: str
) -> None:
    page = library.browser.get(f"/analyses?{filters}", 422)

    assert message in page.text
    assert page.title.startswith("Error: ")
    assert listed(page) == []


@pytest.mark.parametrize("text", ["%00", "%ff", "%F0%9F%A6%B4+1", "'; DROP TABLE analyses; --+x"])
def test_odd_text_does_no_harm(library: Library, text: str) -> None:
    for name in ("q", "tag", "modality", "after", "page"):
        assert library.browser.client.get(f"/analyses?{name}={text}").status_code in (200, 422)
    assert len(listed(library.browser.get("/analyses"))) == module.PER_PAGE


@pytest.mark.parametrize("name", ["q", "tag"])
def test_an_endless_run_of_accents_keeps_nobody_waiting(library: Library, name: str) -> None:
    form = {name: "a" + "\u0301\u0316" * 30_000}
    before_s = process_time()

    response = library.browser.send("/analyses/delete", form, content_type="multipart/form-data")

    assert response.status_code == 422
    assert "at most" in response.text
    assert process_time() - before_s < 2


@pytest.mark.parametrize("page", ["0", "-1", "x", "999999999999999999999999", "²"])
def test_an_odd_page_number_does_no_harm(library: Library, page: str) -> None:
    assert "Page 1 of 3" in library.browser.get(f"/analyses?page={page}").text


def test_a_page_of_the_history_is_light(
    owner: Browser, services: Services, kept: list[UUID]
) -> None:
    alice = services.accounts.list_users()[0]
    for analysis_id in kept[: module.PER_PAGE]:
        tags = ",".join(f"a tag of quite some length, {n}" for n in range(5))
        services.notes.save(alice, analysis_id, text="Wort " * 400, tags=tags)

    assert len(owner.client.get("/analyses").data) < MAX_PAGE_BYTES


# --- exporting ------------------------------------------------------------------------------


def exported_rows(response_text: str) -> list[dict[str, str]]:
    assert response_text.startswith("\ufeff")
    return list(csv.DictReader(io.StringIO(response_text[1:])))


def test_an_export_holds_what_the_filters_leave(library: Library) -> None:
    response = library.browser.client.get("/analyses/export?format=csv&result=fake&sort=oldest")

    assert response.mimetype == "text/csv"
    assert "attachment; filename=" in response.headers["Content-Disposition"]
    rows = exported_rows(response.text)
    assert [UUID(row["id"]) for row in rows] == library.ids[::5][::-1]
    assert rows[-1]["note"] == "common seldom"
    assert rows[-1]["tags"] == "ward 0"
    assert all(earlier["uploaded_utc"] < later["uploaded_utc"] for earlier, later in pairwise(rows))


def test_what_is_ticked_is_exported_alone(library: Library) -> None:
    ticked = f"id={library.ids[5]}&id={library.ids[1]}"

    some = library.browser.client.get(f"/analyses/export?format=json&result=fake&{ticked}").json
    every = library.browser.client.get(f"/analyses/export?format=json&all=yes&{ticked}").json

    assert some is not None
    assert every is not None
    assert [UUID(each["id"]) for each in some["analyses"]] == [library.ids[1], library.ids[5]]
    assert len(every["analyses"]) == MANY


def test_the_json_export_says_what_the_api_says_and_the_note(library: Library) -> None:
    body = json.loads(library.browser.client.get("/analyses/export?format=json").text)

    assert "Research use only" in body["notice"]
    assert body["analyses"][0]["verdict"] == "fake"
    assert body["analyses"][0]["note"] == "common seldom"
    assert body["analyses"][0]["tags"] == ["ward 0"]


@pytest.mark.parametrize("note", ["=1+1", "+1", "-1", "@SUM(A1)", "＝1", "=cmd|' /C calc'!A0"])
def test_no_spreadsheet_takes_a_note_for_a_formula(owner: Browser, note: str) -> None:
    analysis_id = owner.analyse()
    owner.send(f"/analyses/{analysis_id}/note", {"note": note, "tags": note})

    (row,) = exported_rows(owner.client.get("/analyses/export?format=csv").text)

    assert row["note"] == "'" + note
    assert row["tags"].startswith("'")


def test_an_export_comes_piece_by_piece(library: Library) -> None:
    response = library.browser.client.get("/analyses/export?format=csv", buffered=False)

    assert response.is_streamed
    assert len(list(response.iter_encoded())) == MANY + 1


@pytest.mark.parametrize(
    ("arguments", "status"),
    [("", 400), ("format=xls", 400), ("format=csv&modality=x", 422), ("format=csv&id=x", 422)],
)
def test_an_export_that_cannot_be_is_refused(library: Library, arguments: str, status: int) -> None:
    library.browser.get(f"/analyses/export?{arguments}", status)


# --- deleting many --------------------------------------------------------------------------


def delete(browser: Browser, path: str) -> Page:
    """Ask for a deletion as the list does, say yes, and return the page that follows."""
    page = browser.get(path)
    assert page.forms[-1].attributes["action"] == "/analyses/delete"
    ticked = [str(a["value"]) for a in page.all("input") if a.get("name") == "id"]
    fields = {k: v for k, v in page.forms[-1].fields.items() if k not in ("csrf_token", "id")}
    response = browser.send("/analyses/delete", {**fields, "id": ticked, "sure": "yes"})
    return browser.follow(response)


def test_what_is_ticked_is_deleted(owner: Browser, kept: list[UUID]) -> None:
    page = owner.get(f"/analyses/delete?id={kept[2]}&id={kept[0]}&modality=lung_ct")
    assert "Delete 2 analyses?" in page.text
    assert len(listed(owner.get("/analyses?modality=lung_ct"))) == module.PER_PAGE

    after = delete(owner, f"/analyses/delete?id={kept[2]}&id={kept[0]}&modality=lung_ct")

    assert "2 analyses and their scans are deleted." in after.text
    assert "39 analyses found" in after.text
    assert listed(owner.get("/analyses"))[:3] == [kept[1], *kept[3:5]]


def test_all_that_match_are_deleted_and_nothing_else(owner: Browser, kept: list[UUID]) -> None:
    page = owner.get("/analyses/delete?all=yes&result=fake&modality=lung_ct")
    assert "These are all that your filters leave" in page.text
    assert "Deepfake" in page.text

    delete(owner, "/analyses/delete?all=yes&result=fake&modality=lung_ct")

    assert "No analysis fits" in owner.get("/analyses?result=fake&modality=lung_ct").text
    assert "52 analyses" in owner.get("/analyses").text


def test_what_comes_after_the_question_is_not_deleted(owner: Browser, kept: list[UUID]) -> None:
    seen = (NEWEST - timedelta(minutes=1)).isoformat().replace("+", "%2B")
    page = owner.get(f"/analyses/delete?all=yes&seen={seen}")
    assert "Delete 59 analyses?" in page.text

    delete(owner, f"/analyses/delete?all=yes&seen={seen}")

    assert listed(owner.get("/analyses")) == [kept[0]]


def test_too_many_to_delete_at_once_are_deleted_in_turns(
    owner: Browser, kept: list[UUID], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "DELETING_PATIENCE_S", 0.0)
    monkeypatch.setattr("app.services.analyses.history.DELETED_AT_ONCE", 40)

    page = delete(owner, "/analyses/delete?all=yes")

    assert "40 analyses and their scans are deleted so far." in page.text
    assert "Delete 20 analyses?" in page.text
    assert (
        "20 analyses and their scans are deleted." in delete(owner, "/analyses/delete?all=yes").text
    )


def test_nothing_is_deleted_without_ticks_or_without_being_sure(library: Library) -> None:
    untouched = library.browser.follow(library.browser.client.get("/analyses/delete?result=fake"))
    assert "tick the analyses first" in untouched.text
    unsure = library.browser.follow(library.browser.send("/analyses/delete", {"all": "yes"}))
    assert "tick the box" in unsure.text
    assert "Delete 60 analyses?" in unsure.text
    assert "60 analyses" in library.browser.get("/analyses").text


@pytest.mark.parametrize(
    "arguments",
    [
        "id=x",
        "id=../../etc",
        "all=yes&seen=then",
        "all=yes&seen=2026-11-20",
        "all=yes&seen=0001-01-01T00:00:00%2B14:00",
        "all=yes&seen=9999-12-31T23:59:59-14:00",
        "id=" + "&id=".join("x" * 300),
    ],
)
def test_a_selection_that_cannot_be_read_deletes_nothing(library: Library, arguments: str) -> None:
    page = library.browser.get(f"/analyses/delete?{arguments}", 422)

    assert "It cannot be told which analyses are meant." in page.text


def test_nobody_deletes_or_exports_what_is_not_theirs(
    owner: Browser, stranger: Browser, admin: Browser, kept: list[UUID]
) -> None:
    for other in (stranger, admin):
        assert "There is nothing to delete" in other.get(f"/analyses/delete?id={kept[0]}").text
        other.send("/analyses/delete", {"id": str(kept[0]), "sure": "yes"})
        body = other.client.get(f"/analyses/export?format=json&id={kept[0]}").json
        assert body is not None
        assert body["analyses"] == []
        assert listed(other.get("/analyses?q=common")) == []
    assert listed(owner.get("/analyses"))[0] == kept[0]


def test_deleting_and_exporting_leave_a_trace(
    owner: Browser, services: Services, kept: list[UUID]
) -> None:
    before = services.audit.count()
    owner.client.get("/analyses/export?format=csv")
    delete(owner, f"/analyses/delete?id={kept[0]}")

    assert services.audit.count() == before + 2


# --- notes ----------------------------------------------------------------------------------


def test_a_note_is_written_on_the_page_of_the_verdict(owner: Browser) -> None:
    analysis_id = owner.analyse()
    assert f"/analyses/{analysis_id}/note" in [
        form.attributes["action"] for form in owner.get(f"/analyses/{analysis_id}").forms
    ]

    page = owner.follow(
        owner.send(
            f"/analyses/{analysis_id}/note",
            {"note": " Zweite\r\nMeinung ", "tags": "#Ward 3, ward 3,"},
        )
    )

    assert "Your note is saved." in page.text
    assert "Zweite Meinung" in page.text
    assert page.links.count("/analyses?tag=ward+3") == 1
    assert listed(owner.get("/analyses?q=meinung")) == [analysis_id]


@pytest.mark.parametrize(
    ("fields", "name", "message"),
    [
        ({"note": "x" * 2001}, "note", "Shorten the note to at most 2000 characters."),
        ({"tags": "x" * 41}, "tags", "A tag has at most 40 characters."),
        ({"tags": ",".join(map(str, range(11)))}, "tags", "Give an analysis at most 10 tags."),
    ],
)
def test_a_note_that_is_refused_is_not_lost(
    owner: Browser, fields: dict[str, str], name: str, message: str
) -> None:
    analysis_id = owner.analyse()
    data = {"note": "kept", "tags": "kept"} | fields

    page = owner.submit(f"/analyses/{analysis_id}/note", data, 422)

    assert message in str(page.error_of(name))
    assert page.title.startswith("Error: ")
    assert "kept" in page.html
    assert fields[name] in page.html


@pytest.mark.parametrize("method", ["get", "post"])
@pytest.mark.parametrize(
    ("actor", "status"), list(zip(CAST, (200, 404, 404, 302, 302), strict=True)), indirect=["actor"]
)
def test_a_note_is_for_its_author_alone(
    actor: Browser, status: int, method: str, owner: Browser
) -> None:
    analysis_id = owner.analyse()
    owner.send(f"/analyses/{analysis_id}/note", {"note": "secret thought"})
    path = f"/analyses/{analysis_id}/note"

    response = actor.client.get(path) if method == "get" else actor.send(path, {"note": "mine"})

    assert response.status_code == (303 if (status, method) == (200, "post") else status)
    page = owner.get(path)
    assert ("secret thought" in page.html) is (response.status_code != 303)


def test_an_administrator_reads_no_note_on_anothers_verdict(owner: Browser, admin: Browser) -> None:
    analysis_id = owner.analyse()
    owner.send(f"/analyses/{analysis_id}/note", {"note": "secret thought"})

    assert "secret thought" not in admin.get(f"/analyses/{analysis_id}").html


def test_the_pages_of_many_are_for_whoever_is_signed_in(
    anonymous: Browser, deactivated: Browser
) -> None:
    for browser in (anonymous, deactivated):
        for path in ("export?format=csv", "delete?all=yes", f"{uuid4()}/note"):
            assert browser.client.get(f"/analyses/{path}").status_code == 302

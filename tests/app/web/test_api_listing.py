"""The list of analyses: filters and turning pages."""

from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest
from flask import Flask

from app.records import User
from app.services.container import Services
from app.storage.database import Database, sqlite_url
from tests.app.web.script import Script, assert_problem, script_of
from tests.many_analyses import fill

COUNT = 12


@pytest.fixture
def script(app: Flask, alice: User) -> Script:
    return script_of(app, alice)


@pytest.fixture
def filled(services: Services, alice: User) -> list[str]:
    """The ids of twelve analyses of Alice's, newest first; the newest has a tag."""
    database = Database(sqlite_url(services.settings.data_dir))
    try:
        return [str(each) for each in fill(database, alice.id, COUNT, noted=1)]
    finally:
        database.close()


def pages(script: Script, address: str) -> Iterator[dict[str, Any]]:
    """Yield the pages of a list as a script that follows ``next`` gets them."""
    following: str | None = address
    while following:
        body = script.call("GET", following.removeprefix("/api/v1")).get_json()
        yield body
        following = body["next"]


def ids(script: Script, address: str) -> list[str]:
    return [item["id"] for body in pages(script, address) for item in body["analyses"]]


def test_following_next_leads_through_all_of_them_once(script: Script, filled: list[str]) -> None:
    assert ids(script, "/analyses?limit=5") == filled
    assert ids(script, "/analyses?limit=5&sort=oldest") == filled[::-1]
    assert [body["total"] for body in pages(script, "/analyses?limit=12")] == [COUNT]


def test_a_script_that_deletes_while_it_turns_pages_misses_none(
    script: Script, filled: list[str]
) -> None:
    seen = []
    for body in pages(script, "/analyses?limit=5"):
        for item in body["analyses"]:
            seen.append(item["id"])
            assert script.call("DELETE", f"/analyses/{item['id']}").status_code == 204

    assert seen == filled


def test_filters_hold_together_and_through_the_pages(script: Script, filled: list[str]) -> None:
    found = [
        item
        for body in pages(script, "/analyses?modality=lung_ct&result=real&limit=1")
        for item in body["analyses"]
    ]

    assert len(found) > 2
    assert {(item["modality"], item["verdict"]) for item in found} == {("lung_ct", "real")}


def test_a_time_and_a_tag_narrow_the_list(script: Script, filled: list[str]) -> None:
    newest = script.call("GET", f"/analyses/{filled[0]}").get_json()["created"]

    assert ids(script, f"/analyses?since={newest}") == filled[:1]
    assert ids(script, f"/analyses?until={newest}") == filled[1:]
    assert ids(script, "/analyses?until=2025-06-20T14:00:00%2B02:00") == filled[1:]
    (tag, *_) = script.call("GET", f"/analyses/{filled[0]}/note").get_json()["tags"]
    assert ids(script, f"/analyses?tag={tag}") == filled[:1]
    assert ids(script, "/analyses?tag=nothing") == []


@pytest.mark.parametrize(
    ("query", "detail"),
    [
        ("limit=0", "from 1 to 100"),
        ("limit=101", "from 1 to 100"),
        ("limit=x", "from 1 to 100"),
        ("limit=٣", "from 1 to 100"),
        ("modality=brain", "knee_xray, lung_ct"),
        ("result=perhaps", "inconclusive"),
        ("sort=highest-score", "newest, oldest"),
        ("since=yesterday", "2026-11-20T10:00:00Z"),
        ("since=2026-11-20", "2026-11-20T10:00:00Z"),
        ("until=0001-01-01T00:00:00%2B23:59", "2026-11-20T10:00:00Z"),
        ("after=1_2", "unchanged"),
        ("after=99999999999999999_" + "0" * 32, "unchanged"),
        ("modalty=lung_ct", "There is no such parameter"),
        ("tag=", "one value"),
        ("tag=a&tag=b", "one value"),
    ],
)
def test_a_parameter_that_cannot_be_is_refused(script: Script, query: str, detail: str) -> None:
    assert_problem(script.call("GET", f"/analyses?{query}"), 422, detail)


def test_any_cursor_of_the_right_form_leads_somewhere(script: Script, filled: list[str]) -> None:
    last_id = UUID(int=2**128 - 1).hex

    assert ids(script, f"/analyses?after=9999999999999999_{last_id}&limit=100") == filled
    assert ids(script, f"/analyses?after=0_{last_id}") == []

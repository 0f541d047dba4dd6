"""Ten thousand analyses: one is found, some are deleted, and a note is found again.

At a desk with scripts, and in dark colours on a phone without them.
"""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from app.storage.database import Database, sqlite_url
from app.storage.tinydb_users import TinyDBUserStore
from tests.factories import make_grey, png_bytes
from tests.journeys.server import Server
from tests.journeys.test_clinician import DESK, PATIENCE_MS, PHONE, Visit, register
from tests.many_analyses import fill, give_pictures

pytestmark = pytest.mark.browser

COUNT = 10_000
SHOWN = 600  # from either end; no test turns further
MAX_PAGE_BYTES = 100_000
ZONE = "Pacific/Auckland"  # there the newest analysis is of 21 June


@pytest.fixture(
    scope="module",
    params=[(DESK, True), (PHONE, False)],
    ids=["desk", "phone-without-scripts"],
)
def regular(request: pytest.FixtureRequest, browser: Browser, server: Server) -> Iterator[Visit]:
    """Somebody with ten thousand analyses."""
    window, has_scripts = request.param
    context = browser.new_context(
        java_script_enabled=has_scripts, base_url=server.url, timezone_id=ZONE, **window
    )
    context.set_default_timeout(PATIENCE_MS)
    expect.set_options(timeout=PATIENCE_MS)
    visit = Visit(context.new_page(), server, has_scripts)
    register(visit)
    stock(server, visit.username)
    yield visit
    context.close()


@pytest.fixture
def visitor(regular: Visit) -> Visit:
    """That person, who has just opened their history."""
    regular.page.goto("/analyses")
    return regular


def stock(server: Server, username: str) -> None:
    """Give a user ten thousand analyses with pictures; the 100 newest have a note and a tag."""
    users, database = TinyDBUserStore(server.data_dir), Database(sqlite_url(server.data_dir))
    user = users.find_by_username(username)
    assert user
    ids = fill(database, user.id, COUNT, noted=100)
    shown = [*ids[:SHOWN], *ids[-SHOWN:]]
    give_pictures(server.data_dir, shown, png_bytes(make_grey(56, 56, seed=3)))
    for store in (users, database):
        store.close()


def look_for(page: Page, **choices: str) -> None:
    """Fill the filters in and send them."""
    for label, value in choices.items():
        field = page.get_by_label(label, exact=True)
        if label in ("Kind", "Result", "Sort"):
            field.select_option(label=value)
        else:
            field.fill(value)
    page.get_by_role("button", name="Search").click()


def open_filters(page: Page) -> None:
    """Open the filters, where they are folded."""
    if not page.get_by_label("Kind", exact=True).is_visible():
        page.get_by_text("Filter and sort").click()


def found(page: Page, words: str) -> None:
    expect(page.locator(".page-head")).to_contain_text(words)


def values(page: Page) -> list[Any]:
    return [box.get_attribute("value") for box in page.locator('[name="id"]').all()]


def test_ten_thousand_analyses_are_searched_turned_and_tidied(visitor: Visit) -> None:
    page = visitor.page
    found(page, "10,000 analyses, newest first")
    visitor.check_page("History")
    assert len(page.content().encode()) < MAX_PAGE_BYTES

    open_filters(page)
    look_for(page, Kind="Lung CT", Result="Deepfake", Sort="Oldest first")
    found(page, "1,333 analyses found, oldest first")
    visitor.check_page("History")
    first = values(page)
    page.get_by_role("link", name="Next").click()
    expect(page.get_by_text("Page 2 of 54")).to_be_visible()
    second = values(page)
    assert not set(first) & set(second)
    page.go_back()
    found(page, "1,333 analyses found")
    assert values(page) == first
    page.get_by_role("link", name="Next").click()
    page.get_by_role("link", name="Previous").click()
    assert values(page) == first

    tick_three(visitor)
    page.get_by_role("button", name="Delete…").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Delete 3 analyses?")
    visitor.check_page("Delete")
    page.get_by_role("checkbox", name="I am sure.").check()
    page.get_by_role("button", name="Delete for good").click()
    expect(page.get_by_text("3 analyses and their scans are deleted.")).to_be_visible()
    found(page, "1,330 analyses found, oldest first")

    with page.expect_download() as download:
        page.get_by_role("button", name="Export CSV").click()
    assert len(download.value.path().read_text(encoding="utf-8-sig").splitlines()) == 1331


def tick_three(visitor: Visit) -> None:
    """Tick the first three lines: with scripts the first and, with Shift, the third."""
    boxes = visitor.page.locator('[name="id"]')
    if visitor.has_scripts:
        boxes.nth(0).click()
        boxes.nth(2).click(modifiers=["Shift"])
        expect(visitor.page.get_by_text("3 ticked.")).to_be_visible()
    else:
        for number in range(3):
            boxes.nth(number).check()


def test_days_are_the_readers_own_where_a_script_knows_them(visitor: Visit) -> None:
    page = visitor.page
    open_filters(page)

    look_for(page, From="2025-06-21")

    if visitor.has_scripts:
        expect(page.get_by_text(f"in your time zone, {ZONE}")).to_be_visible()
        found(page, "One analysis found")
        assert re.search(r"\?from=2025-06-21&zone=Pacific%2FAuckland$", page.url)
        expect(page.get_by_role("table").get_by_text("21 June 2025")).to_be_visible()
    else:
        found(page, "No analyses found")
        expect(page.get_by_text("No analysis fits")).to_be_visible()
    visitor.check_page("History")


def test_a_note_is_written_and_found_again(visitor: Visit) -> None:
    page = visitor.page
    page.locator(".row-link").nth(4).click()
    page.get_by_text("Change the note").click()
    page.get_by_label("Note", exact=True).fill("Wirkt gezeichnet")
    page.get_by_label("Tags", exact=True).fill("Zweitmeinung")
    page.get_by_role("button", name="Save the note").click()
    expect(page.get_by_text("Your note is saved.")).to_be_visible()

    page.goto("/analyses")
    look_for(page, **{"Search file names, notes, tags and image hashes": "gezeich"})

    found(page, "One analysis found")
    expect(page.get_by_role("link", name="Tag: zweitmeinung")).to_be_visible()
    visitor.check_page("History")

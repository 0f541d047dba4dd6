"""A contested verdict goes through three accounts, and its report is checked by a stranger."""

import re
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import pytest
from playwright.sync_api import Browser, Page, expect

from app.records import Role, User
from app.services.accounts.passwords import PasswordService
from app.storage.tinydb_users import TinyDBUserStore
from tests.factories import make_grey, png_bytes
from tests.journeys.server import Server
from tests.journeys.test_clinician import DESK, PASSWORD, PATIENCE_MS, PHONE, Visit
from tests.journeys.test_viewer import upload

pytestmark = pytest.mark.browser

REASON = "This scanner draws such edges."
COMMENT = "The noise goes on across the edge."
PASSWORDS = PasswordService("scrypt:128:8:1")  # NEVER use so low a cost outside of tests
Enter = Callable[[], Visit]


@pytest.fixture(
    params=[(DESK, True), (PHONE, True), (DESK, False)], ids=["desk", "phone", "no-scripts"]
)
def enter(request: pytest.FixtureRequest, browser: Browser, server: Server) -> Iterator[Enter]:
    """Return what opens a window of its own for somebody."""
    window, has_scripts = request.param
    contexts = []

    def enter() -> Visit:
        context = browser.new_context(
            java_script_enabled=has_scripts, base_url=server.url, **window
        )
        context.set_default_timeout(PATIENCE_MS)
        contexts.append(context)
        return Visit(context.new_page(), server, has_scripts)

    expect.set_options(timeout=PATIENCE_MS)
    yield enter
    for context in contexts:
        context.close()


def sign_in(visit: Visit, role: Role = Role.CLINICIAN) -> None:
    """Make an account for a visitor, as an administrator would, and sign in with it."""
    user = User(
        id=uuid4(),
        username=visit.username,
        email=f"{visit.username}@hospital.example",
        mobile="",
        password_hash=PASSWORDS.hash(PASSWORD),
        role=role,
        is_active=True,
        created=datetime.now(UTC),
    )
    with closing(TinyDBUserStore(visit.server.data_dir)) as users:
        users.add(user)
    page = visit.page
    page.goto("/sign-in")
    page.get_by_label("Username").fill(visit.username)
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_role("main").get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("What would you like")


def contest(visit: Visit, address: str) -> None:
    page = visit.page
    page.goto(address)
    page.get_by_text("Ask for a second opinion").first.click()
    page.get_by_label("Why do you doubt the verdict?").fill(REASON)
    page.get_by_role("checkbox", name=re.compile("may be used to train")).check()
    visit.check_page("Deepfake")
    page.get_by_role("button", name="Ask for a second opinion").click()
    expect(page.get_by_role("status").first).to_contain_text("without knowing the verdict")
    expect(page.get_by_text("No reviewer has answered so far")).to_be_visible()
    visit.check_page("Deepfake")


def answer(visit: Visit, *, is_last: bool) -> None:
    page = visit.page
    page.goto("/")
    page.get_by_role("navigation", name="Main").get_by_role("link", name="Reviews").click()
    visit.check_page("Reviews")
    page.get_by_role("main").get_by_role("link", name="Lung CT").last.click()
    visit.check_page("Review")
    assert REASON not in page.content()
    page.get_by_role("radio", name="Authentic").check()
    page.get_by_label("What speaks for it?").fill(COMMENT)
    page.get_by_role("button", name="Send my opinion").click()
    if not is_last:
        expect(page.get_by_role("status").first).to_contain_text("once others have answered")
        visit.check_page("Reviews")
        return
    expect(page.get_by_role("status").first).to_contain_text("settled the case")
    expect(page.get_by_text(REASON)).to_be_visible()
    visit.check_page("Outcome")
    page.goto("/reviews/agreement")
    expect(page.get_by_role("img", name=re.compile("Lung CT"))).to_be_visible()
    visit.check_page("Agreement")


def saved(page: Page, name: str, folder: Path) -> Path:
    """Download a report and return where it lies."""
    with page.expect_download() as download:
        page.get_by_role("link", name=name).click()
    target = folder / download.value.suggested_filename
    download.value.save_as(target)
    return target


def test_a_contested_verdict_is_settled_by_two_reviewers(enter: Enter) -> None:
    owner, reviewers = enter(), [enter(), enter()]
    sign_in(owner)
    address = upload(owner.page, png_bytes(make_grey(128, 128, seed=21)))
    contest(owner, address)

    for reviewer in reviewers:
        sign_in(reviewer, Role.REVIEWER)
        answer(reviewer, is_last=reviewer is reviewers[-1])

    page = owner.page
    page.goto(address)
    opinion = page.get_by_role("region", name="Second opinion")
    expect(opinion.get_by_text(COMMENT)).to_have_count(2)
    expect(opinion.get_by_text("Authentic")).to_have_count(3)
    owner.check_page("Deepfake")
    assert not [r.username for r in reviewers if r.username in page.content()]


def test_a_stranger_checks_a_report(enter: Enter, tmp_path: Path) -> None:
    owner, stranger = enter(), enter()
    sign_in(owner)
    scan = png_bytes(make_grey(128, 128, seed=22))
    owner.page.goto(upload(owner.page, scan))
    pdf = saved(owner.page, "Download PDF", tmp_path)
    report = saved(owner.page, "Download JSON", tmp_path)
    page = stranger.page
    page.goto("/")
    page.get_by_role("link", name="Check a report").click()
    stranger.check_page("Check a report")

    page.get_by_label("The report", exact=True).set_input_files(pdf)
    page.get_by_label("The image", exact=True).set_input_files(
        {"name": "scan.png", "mimeType": "image/png", "buffer": scan}
    )
    page.get_by_role("button", name="Check").click()

    expect(page.get_by_role("heading", name="genuine and unchanged")).to_be_visible()
    expect(page.get_by_text("The image is the one that it is about.")).to_be_visible()
    stranger.check_page("Check a report")

    changed = report.read_bytes().replace(b'"verdict":"fake"', b'"verdict":"real"')
    page.get_by_label("The report", exact=True).set_input_files(
        {"name": "r.json", "mimeType": "application/json", "buffer": changed}
    )
    page.get_by_role("button", name="Check").click()

    expect(page.get_by_role("heading", name="Do not trust this report")).to_be_visible()
    expect(page.get_by_text("this was changed: the verdict")).to_be_visible()
    stranger.check_page("Check a report")

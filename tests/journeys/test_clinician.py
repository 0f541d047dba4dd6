"""A clinician's first visit: register, sign in, upload a scan, read the verdict, find it again.

The journey is made at a desk and, in dark colours, on a phone; with scripts and without.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, Response, expect

from app.config import Settings
from tests.factories import make_grey, png_bytes
from tests.journeys.server import Server

pytestmark = pytest.mark.browser

DESK: dict[str, Any] = {"viewport": {"width": 1280, "height": 900}, "color_scheme": "light"}
PHONE: dict[str, Any] = {
    "viewport": {"width": 360, "height": 740},
    "color_scheme": "dark",
    "is_mobile": True,
    "has_touch": True,
}
PATIENCE_MS = 30_000
PASSWORD = "correct horse battery staple"
FILE_NAME = "Sentinel_Patience_1950.png"

numbers = count(1)


@dataclass
class Visit:
    """One visitor's browser window, and everything in it that went wrong unseen.

    Attributes:
        problems: Errors on the console (a breach of the content security policy is one), errors in
            scripts, failed requests, and requests that went anywhere but to the server.
    """

    page: Page
    server: Server
    has_scripts: bool
    username: str = field(default_factory=lambda: f"clinician{next(numbers)}")
    problems: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.on("console", self._note_console)
        self.page.on("pageerror", lambda error: self.problems.append(f"script: {error}"))
        self.page.on("request", self._note_request)
        self.page.on("response", self._note_response)

    def check_page(self, title: str) -> None:
        """Check what every page owes its reader."""
        expect(self.page).to_have_title(re.compile(title))
        expect(self.page.get_by_role("heading", level=1)).to_have_count(1)
        window = self.page.viewport_size
        assert window is not None
        content_width = self.page.evaluate("document.documentElement.scrollWidth")
        assert content_width <= window["width"], f"{self.page.url} is wider than the window"
        if self.has_scripts:
            results = Axe().run(self.page)
            assert results.violations_count == 0, results.generate_report()
        assert self.problems == []

    def _note_console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.problems.append(f"console: {message.text}")

    def _note_request(self, request: Request) -> None:
        if not request.url.startswith((f"{self.server.url}/", "data:", "blob:")):
            self.problems.append(f"request to {request.url}")

    def _note_response(self, response: Response) -> None:
        if response.status >= 400:
            self.problems.append(f"{response.status} for {response.url}")


@pytest.fixture
def visit(browser: Browser, server: Server) -> Iterator[Callable[..., Visit]]:
    contexts = []

    def begin(window: dict[str, Any], *, has_scripts: bool) -> Visit:
        context = browser.new_context(
            java_script_enabled=has_scripts, base_url=server.url, **window
        )
        context.set_default_timeout(PATIENCE_MS)
        contexts.append(context)
        return Visit(context.new_page(), server, has_scripts)

    expect.set_options(timeout=PATIENCE_MS)
    yield begin
    for context in contexts:
        context.close()


# --- the steps ------------------------------------------------------------------------------


def register(visit: Visit) -> None:
    page = visit.page
    page.goto("/")
    visit.check_page("Veriscan")
    page.get_by_role("main").get_by_role("link", name="Create account").click()
    visit.check_page("Create")
    page.get_by_label("Username").fill(visit.username)
    page.get_by_label("E-mail").fill(f"{visit.username}@hospital.example")
    page.get_by_label("Mobile").fill("+49 151 23456789")
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_label("Password once more").fill(PASSWORD)
    page.get_by_role("main").get_by_role("button", name="Create account").click()
    expect(page.get_by_role("status")).to_contain_text(visit.username)
    visit.check_page("Overview")


def sign_out(visit: Visit) -> None:
    visit.page.get_by_role("button", name="Sign out").click()
    expect(visit.page.get_by_role("status")).to_contain_text("signed out")
    visit.check_page("Sign in")


def sign_in(visit: Visit) -> None:
    page = visit.page
    page.get_by_label("Username").fill(visit.username)
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_role("main").get_by_role("button", name="Sign in").click()
    visit.check_page("Overview")


def upload(visit: Visit, modality: str, content: bytes | Path) -> None:
    """Send a file; a large one by its path, since its bytes would go to the browser as text."""
    page = visit.page
    page.get_by_role("main").get_by_role("link", name=modality).click()
    visit.check_page("New analysis")
    expect(page.get_by_role("radio", name=modality)).to_be_checked()
    page.get_by_label("2. Scan").set_input_files(
        content
        if isinstance(content, Path)
        else {"name": FILE_NAME, "mimeType": "image/png", "buffer": content}
    )
    page.get_by_role("button", name="Analyse").click()


def find_in_history(visit: Visit, verdict: str) -> None:
    page = visit.page
    page.get_by_role("navigation", name="Main").get_by_role("link", name="History").click()
    visit.check_page("History")
    rows = page.get_by_role("main").get_by_role("row").filter(has_text=verdict)
    expect(rows).to_have_count(1)
    rows.get_by_role("link").first.click()


# --- the journeys ---------------------------------------------------------------------------


@pytest.mark.parametrize("has_scripts", [True, False], ids=["scripts", "no-scripts"])
@pytest.mark.parametrize("window", [DESK, PHONE], ids=["desk", "phone"])
def test_a_clinician_gets_a_verdict_and_finds_it_again(
    visit: Callable[..., Visit], window: dict[str, Any], has_scripts: bool
) -> None:
    visitor = visit(window, has_scripts=has_scripts)
    register(visitor)
    sign_out(visitor)
    sign_in(visitor)

    upload(visitor, "Lung CT", png_bytes(make_grey(256, 240, seed=7)))

    page = visitor.page
    expect(page.get_by_role("heading", level=1)).to_contain_text("deepfake")
    visitor.check_page("Lung CT")
    address = page.url
    find_in_history(visitor, "Deepfake")
    expect(page).to_have_url(address)
    assert "Sentinel" not in page.content()
    assert "Sentinel" not in visitor.server.log.read_text()
    sign_out(visitor)
    page.goto(address)
    visitor.check_page("Sign in")


def test_a_file_over_the_limit_is_not_even_sent(
    visit: Callable[..., Visit], tmp_path: Path
) -> None:
    large = tmp_path / FILE_NAME
    large.write_bytes(bytes(Settings().max_upload_bytes + 1))
    visitor = visit(DESK, has_scripts=True)
    register(visitor)
    sent: list[str] = []
    visitor.page.on("request", lambda request: sent.append(request.method))

    upload(visitor, "Lung CT", large)

    expect(visitor.page.get_by_role("alert")).to_contain_text("larger than 32 MB, the limit")
    expect(visitor.page.get_by_role("button", name="Analyse")).to_be_visible()
    expect(visitor.page.get_by_label("2. Scan")).to_be_focused()
    assert "POST" not in sent


@pytest.mark.parametrize("has_scripts", [True, False], ids=["scripts", "no-scripts"])
def test_a_file_that_is_no_scan_is_refused_with_a_reason(
    visit: Callable[..., Visit], has_scripts: bool
) -> None:
    visitor = visit(DESK, has_scripts=has_scripts)
    register(visitor)

    upload(visitor, "Knee X-ray", b"Dear colleague, please find attached")

    expect(visitor.page.get_by_role("alert")).to_contain_text("not a PNG, JPEG, TIFF, BMP or DICOM")
    expect(visitor.page.get_by_role("radio", name="Knee X-ray")).to_be_checked()


@pytest.mark.parametrize("has_scripts", [True, False], ids=["scripts", "no-scripts"])
@pytest.mark.parametrize("window", [DESK, PHONE], ids=["desk", "phone"])
def test_what_does_not_look_like_its_kind_is_judged_only_on_request(
    visit: Callable[..., Visit], window: dict[str, Any], has_scripts: bool
) -> None:
    visitor = visit(window, has_scripts=has_scripts)
    register(visitor)

    upload(visitor, "Knee X-ray", png_bytes(make_grey(256, 240, seed=7)))

    page = visitor.page
    expect(page.get_by_role("heading", level=1)).to_contain_text("could not be judged")
    visitor.check_page("Not judged")
    page.get_by_role("checkbox", name="Judge it anyway").check()
    page.get_by_role("button", name="Judge it anyway").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("authentic")
    expect(page.get_by_text("its sender asked for that")).to_be_visible()
    visitor.check_page("Knee X-ray")
    find_in_history(visitor, "Authentic")
    expect(page.get_by_text("judged at its sender's request")).to_be_visible()

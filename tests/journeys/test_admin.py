"""An administrator looks after a server: every page, at a desk and on a phone, and the acts."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from app.detection.labels import Verdict
from app.engine.protocol import CPU
from tests.factories import (
    make_grey,
    operating_point_for,
    png_bytes,
    publish_tiny_gate,
    publish_tiny_weights,
)
from tests.journeys.server import ROOT, Server, start_server, stop_server

pytestmark = pytest.mark.browser

DESK: dict[str, Any] = {"viewport": {"width": 1440, "height": 900}, "color_scheme": "light"}
PHONE: dict[str, Any] = {"viewport": {"width": 390, "height": 844}, "color_scheme": "dark"}
PASSWORD = "ravine otter lamp 91"
PAGES = (
    "",
    "/users",
    "/invitations",
    "/detectors",
    "/calibration",
    "/usage",
    "/audit",
    "/storage",
    "/health",
    "/settings",
)
PATIENCE_MS = 30_000
SCANS = 30


@pytest.fixture(scope="module")
def admin_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with an administrator and a second checkpoint for lung CT."""
    folder = tmp_path_factory.mktemp("admin-server")
    weights_dir = folder / "weights"
    fake = operating_point_for(Verdict.FAKE)
    publish_tiny_weights(weights_dir, "lung_ct", name="tiny_b", seed=5)
    publish_tiny_weights(weights_dir, "lung_ct", operating_point=fake)
    publish_tiny_weights(weights_dir, "knee_xray")
    publish_tiny_gate(weights_dir, "lung_ct", lets_pass=True)
    make_admin(folder / "data", weights_dir)
    server = start_server(folder, weights_dir)
    yield server
    stop_server(server)


def make_admin(data_dir: Path, weights_dir: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "flask", "create-admin", "ada", "--email", "ada@hospital.org"],
        cwd=ROOT,
        env=os.environ
        | {
            "FLASK_APP": "wsgi:application",
            "VERISCAN_DATA_DIR": str(data_dir),
            "VERISCAN_WEIGHTS_DIR": str(weights_dir),
            "VERISCAN_DEVICE": CPU,
        },
        input=f"{PASSWORD}\n",
        text=True,
        capture_output=True,
        check=True,
    )


@pytest.fixture(scope="module", params=[DESK, PHONE], ids=["desk", "phone"])
def page(request: pytest.FixtureRequest, browser: Browser, admin_server: Server) -> Iterator[Page]:
    """The administrator's browser, signed in."""
    context = browser.new_context(base_url=admin_server.url, **request.param)
    context.set_default_timeout(PATIENCE_MS)
    expect.set_options(timeout=PATIENCE_MS)
    page = context.new_page()
    page.goto("/sign-in?next=/admin")
    page.get_by_label("Username").fill("ada")
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_role("main").get_by_role("button", name="Sign in").click()
    page.wait_for_url("**/admin")
    yield page
    context.close()


def check(page: Page) -> None:
    """Check what every page owes its reader."""
    expect(page.get_by_role("heading", level=1)).to_have_count(1)
    assert page.viewport_size is not None
    width = page.evaluate("document.documentElement.scrollWidth")
    assert width <= page.viewport_size["width"], f"{page.url} is wider than the window"
    results = Axe().run(page)
    assert results.violations_count == 0, results.generate_report()


@pytest.mark.parametrize("path", PAGES)
def test_every_page_is_accessible(page: Page, path: str) -> None:
    page.goto(f"/admin{path}")

    check(page)


def test_the_page_of_a_user_is_accessible(page: Page) -> None:
    page.goto("/admin/users")
    page.get_by_role("main").get_by_role("link", name="ada", exact=True).click()

    expect(page.get_by_role("heading", level=1)).to_have_text("ada")
    check(page)


def test_a_limit_is_set_from_the_sites_own_scans(page: Page) -> None:
    page.goto("/admin/calibration")
    lung = page.locator("section", has=page.get_by_role("heading", name="Lung CT"))
    files: list[Any] = [
        {"name": f"{seed}.png", "mimeType": "image/png", "buffer": png_bytes(make_grey(seed=seed))}
        for seed in range(SCANS)
    ]
    lung.get_by_label("Authentic scans").set_input_files(files)
    lung.get_by_role("button", name="Judge them").click()
    expect(page.get_by_role("status")).to_contain_text(f"{SCANS} of {SCANS} scans")
    judged = lung.get_by_text(f"of {SCANS} authentic scans are called fake").first
    unfinished = lung.get_by_role("link", name="Reload")
    expect(judged.or_(unfinished).first).to_be_visible()
    while unfinished.count():
        page.reload()
        expect(judged.or_(unfinished).first).to_be_visible()

    expect(lung.get_by_role("button", name=re.compile("at most 5 %"))).to_have_count(0)
    lung.get_by_role("button", name=re.compile("at most 10 %")).click()

    expect(lung.get_by_text("With 95 % confidence at most 10 %")).to_be_visible()
    check(page)
    lung.get_by_role("button", name="Back to the card's limit").click()
    expect(lung.get_by_text("Limit on the card:")).to_be_visible()


def test_a_candidate_is_tried_in_the_shadow_and_activated(page: Page) -> None:
    page.goto("/admin/detectors")
    lung = page.locator("section", has=page.get_by_role("heading", name="Lung CT"))
    waiting = lung.get_by_role("button", name=re.compile("^Activate"))
    name = "tiny_b" if "tiny_b" in waiting.inner_text() else "tiny"

    lung.get_by_role("button", name="Try in the shadow").click()
    expect(lung.get_by_role("heading", name="In the shadow")).to_contain_text(name)
    check(page)
    lung.get_by_role("button", name=re.compile("^Activate")).click()

    expect(page.get_by_role("status")).to_contain_text(f"is now judged by {name}")


def test_the_trail_is_checked_by_a_button(page: Page) -> None:
    page.goto("/admin/audit")
    page.get_by_role("button", name="Check the trail").click()

    expect(page.get_by_role("status")).to_contain_text("The trail is whole")
    check(page)

"""Uploading as people work: many files at once, a zipped series, a drop, a paste, no scripts."""

import base64
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, FilePayload, Page, Route, expect

from tests.factories import jpeg_bytes, make_grey, png_bytes, series_files, zip_bytes
from tests.journeys.server import Server

pytestmark = pytest.mark.browser

PASSWORD = "correct horse battery staple"
PATIENCE_MS = 60_000
SERIES = zip_bytes(series_files(5))

# What a drop or a paste brings cannot be made by the driver, so the page makes it of our bytes.
GIVE = """
([kind, selector, files]) => {
  const transfer = new DataTransfer();
  for (const [name, type, text] of files) {
    const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
    transfer.items.add(new File([bytes], name, { type }));
  }
  const event = kind === "paste"
    ? new ClipboardEvent("paste", { clipboardData: transfer, bubbles: true, cancelable: true })
    : new DragEvent(kind, { dataTransfer: transfer, bubbles: true, cancelable: true });
  document.querySelector(selector).dispatchEvent(event);
}
"""


@pytest.fixture(scope="module")
def account(browser: Browser, server: Server) -> str:
    """A user of this module; returns the name."""
    page = browser.new_page(base_url=server.url)
    page.goto("/register")
    page.get_by_label("Username").fill("uploader")
    page.get_by_label("E-mail").fill("uploader@hospital.example")
    page.get_by_label("Mobile").fill("+49 151 23456789")
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_label("Password once more").fill(PASSWORD)
    page.get_by_role("main").get_by_role("button", name="Create account").click()
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    page.close()
    return "uploader"


@pytest.fixture(params=[True], ids=["scripts"])
def context(
    request: pytest.FixtureRequest, browser: Browser, server: Server, account: str
) -> Iterator[BrowserContext]:
    """A signed-in window; a test that asks for it without scripts says so."""
    context = browser.new_context(java_script_enabled=request.param, base_url=server.url)
    context.set_default_timeout(PATIENCE_MS)
    expect.set_options(timeout=PATIENCE_MS)
    page = context.new_page()
    page.goto("/sign-in")
    page.get_by_label("Username").fill(account)
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_role("main").get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    page.goto("/analyses/new?modality=lung_ct")
    yield context
    context.close()


def check_page(page: Page) -> None:
    results = Axe().run(page)
    assert results.violations_count == 0, results.generate_report()


def payload(name: str, data: bytes) -> FilePayload:
    return {"name": name, "mimeType": "application/octet-stream", "buffer": data}


def give(page: Page, kind: str, files: dict[str, bytes]) -> None:
    coded = [[name, "image/png", base64.b64encode(data).decode()] for name, data in files.items()]
    page.evaluate(GIVE, [kind, "[data-drop]" if kind == "drop" else "body", coded])


def drag_onto(page: Page, selector: str, path: Path) -> None:
    """Drag a file or folder of the disk onto an element, as a person would."""
    box = page.locator(selector).bounding_box()
    assert box is not None
    devtools = page.context.new_cdp_session(page)
    for kind in ("dragEnter", "dragOver", "drop"):
        event = {
            "type": kind,
            "x": box["x"] + box["width"] / 2,
            "y": box["y"] + 8,
            "data": {"items": [], "files": [str(path)], "dragOperationsMask": 1},
        }
        devtools.send("Input.dispatchDragEvent", event)


def forty_mixed_files() -> list[FilePayload]:
    """Return thirty-nine scans in several formats and one letter."""
    files = [payload("letter.png", b"Dear colleague, please find attached")]
    for number in range(34):
        encode = jpeg_bytes if number % 2 else png_bytes
        files.append(payload(f"scan-{number}", encode(make_grey(seed=number))))
    return files + [payload(name, data) for name, data in series_files(5).items()]


def test_forty_mixed_files_are_sent_and_the_bad_one_is_named(context: BrowserContext) -> None:
    (page,) = context.pages
    page.get_by_label("2. Scan").set_input_files(forty_mixed_files())
    expect(page.get_by_role("status").filter(has_text="40 files")).to_be_visible()
    check_page(page)
    page.get_by_role("button", name="Analyse").click()

    page.wait_for_url("**/analyses/uploads/*")
    check_page(page)
    words = page.get_by_role("status").filter(has_text="finished")
    expect(words).to_have_text("39 of 39 scans finished, one was not taken in.")
    lines = page.locator(".lines li")
    expect(lines).to_have_count(36)
    expect(lines.first).to_contain_text("letter.png")
    expect(lines.first).to_contain_text("not a PNG, JPEG, TIFF, BMP or DICOM image")
    expect(lines.nth(1)).to_contain_text("Study of 5 slices")
    expect(lines.filter(has_text="Deepfake")).to_have_count(35)
    check_page(page)


def test_a_zipped_series_is_dropped_and_read_as_a_study(context: BrowserContext) -> None:
    (page,) = context.pages
    give(page, "drop", {"series.zip": SERIES})
    expect(page.locator(".lines li")).to_contain_text("series.zip")
    page.get_by_role("button", name="Analyse").click()

    page.wait_for_url("**/analyses/**/*-*")
    if "/uploads/" in page.url:  # until there is nothing but the study to show
        page.wait_for_url("**/analyses/studies/*")
    expect(page.get_by_role("heading", level=1)).to_contain_text("deepfake")
    expect(page.get_by_text("The rule: a study is a deepfake from")).to_be_visible()
    expect(page.locator(".strip li")).to_have_count(5)
    check_page(page)
    page.get_by_role("link", name="By position").click()
    expect(page.locator(".strip li").first).to_contain_text("Slice 1")
    page.get_by_role("link", name="Slice 1", exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("deepfake")
    page.get_by_role("link", name="All slices of this study").click()
    expect(page.locator(".strip li")).to_have_count(5)

    page.goto("/analyses")
    line = page.get_by_role("row").filter(has_text="Study of 5 slices").first
    expect(line).to_contain_text("Deepfake")
    line.get_by_role("checkbox").check()
    expect(page.get_by_text("1 ticked.")).to_be_visible()
    check_page(page)
    line.get_by_role("link").click()
    expect(page.locator(".strip li")).to_have_count(5)


def test_a_dropped_folder_is_read_to_its_depths(context: BrowserContext, tmp_path: Path) -> None:
    (page,) = context.pages
    for name, data in series_files(5).items():
        slice_file = tmp_path / "study" / name
        slice_file.parent.mkdir(parents=True, exist_ok=True)
        slice_file.write_bytes(data)
    (tmp_path / "study" / "scan.png").write_bytes(png_bytes())
    (tmp_path / "study" / ".DS_Store").write_bytes(b"hidden")

    drag_onto(page, "[data-drop]", tmp_path / "study")

    expect(page.locator(".lines li")).to_have_count(6)
    page.get_by_role("button", name="Analyse").click()
    page.wait_for_url("**/analyses/uploads/*")
    expect(page.get_by_text("6 of 6 scans finished.")).to_be_visible()
    expect(page.locator(".lines li").first).to_contain_text("Study of 5 slices")


def test_what_did_not_arrive_is_named_and_sent_again(
    context: BrowserContext, tmp_path: Path
) -> None:
    (page,) = context.pages
    cut: list[Route] = []

    def cut_the_second_file(route: Route) -> None:
        if not cut and b'filename="1.png"' in (route.request.post_data_buffer or b""):
            cut.append(route)
            route.abort()
        else:
            route.continue_()

    page.route("**/files", cut_the_second_file)
    files = [tmp_path / name for name in ("0.png", "1.png", "2.png", "whole-disc.png")]
    for number, file in enumerate(files[:-1]):
        file.write_bytes(png_bytes(make_grey(seed=number)))
    files[-1].write_bytes(b"?" * (32 * 2**20 + 1))
    page.get_by_label("2. Scan").set_input_files(files)
    page.get_by_role("button", name="Analyse").click()

    expect(page.get_by_text("2 files did not arrive.")).to_be_visible()
    lines = page.locator(".lines li")
    expect(lines.first).to_contain_text("1.png")
    expect(lines.first).to_contain_text("The connection broke")
    expect(lines.last).to_contain_text("whole-disc.png")
    check_page(page)
    page.get_by_role("button", name="Remove whole-disc.png").click()
    page.get_by_role("button", name="Send again").click()

    page.wait_for_url("**/analyses/uploads/*")
    expect(page.get_by_text("3 of 3 scans finished.")).to_be_visible()


def test_a_pasted_image_gets_its_verdict(context: BrowserContext) -> None:
    (page,) = context.pages
    give(page, "paste", {"image.png": png_bytes(make_grey(256, 240, seed=5))})
    expect(page.locator(".lines li")).to_contain_text("image.png")
    page.get_by_role("button", name="Analyse").click()

    expect(page.get_by_role("heading", level=1)).to_contain_text("deepfake")


def test_what_was_picked_by_mistake_is_taken_out_again(context: BrowserContext) -> None:
    (page,) = context.pages
    page.get_by_label("2. Scan").set_input_files(
        [payload("right.png", png_bytes()), payload("wrong.png", png_bytes())]
    )
    page.get_by_role("button", name="Remove wrong.png").click()

    expect(page.locator(".lines li")).to_have_count(1)
    expect(page.get_by_label("2. Scan")).to_be_focused()


def test_closing_the_tab_loses_nothing_that_was_taken_in(context: BrowserContext) -> None:
    (page,) = context.pages
    page.get_by_label("2. Scan").set_input_files(payload("closed.zip", SERIES))
    with page.expect_response(re.compile("/files$")):
        page.get_by_role("button", name="Analyse").click()
    page.on("dialog", lambda dialog: dialog.accept())
    page.close(run_before_unload=True)  # as a person would; it does not wait for the end

    back = context.new_page()
    back.goto("/analyses/new")
    back.locator(".latest a").first.click()
    expect(back.get_by_role("heading", level=1)).to_contain_text("deepfake")
    expect(back.locator(".strip li")).to_have_count(5)


@pytest.mark.parametrize("context", [False], indirect=True, ids=["no-scripts"])
def test_without_scripts_several_files_and_an_archive_are_judged(context: BrowserContext) -> None:
    (page,) = context.pages
    page.get_by_label("2. Scan").set_input_files(
        [payload("good.png", png_bytes()), payload("bad.png", b"?"), payload("ct.zip", SERIES)]
    )
    page.get_by_role("button", name="Analyse").click()

    page.wait_for_url("**/analyses/uploads/*")
    expect(page.get_by_text("6 of 6 scans finished, one was not taken in.")).to_be_visible()
    expect(page.locator(".lines li").first).to_contain_text("bad.png")
    page.get_by_role("link", name="ct.zip").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("deepfake")

"""The image viewer of the verdict page, in a real browser: values, gestures, keys, fallbacks."""

import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from numpy.typing import NDArray
from PIL import Image
from playwright.sync_api import (
    Browser,
    BrowserContext,
    CDPSession,
    FilePayload,
    Locator,
    Page,
    Position,
    Route,
    expect,
)

from tests.factories import dicom_bytes, make_grey, png_bytes
from tests.journeys.server import Server
from tests.journeys.test_clinician import DESK, PASSWORD, PATIENCE_MS, PHONE

pytestmark = pytest.mark.browser

SIDE = 128
READY = "[data-viewer=ready]"
CENTRE: Position = {"x": 200, "y": 200}


@dataclass
class Scans:
    """Somebody who is signed in, and the addresses of two of their verdicts.

    Attributes:
        state: Cookies of the browser.
        ct: A CT slice from a DICOM file, in Hounsfield units.
        picture: A picture of 8 bits.
    """

    state: Any
    ct: str
    picture: str


@pytest.fixture(scope="module")
def scans(browser: Browser, server: Server) -> Scans:
    context = browser.new_context(base_url=server.url, **DESK)
    context.set_default_timeout(PATIENCE_MS)
    expect.set_options(timeout=PATIENCE_MS)
    page = context.new_page()
    register(page)
    grey = make_grey(SIDE, SIDE, seed=7)
    found = [upload(page, data) for data in (dicom_bytes(grey), png_bytes(grey))]
    state = context.storage_state()
    context.close()
    return Scans(state, *found)


def register(page: Page) -> None:
    """Make an account; afterwards its owner is signed in."""
    page.goto("/register")
    page.get_by_label("Username").fill("viewer")
    page.get_by_label("E-mail").fill("viewer@hospital.example")
    page.get_by_label("Mobile").fill("+49 151 23456789")
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_label("Password once more").fill(PASSWORD)
    page.get_by_role("main").get_by_role("button", name="Create account").click()
    expect(page.get_by_role("status")).to_contain_text("viewer")


def upload(page: Page, data: bytes) -> str:
    """Have a lung CT judged without the help of scripts; return the address of its verdict."""
    page.goto("/analyses/new?modality=lung_ct")
    token = page.locator("main input[name=csrf_token]").first.input_value()
    file: FilePayload = {"name": "scan", "mimeType": "application/octet-stream", "buffer": data}
    answer = page.request.post(
        "/analyses", multipart={"csrf_token": token, "modality": "lung_ct", "images": file}
    )
    assert re.search("/analyses/[0-9a-f-]{36}$", answer.url), answer.url
    return answer.url


@pytest.fixture
def context(browser: Browser, server: Server, scans: Scans) -> Iterator[BrowserContext]:
    context = browser.new_context(base_url=server.url, storage_state=scans.state, **DESK)
    context.set_default_timeout(PATIENCE_MS)
    yield context
    context.close()


@pytest.fixture
def phone(browser: Browser, server: Server, scans: Scans) -> Iterator[BrowserContext]:
    context = browser.new_context(base_url=server.url, storage_state=scans.state, **PHONE)
    context.set_default_timeout(PATIENCE_MS)
    yield context
    context.close()


def opened(context: BrowserContext, address: str) -> Page:
    """Open a verdict and wait for its viewer."""
    page = context.new_page()
    page.goto(address)
    expect(page.locator(READY)).to_be_visible()
    return page


def stored_values(page: Page) -> NDArray[Any]:
    """Return the values of the scan as the server keeps them."""
    png = page.request.get(f"{page.url}/image").body()
    with Image.open(io.BytesIO(png)) as image:
        return np.asarray(image)


def reading(page: Page) -> Locator:
    return page.locator("[data-viewer-reading]")


def magnification(page: Page) -> float:
    words = page.locator("[data-viewer-zoom-words]").text_content() or ""
    return float(words.removesuffix("×"))


def level(page: Page) -> str:
    return page.locator("[data-viewer-level-words]").text_content() or ""


def check_for_everybody(page: Page) -> None:
    """Check what a viewer owes those who do not see it, or not all of it."""
    results = Axe().run(page)
    assert results.violations_count == 0, results.generate_report()
    width = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
    assert width <= 0


# --- values ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "bits"), [("ct", 16), ("picture", 8)])
def test_the_viewer_has_every_value_of_the_scan_at_full_depth(
    context: BrowserContext, scans: Scans, kind: str, bits: int
) -> None:
    page = opened(context, getattr(scans, kind))

    decoded = page.evaluate(
        """async () => {
          const { readGreyPng } = await import("/static/js/viewer-png.js");
          const answer = await fetch(`${location.pathname}/image`);
          const scan = await readGreyPng(await answer.arrayBuffer());
          return { ...scan, values: [...scan.values] };
        }"""
    )

    expected = stored_values(page)
    assert (decoded["width"], decoded["height"]) == (SIDE, SIDE)
    assert decoded["maximum"] == 2**bits - 1
    assert decoded["values"] == expected.ravel().tolist()


def test_what_is_no_png_of_a_scan_is_refused(context: BrowserContext, scans: Scans) -> None:
    page = opened(context, scans.picture)
    coloured = list(png_bytes(mode="RGB"))

    messages = page.evaluate(
        """async (files) => {
          const { readGreyPng } = await import("/static/js/viewer-png.js");
          const attempt = (file) =>
            readGreyPng(new Uint8Array(file).buffer).then(() => "", (error) => error.message);
          return Promise.all(files.map(attempt));
        }""",
        [coloured, [0] * 64],
    )

    assert messages == ["This PNG is not one of a scan.", "This is no PNG."]


def test_the_value_under_the_pointer_is_read_in_hounsfield_units(
    context: BrowserContext, scans: Scans
) -> None:
    page = opened(context, scans.ct)
    page.locator("canvas").hover(position=CENTRE)

    match = re.fullmatch(
        r"Column (\d+), row (\d+): (−?)(\d+) HU", reading(page).text_content() or ""
    )
    assert match
    column, row = int(match[1]), int(match[2])
    hounsfield = round(-1350 + 1500 * int(stored_values(page)[row, column]) / 65535)
    assert int(match[4]) * (-1 if match[3] else 1) == hounsfield


def test_the_value_of_a_picture_is_a_grey(context: BrowserContext, scans: Scans) -> None:
    page = opened(context, scans.picture)
    page.locator("canvas").hover(position=CENTRE)

    expect(reading(page)).to_have_text(re.compile(r"Column \d+, row \d+: grey \d+ of 255"))


def test_a_window_decides_which_values_are_black_and_white(
    context: BrowserContext, scans: Scans
) -> None:
    page = opened(context, scans.ct)

    greys = page.evaluate(
        """async () => {
          const { Contrast } = await import("/static/js/viewer-contrast.js");
          const { Painter } = await import("/static/js/viewer-painter.js");
          const scan = { width: 5, height: 1, maximum: 1500,
                         values: new Uint16Array([0, 350, 600, 850, 1500]) };
          const contrast = new Contrast({ maximum: 1500, black: -1350, white: 150 });
          const painter = new Painter(document.createElement("canvas"), scan);
          const shown = () => {
            painter.develop(contrast.ends);
            return [...painter.pixels.data].filter((_, at) => at % 4 === 0);
          };
          const judged = shown();
          contrast.set(-750, 500);
          return [judged, shown()];
        }"""
    )

    assert greys == [[0, 60, 102, 145, 255], [0, 0, 128, 255, 255]]


# --- keys, mouse and fingers ----------------------------------------------------------------


def test_everything_can_be_done_by_the_keyboard(context: BrowserContext, scans: Scans) -> None:
    page = opened(context, scans.ct)
    for _ in range(20):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.tagName") == "CANVAS":
            break

    page.keyboard.press("+")
    page.keyboard.press("+")
    assert magnification(page) > 2
    expect(reading(page)).to_have_text(re.compile(r"Column 6\d, row 6\d: "))
    page.keyboard.press("ArrowRight")
    expect(reading(page)).to_have_text(re.compile(r"Column [67]\d, row 6\d: "))
    page.keyboard.press("Shift+ArrowUp")
    assert level(page) == "−570 HU"
    expect(page.locator("[data-viewer-spoken]")).to_contain_text("Level −570 HU")
    page.keyboard.press("r")
    assert level(page) == "−600 HU"
    page.keyboard.press("h")
    expect(page.get_by_role("checkbox", name="Heatmap")).not_to_be_checked()
    page.keyboard.press("0")
    assert magnification(page) == 1
    for _ in range(5):  # leaves the viewer: it is no trap
        page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.tagName") != "CANVAS"
    check_for_everybody(page)


def test_the_wheel_scrolls_the_page_until_the_scan_was_clicked(
    context: BrowserContext, scans: Scans
) -> None:
    page = opened(context, scans.ct)
    canvas = page.locator("canvas")
    canvas.hover(position=CENTRE)
    page.mouse.wheel(0, -300)
    expect(reading(page)).to_have_text("Click the scan first, then the wheel zooms it")
    assert magnification(page) == 1

    canvas.click(position=CENTRE)
    page.mouse.wheel(0, -400)

    expect(page.locator("[data-viewer-zoom-words]")).to_have_text("2.0×")


def test_dragging_moves_the_scan_or_windows_it(context: BrowserContext, scans: Scans) -> None:
    page = opened(context, scans.ct)
    canvas = page.locator("canvas")
    page.get_by_role("button", name="Zoom in").click()
    canvas.hover(position=CENTRE)
    before = reading(page).text_content()
    drag(page, canvas, 60, 40)
    canvas.hover(position=CENTRE)
    assert reading(page).text_content() != before
    assert level(page) == "−600 HU"

    page.get_by_role("radio", name="Window").check()
    drag(page, canvas, -60, 80)

    assert level(page) != "−600 HU"
    page.get_by_role("button", name="As judged").click()
    assert level(page) == "−600 HU"
    page.get_by_role("button", name="Stretch").click()
    assert page.locator("[data-viewer-width-words]").text_content() != "1500 HU"


def drag(page: Page, canvas: Locator, dx: int, dy: int) -> None:
    box = canvas.bounding_box()
    assert box
    x, y = box["x"] + CENTRE["x"], box["y"] + CENTRE["y"]
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + dx, y + dy, steps=4)
    page.mouse.up()


def middle_of_the_scan(page: Page) -> tuple[float, float]:
    """Bring the viewer into the window; return where its middle is."""
    page.locator("canvas").scroll_into_view_if_needed()
    box = page.locator("canvas").bounding_box()
    assert box
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def swipe_up(session: CDPSession, x: float, y: float) -> None:
    """Draw one finger from a point 120 pixels up."""
    session.send("Input.dispatchTouchEvent", touch_at("touchStart", x, y))
    for step in range(1, 9):
        session.send("Input.dispatchTouchEvent", touch_at("touchMove", x, y - 15 * step))
    session.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})


def touch_at(kind: str, x: float, y: float) -> dict[str, Any]:
    return {"type": kind, "touchPoints": [{"x": x, "y": y}]}


def test_one_finger_scrolls_the_page_until_a_double_tap_has_zoomed_the_scan(
    phone: BrowserContext, scans: Scans
) -> None:
    page = opened(phone, scans.ct)
    session = phone.new_cdp_session(page)
    zoom = page.locator("[data-viewer-zoom-words]")
    picture = "document.querySelector('canvas').toDataURL()"

    x, y = middle_of_the_scan(page)
    top = page.evaluate("scrollY")
    swipe_up(session, x, y)
    page.wait_for_function("top => scrollY > top + 60", arg=top)

    x, y = middle_of_the_scan(page)
    page.touchscreen.tap(x, y)
    page.touchscreen.tap(x, y)
    expect(zoom).to_have_text("2.0×")
    top, before = page.evaluate("scrollY"), page.evaluate(picture)
    swipe_up(session, x, y)
    page.wait_for_function(f"before => {picture} !== before", arg=before)
    assert page.evaluate("scrollY") == top

    page.touchscreen.tap(x + 60, y)
    page.touchscreen.tap(x + 60, y)
    expect(zoom).to_have_text("1.0×")


def test_two_fingers_zoom_the_scan_and_not_the_page(phone: BrowserContext, scans: Scans) -> None:
    page = opened(phone, scans.ct)
    x, y = middle_of_the_scan(page)
    session = phone.new_cdp_session(page)

    def touch(kind: str, reach: float) -> None:
        points = [{"x": x - reach, "y": y}, {"x": x + reach, "y": y}] if reach else []
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    touch("touchStart", 30)
    for reach in (45, 60, 75, 90):
        touch("touchMove", reach)
    touch("touchEnd", 0)

    expect(page.locator("[data-viewer-zoom-words]")).to_have_text(re.compile("[23][.]"))
    assert page.evaluate("window.visualViewport.scale") == 1
    check_for_everybody(page)


# --- when pixels are late or do not come ----------------------------------------------------


def test_the_verdict_is_there_before_the_pixels(context: BrowserContext, scans: Scans) -> None:
    page = context.new_page()
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    page.route("**/image", hold)
    page.goto(scans.ct)

    expect(page.get_by_role("heading", level=1)).to_contain_text("deepfake")
    expect(page.get_by_text("The scan is loading…")).to_be_visible()
    check_for_everybody(page)
    for route in held:
        route.continue_()
    expect(page.locator(READY)).to_be_visible()
    expect(page.get_by_text("The scan is loading…")).to_have_count(0)


def test_where_the_viewer_cannot_work_the_pictures_are_shown(
    context: BrowserContext, scans: Scans
) -> None:
    page = context.new_page()
    page.add_init_script("delete window.DecompressionStream")
    page.goto(scans.ct)

    expect(page.get_by_role("img", name="with the heatmap over it")).to_be_visible()
    expect(page.locator("canvas")).to_have_count(0)

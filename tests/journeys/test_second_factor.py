"""A clinician turns codes on, signs in with one, and takes their data along."""

import time
from collections.abc import Callable
from typing import Any

import pyotp
import pytest
from playwright.sync_api import expect

from tests.journeys.test_clinician import DESK, PASSWORD, PHONE, Visit, register, sign_out
from tests.journeys.test_clinician import visit as visit  # noqa: PLC0414 - a fixture

pytestmark = pytest.mark.browser

STEP_S = 30


@pytest.mark.parametrize("has_scripts", [True, False], ids=["scripts", "no-scripts"])
@pytest.mark.parametrize("window", [DESK, PHONE], ids=["desk", "phone"])
def test_codes_are_set_up_and_asked_for(
    visit: Callable[..., Visit], window: dict[str, Any], has_scripts: bool
) -> None:
    visitor = visit(window, has_scripts=has_scripts)
    page = visitor.page
    register(visitor)
    page.get_by_role("link", name=visitor.username).click()
    visitor.check_page("Account")
    page.get_by_role("link", name="Security").click()
    visitor.check_page("Security")

    page.get_by_role("button", name="Set up codes").click()
    visitor.check_page("Set up codes")
    generator = pyotp.TOTP(page.locator("#seed").inner_text().replace(" ", ""))
    step = int(time.time()) // STEP_S  # the next one is taken as well: clocks may differ
    page.get_by_label("Code", exact=True).fill(generator.generate_otp(step))
    page.get_by_role("button", name="Turn codes on").click()
    visitor.check_page("Recovery codes")
    expect(page.get_by_role("main").get_by_role("listitem")).to_have_count(10)
    recovery_code = page.get_by_role("main").get_by_role("listitem").first.inner_text()
    page.get_by_role("link", name="I have kept them").click()
    visitor.check_page("Security")
    sign_out(visitor)

    page.get_by_label("Username").fill(visitor.username)
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_role("main").get_by_role("button", name="Sign in").click()
    visitor.check_page("Enter your code")
    page.get_by_label("Code", exact=True).fill(recovery_code)
    page.get_by_role("main").get_by_role("button", name="Sign in").click()
    visitor.check_page("Overview")

    page.goto("/account")
    with page.expect_download() as download:
        page.get_by_role("link", name="Download your data").click()
    assert download.value.suggested_filename == "veriscan-data.zip"

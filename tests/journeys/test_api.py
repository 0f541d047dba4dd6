"""The API as a script meets it: the README's own commands, and the page that lets one try it."""

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser

from tests.factories import png_bytes
from tests.journeys.server import ROOT, Server
from tests.people import PASSWORD

README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"```sh\n(curl .+?/api/v1/\w+)\n```", README, flags=re.DOTALL)


@pytest.fixture(scope="module")
def token(server: Server, browser: Browser) -> str:
    """The secret of a token that somebody made on their account page."""
    page = browser.new_context().new_page()
    page.goto(f"{server.url}/register")
    fields = {"username": "scripter", "email": "scripter@hospital.org", "mobile": "+4915123456789"}
    for name, value in (fields | {"password": PASSWORD, "confirm": PASSWORD}).items():
        page.fill(f"[name={name}]", value)
    page.click("main button[type=submit]")
    if page.url.endswith("/sign-in"):
        page.fill("[name=username]", "scripter")
        page.fill("[name=password]", PASSWORD)
        page.click("main button[type=submit]")
    page.goto(f"{server.url}/account")
    page.fill("#name", "night batch")
    page.click("text=Make a token")
    secret = page.inner_text("#secret")
    page.context.close()
    return secret


def run(command: str, folder: Path, server: Server, token: str) -> Any:
    (folder / "scan.png").write_bytes(png_bytes())
    (folder / "letter.txt").write_text("Dear colleague")
    done = subprocess.run(
        ["bash", "-c", command.replace("http://127.0.0.1:8000", server.url)],
        cwd=folder,
        env=os.environ | {"TOKEN": token},
        capture_output=True,
        check=True,
        timeout=60,
    )
    return json.loads(done.stdout)


def test_the_first_command_of_the_readme_gets_a_verdict(
    server: Server, token: str, tmp_path: Path
) -> None:
    body = run(COMMANDS[0], tmp_path, server, token)

    assert body["status"] == "done"
    assert body["verdict"] == "fake"


def test_the_second_command_of_the_readme_sends_a_batch(
    server: Server, token: str, tmp_path: Path
) -> None:
    body = run(COMMANDS[1], tmp_path, server, token)

    assert len(COMMANDS) == 2
    assert {result["file"] for result in body["results"]} == {"scan.png", "letter.txt"}


def test_an_operation_can_be_tried_on_the_page(
    server: Server, browser: Browser, token: str
) -> None:
    page = browser.new_context().new_page()
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.goto(f"{server.url}/api")
    page.fill("#token", token)

    page.click("#listModalities summary")
    page.click("#listModalities button[type=submit]")
    page.wait_for_selector("#listModalities pre")

    assert "200" in page.inner_text("#listModalities [data-answer] h3")
    assert "lung_ct" in page.inner_text("#listModalities pre")
    assert complaints == []
    assert Axe().run(page).response["violations"] == []
    page.context.close()

"""A real server and a real browser to visit it with."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import pytest
from playwright.sync_api import Browser, sync_playwright
from playwright.sync_api import Error as PlaywrightError

from app.detection.labels import Verdict
from tests.factories import operating_point_for, publish_tiny_gate, publish_tiny_weights
from tests.journeys.chromium import find_chromium, is_continuous_integration
from tests.journeys.server import Server, start_server, stop_server


@pytest.fixture(scope="session")
def decided_weights_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tiny weights that take every lung CT for a fake and every knee X-ray for real.

    A gate takes no image for a knee X-ray.
    """
    weights_dir = tmp_path_factory.mktemp("decided-weights")
    publish_tiny_weights(weights_dir, "lung_ct", operating_point=operating_point_for(Verdict.FAKE))
    publish_tiny_weights(
        weights_dir, "knee_xray", operating_point=operating_point_for(Verdict.REAL)
    )
    publish_tiny_gate(weights_dir, "knee_xray", lets_pass=False)
    return weights_dir


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory, decided_weights_dir: Path) -> Iterator[Server]:
    """A server that all journeys share; each registers users of its own."""
    server = start_server(tmp_path_factory.mktemp("server"), decided_weights_dir)
    yield server
    stop_server(server)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A headless Chromium. Where there is none the test is skipped, in CI it fails."""
    path = find_chromium()
    if path is None:
        _do_without_a_browser("no Chromium or Chrome is installed; see `make browser`")
    arguments = ["--no-first-run", "--disable-background-networking", "--disable-sync"]
    if os.geteuid() == 0:
        arguments.append("--no-sandbox")  # Chromium's sandbox refuses to run as root
    with sync_playwright() as playwright:
        try:
            browser = playwright.chromium.launch(executable_path=path, args=arguments)
        except PlaywrightError as error:
            _do_without_a_browser(f"{path} does not start: {error}")
        yield browser
        browser.close()


def _do_without_a_browser(reason: str) -> NoReturn:
    if is_continuous_integration():
        pytest.fail(reason)
    pytest.skip(reason)

"""The headers of every response."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from werkzeug.datastructures import Headers

from app.services.decoding.pool import DecodingPool
from tests.app.web.conftest import Browser, MakeApp
from tests.app.web.house import House, open_house

PATHS = ("/", "/sign-in", "/nothing", "/healthz", "/readyz", "/account", "/api/v1/analyses")


@pytest.fixture(scope="module")
def house(
    tmp_path_factory: pytest.TempPathFactory, tiny_weights_dir: Path, decoding_pool: DecodingPool
) -> Iterator[House]:
    """An application that all tests here share."""
    house = open_house(tmp_path_factory.mktemp("headers"), tiny_weights_dir, decoding_pool)
    yield house
    house.services.stop()


@pytest.fixture
def anonymous(house: House) -> Browser:
    return house.browser()


@pytest.fixture
def owner(house: House) -> Browser:
    return house.browser(house.user())


def headers_of(browser: Browser, path: str) -> Headers:
    with browser.client.get(path) as response:  # closes the file that a static answer reads
        return response.headers


@pytest.mark.parametrize("path", [*PATHS, "/static/css/base.css", "/static/nothing.css"])
def test_every_response_is_guarded(anonymous: Browser, path: str) -> None:
    headers = headers_of(anonymous, path)

    policy = headers["Content-Security-Policy"]
    assert "default-src 'self'" in policy
    for part in ("object-src", "base-uri", "frame-ancestors"):
        assert f"{part} 'none'" in policy
    assert "form-action 'self'" in policy
    assert "unsafe" not in policy
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "same-origin"
    assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert "camera=()" in headers["Permissions-Policy"]


@pytest.mark.parametrize("path", PATHS)
def test_no_page_is_kept_by_the_browser(owner: Browser, path: str) -> None:
    assert owner.client.get(path).headers["Cache-Control"] == "no-store"


def test_a_static_file_is_kept_as_long_as_its_address_names_its_content(
    anonymous: Browser,
) -> None:
    sheet = str(anonymous.get("/").all("link")[1]["href"])

    path, _, version = sheet.partition("?v=")
    assert version
    assert "immutable" in headers_of(anonymous, sheet)["Cache-Control"]
    assert headers_of(anonymous, path)["Cache-Control"] == "no-cache"
    assert headers_of(anonymous, "/static/nothing.css?v=1")["Cache-Control"] == "no-cache"


def test_https_is_asked_for_where_cookies_are_secure(anonymous: Browser, make_app: MakeApp) -> None:
    secure = make_app(secure_cookies=True).test_client().get("/")

    assert "Strict-Transport-Security" not in anonymous.client.get("/").headers
    assert "max-age=31536000" in secure.headers["Strict-Transport-Security"]

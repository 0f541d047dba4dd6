"""What somebody sees when a request fails."""

import errno
import os

import pytest
from flask import Flask, abort

from app.errors import (
    EmptyFileError,
    FileTooLargeError,
    NotFoundError,
    QueueFullError,
    StorageError,
    UnknownModalityError,
    UnsupportedFormatError,
    UsernameTakenError,
    VeriscanError,
)
from app.records import User
from app.services.container import Services
from app.web.errors import PAGES, status_of
from app.web.guards import public
from tests.app.web.conftest import Browser, browser_of
from tests.app.web.page import Page
from tests.app.web.script import script_of
from tests.movable_clock import MovableClock


@pytest.fixture
def failing(app: Flask) -> Flask:
    """The application with pages that fail in every way."""

    def fail_with(status: int) -> str:
        abort(status)

    def crash() -> str:
        raise RuntimeError("secret detail")

    def fill() -> str:
        raise QueueFullError(retry_after_s=7)

    def break_storage() -> str:
        raise StorageError("The disk is full.")

    def fail_to_write(number: int) -> str:
        raise OSError(number, os.strerror(number))

    app.add_url_rule("/fail/<int:status>", "fail", public(fail_with))
    app.add_url_rule("/crash", "crash", public(crash))
    app.add_url_rule("/fill", "fill", public(fill))
    app.add_url_rule("/disk/<int:number>", "disk", public(fail_to_write))
    app.add_url_rule("/break", "break", public(break_storage))
    return app


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 413, 429, 500, 503, 418])
def test_every_error_has_a_page_in_plain_words(failing: Flask, status: int) -> None:
    page = Browser(failing.test_client()).get(f"/fail/{status}", status)

    assert f"Error {status}" in page.text
    if status in PAGES:
        assert PAGES[status].title in page.text


def test_a_fault_of_ours_is_noted_but_not_shown(
    failing: Flask, caplog: pytest.LogCaptureFixture
) -> None:
    page = Browser(failing.test_client()).get("/crash?name=Patience", 500)

    assert "Something went wrong on our side" in page.text
    assert "secret detail" not in page.html
    assert "GET /crash failed" in caplog.text
    assert "Patience" not in caplog.text


def test_a_full_server_says_when_to_come_again(failing: Flask) -> None:
    response = failing.test_client().get("/fill")

    assert response.status_code == 503
    assert response.headers["Retry-After"] == "7"
    assert "Try again in about 7 seconds." in Page(response.text).text


def test_trouble_with_the_disk_is_told_and_noted(
    failing: Flask, caplog: pytest.LogCaptureFixture
) -> None:
    page = Browser(failing.test_client()).get("/break", 503)

    assert "The disk is full." in page.text
    assert "The disk is full." in caplog.text


@pytest.mark.parametrize(
    ("number", "status", "words"),
    [
        (errno.ENOSPC, 503, "disk cannot be written (No space left on device)"),
        (errno.EROFS, 503, "disk cannot be written (Read-only file system)"),
        (errno.EBADF, 500, "Something went wrong on our side"),
    ],
)
def test_a_disk_that_takes_nothing_is_named_wherever_it_is_noticed(
    failing: Flask, number: int, status: int, words: str
) -> None:
    page = Browser(failing.test_client()).get(f"/disk/{number}", status)

    assert words in page.text


def test_what_only_reads_goes_on_while_nothing_can_be_written(
    app: Flask, alice: User, clock: MovableClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    browser, script = browser_of(app, alice), script_of(app, alice)
    clock.move(minutes=2)  # after which it is noted that the session and the token were used

    def fail(*_: object) -> None:
        raise StorageError("The disk is full.")

    monkeypatch.setattr("app.storage.database.Database.writing", fail)

    browser.get("/analyses")
    assert script.call("GET", "/analyses").status_code == 200


def test_where_accounts_cannot_be_read_there_still_is_a_page(
    owner: Browser, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(user_id: object) -> None:
        raise StorageError("The accounts cannot be read.")

    monkeypatch.setattr(services.identity.sessions._users, "find", fail)

    page = owner.get("/account", 503)

    assert "The accounts cannot be read." in page.text


def test_an_address_without_its_slash_or_with_one_too_many_is_not_found(
    anonymous: Browser,
) -> None:
    anonymous.get("/sign-in/", 404)


@pytest.mark.parametrize("path", ["/../etc/passwd", "/static/../wsgi.py", "/static/%2e%2e/wsgi.py"])
def test_nothing_outside_the_static_folder_is_served(anonymous: Browser, path: str) -> None:
    assert anonymous.client.get(path).status_code == 404


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (NotFoundError("analysis"), 404),
        (FileTooLargeError(2**20), 413),
        (UnsupportedFormatError(), 415),
        (EmptyFileError(), 422),
        (UnknownModalityError("x", known=()), 422),
        (UsernameTakenError(), 422),
        (QueueFullError(retry_after_s=1), 503),
        (StorageError("x"), 503),
        (VeriscanError("x"), 500),
    ],
)
def test_an_error_of_ours_has_the_status_of_its_kind(error: VeriscanError, status: int) -> None:
    assert status_of(error) == status


def test_a_host_that_cannot_be_one_is_refused_without_a_fault_of_ours(
    app: Flask, caplog: pytest.LogCaptureFixture
) -> None:
    response = app.test_client().get("/account", headers={"Host": "a" * 5000})

    assert response.status_code == 400
    assert "Host" in response.get_json()["detail"]
    assert not caplog.records

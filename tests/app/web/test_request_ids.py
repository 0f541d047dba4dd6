"""Each request has an id, in its answer and in the log."""

import json
import logging

import pytest
from flask import Flask

from app.logs import FIELDS, JsonFormatter, TextFormatter, request_id
from tests.app.web.conftest import Browser, MakeApp


def test_the_id_of_a_proxy_is_taken_over(anonymous: Browser) -> None:
    response = anonymous.client.get("/healthz", headers={"X-Request-ID": "proxy-0123.abc"})

    assert response.headers["X-Request-ID"] == "proxy-0123.abc"


@pytest.mark.parametrize("given", [None, "", "short", "x" * 65, "with space", "<script>12345"])
def test_another_id_is_replaced_by_one_of_ours(anonymous: Browser, given: str | None) -> None:
    headers = {} if given is None else {"X-Request-ID": given}

    ids = {anonymous.client.get("/", headers=headers).headers["X-Request-ID"] for _ in range(2)}

    assert len(ids) == 2
    assert all(len(found) == 32 and found.isalnum() for found in ids)


def test_lines_of_the_log_carry_the_id_only_while_the_request_lasts(app: Flask) -> None:
    seen = []

    def look() -> str:
        seen.append(request_id.get())
        return "ok"

    app.add_url_rule("/look", view_func=look)

    app.test_client().get("/look", headers={"X-Request-ID": "0123456789"})

    assert (seen, request_id.get()) == (["0123456789"], "")


def record(message: str, *arguments: object) -> logging.LogRecord:
    return logging.LogRecord("app.part", logging.INFO, __file__, 1, message, arguments, None)


def test_a_json_line_is_one_line_whatever_is_in_the_message() -> None:
    token = request_id.set("0123456789")
    line = record("forged\n%s", '{"level": "ERROR"}')
    setattr(line, FIELDS, {"status": 200})

    text = JsonFormatter().format(line)
    request_id.reset(token)

    assert "\n" not in text
    found = json.loads(text)
    assert found["message"] == 'forged\n{"level": "ERROR"}'
    assert (found["level"], found["logger"], found["status"]) == ("INFO", "app.part", 200)
    assert found["request_id"] == "0123456789"
    assert found["time"].endswith("+00:00")


def test_a_line_for_people_names_the_request_where_there_is_one() -> None:
    outside = TextFormatter().format(record("done"))
    token = request_id.set("0123456789")
    inside = TextFormatter().format(record("done"))
    request_id.reset(token)

    assert outside.endswith("INFO app.part: done")
    assert inside.endswith("INFO app.part: [0123456789] done")


# --- the host that is asked for -------------------------------------------------------------


def test_only_trusted_hosts_are_answered(make_app: MakeApp) -> None:
    client = make_app(trusted_hosts=("veriscan.hospital.org", ".clinic.org")).test_client()

    def status(host: str) -> int:
        return client.get("/sign-in", headers={"Host": host}).status_code

    assert status("veriscan.hospital.org") == 200
    assert status("veriscan.hospital.org:8443") == 200
    assert status("a.clinic.org") == 200
    for host in ("evil.example", "hospital.org", "veriscan.hospital.org.evil.example"):
        assert status(host) == 400


def test_a_refused_host_is_told_so_in_words_and_not_repeated(make_app: MakeApp) -> None:
    client = make_app(trusted_hosts=("veriscan.hospital.org",)).test_client()

    response = client.get("/", headers={"Host": "evil.example"})

    assert response.status_code == 400
    assert "evil.example" not in response.text

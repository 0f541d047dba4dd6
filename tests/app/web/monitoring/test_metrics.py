"""Figures for Prometheus, and who may read them."""

import re

import pytest
from flask import Flask

from app.web.monitoring.metrics import METHODS
from tests.app.web.conftest import Browser, MakeApp

TOKEN = "t" * 32
BEARER = {"Authorization": f"Bearer {TOKEN}"}


def value(text: str, name: str) -> float:
    """Return the value of a series; 0 where there is none yet."""
    found = re.search(rf"^{re.escape(name)} (.+)$", text, flags=re.MULTILINE)
    return float(found[1]) if found else 0.0


def test_what_the_server_does_is_counted(owner: Browser) -> None:
    owner.get(f"/analyses/{owner.analyse()}")
    owner.client.get("/nothing-here")

    text = owner.client.get("/metrics").text

    series = 'veriscan_http_requests_total{endpoint="analyses.create",method="POST",status="303"}'
    assert value(text, series) == 1
    assert value(text, "veriscan_batch_size_count") == 1
    assert value(text, 'veriscan_batch_size_bucket{le="1.0"}') == 1
    assert sum(map(float, re.findall(r"^veriscan_verdicts_total\{.+\} (.+)$", text, re.M))) == 1
    assert value(text, "veriscan_engine_alive") == 1
    assert value(text, "veriscan_engine_restarts_total") == 0
    assert value(text, "veriscan_queue_length") == 0
    assert value(text, "veriscan_disk_free_bytes") > 0
    assert 'veriscan_http_request_duration_seconds_count{endpoint="analyses.create"} 1.0' in text
    assert "veriscan_decoding_workers_replaced_total" in text
    assert "process_resident_memory_bytes" in text


def test_no_client_makes_series_without_end(app: Flask) -> None:
    client = app.test_client()
    for number in range(5):
        client.get(f"/made-up-{number}")
        client.open("/", method=f"MADE{number}")

    text = client.get("/metrics").text

    assert "made-up" not in text
    assert set(re.findall(r'method="(\w+)"', text)) <= {*METHODS, "other"}


@pytest.mark.parametrize("address", ["10.1.2.3", "192.168.0.1", "2001:db8::1", "", "127.0.0.1.x"])
def test_another_machine_does_not_learn_that_there_are_any(app: Flask, address: str) -> None:
    response = app.test_client().get("/metrics", environ_base={"REMOTE_ADDR": address})

    assert response.status_code == 404


@pytest.mark.parametrize("header", ["X-Forwarded-For", "Forwarded", "X-Real-IP"])
def test_a_proxy_on_this_machine_does_not_open_them_to_everybody(app: Flask, header: str) -> None:
    assert app.test_client().get("/metrics", headers={header: "for=1"}).status_code == 404


def test_with_a_token_they_are_read_from_anywhere_but_only_with_it(make_app: MakeApp) -> None:
    client = make_app(metrics_token=TOKEN).test_client()
    elsewhere = {"REMOTE_ADDR": "10.1.2.3"}

    assert client.get("/metrics", headers=BEARER, environ_base=elsewhere).status_code == 200
    assert client.get("/metrics").status_code == 404
    wrong = {"Authorization": f"Bearer {TOKEN[:-1]}x"}
    assert client.get("/metrics", headers=wrong).status_code == 404
    assert client.get("/metrics", headers={"Authorization": "Bearer \xe9"}).status_code == 404

"""The API for scripts, held to its own description."""

import io
import re
from collections.abc import Callable
from pathlib import Path
from threading import Event
from typing import Any
from uuid import UUID

import pytest
from flask import Flask

from app.engine.engine import InProcessEngine
from app.records import Role, User
from app.services.container import Services
from app.web.api.description import DOCUMENT
from app.web.guards import scope_of
from tests.app.web.conftest import CAST, Browser, MakeApp, make_user
from tests.app.web.script import Script, assert_problem, script_of, script_on
from tests.factories import (
    dicom_bytes,
    huge_png_header,
    publish_tiny_gate,
    publish_tiny_weights,
    truncated,
)

ANALYSIS_KEYS = {
    "id",
    "modality",
    "status",
    "created",
    "verdict",
    "probability_fake",
    "threshold",
    "inconclusive_band",
    "reasons",
    "image_sha256",
    "weights",
    "gate",
    "stability",
    "override_gate",
    "device",
    "inference_ms",
    "links",
}

NOBODYS = UUID(int=1)


@pytest.fixture
def script(app: Flask, alice: User) -> Script:
    """Alice's."""
    return script_of(app, alice)


@pytest.fixture
def scripts(app: Flask, services: Services, alice: User) -> dict[str, Script]:
    """Those of the whole cast."""
    dan = make_user(services, "dan")
    found = {
        "owner": script_of(app, alice),
        "stranger": script_of(app, make_user(services, "charlie")),
        "admin": script_of(app, make_user(services, "ada", Role.ADMIN)),
        "deactivated": script_of(app, dan),
        "anonymous": Script(app, None),
    }
    services.accounts.set_active(dan.id, active=False)
    return found


# --- the gate -------------------------------------------------------------------------------


@pytest.fixture
def strict_script(make_app: MakeApp, tmp_path: Path) -> Script:
    """Alice's, on a server whose gate stops everything."""
    publish_tiny_weights(tmp_path / "strict", "lung_ct")
    publish_tiny_gate(tmp_path / "strict", "lung_ct", lets_pass=False)
    engine = InProcessEngine(tmp_path / "strict", max_queue=4, max_batch=1, device="cpu")
    return script_on(make_app(engine))


def test_what_does_not_look_like_its_kind_is_not_judged(strict_script: Script) -> None:
    body = strict_script.analyse().get_json()

    assert body["verdict"] == "not_judged"
    assert body["probability_fake"] is None
    assert body["gate"]["looks_right"] is False
    assert body["stability"] is None
    assert set(body["links"]) == {"self", "image", "report"}


@pytest.mark.parametrize("wish", ["true", "TRUE", " true "])
def test_a_script_can_insist_and_that_is_on_record(strict_script: Script, wish: str) -> None:
    created = strict_script.analyse(override_gate=wish).get_json()

    body = strict_script.call("GET", f"/analyses/{created['id']}").get_json()

    assert body["verdict"] in ("real", "fake", "inconclusive")
    assert body["override_gate"] is True
    assert body["gate"]["overridden"] is True
    assert body["gate"]["looks_right"] is False
    assert "its sender asked" in body["reasons"][0]


@pytest.mark.parametrize("wish", ["", "yes", "1", "none"])
def test_an_unclear_wish_is_refused(script: Script, wish: str) -> None:
    assert_problem(script.analyse(override_gate=wish), 422, "true or false")


def gate_of(script: Script) -> Any:
    found = script.call("GET", "/modalities").get_json()["modalities"]
    return next(item["gate"] for item in found if item["key"] == "lung_ct")


def test_a_modality_tells_its_gate(strict_script: Script) -> None:
    assert len(gate_of(strict_script)["sha256"]) == 64


def test_a_modality_tells_that_it_has_none(script: Script) -> None:
    assert gate_of(script) is None


# --- what it gives --------------------------------------------------------------------------


def test_a_scan_gets_its_verdict_in_the_answer(script: Script, services: Services) -> None:
    card = services.analyses.modalities()["lung_ct"].card
    assert card

    response = script.analyse()

    body = response.get_json()
    assert response.status_code == 201
    assert set(body) == ANALYSIS_KEYS
    assert body["status"] == "done"
    assert body["verdict"] in ("real", "fake", "inconclusive")
    assert 0 <= body["probability_fake"] <= 1
    assert body["inconclusive_band"] == [0.3, 0.7]
    assert body["weights"] == {"name": card.name, "sha256": card.sha256}
    assert body["created"].endswith("Z")
    assert response.headers["Location"] == body["links"]["self"]


def test_every_link_of_an_analysis_leads_somewhere(script: Script) -> None:
    links = script.analyse().get_json()["links"]

    assert set(links) == {"self", "image", "heatmap", "report"}
    for name in links:
        assert script.call("GET", links[name].removeprefix("/api/v1")).status_code == 200


def test_a_verdict_that_takes_long_is_promised(make_app: MakeApp, blocked: Event) -> None:
    app = make_app(verdict_wait_s=0)
    services: Services = app.extensions["veriscan"]
    script = script_of(app, make_user(services, "alice"))

    response = script.analyse()
    body = response.get_json()
    assert response.status_code == 202
    assert response.headers["Location"] == body["links"]["self"]
    assert int(response.headers["Retry-After"]) >= 1
    assert body["status"] in ("queued", "running")
    assert body["verdict"] is None

    blocked.set()
    services.analyses.wait(UUID(body["id"]), 10)
    later = script.call("GET", f"/analyses/{body['id']}")
    assert later.get_json()["status"] == "done"
    assert "Retry-After" not in later.headers


def test_the_modalities_are_listed_with_the_reason_where_one_is_not_served(
    make_app: MakeApp, lung_engine: InProcessEngine
) -> None:
    script = script_on(make_app(lung_engine))

    found = script.call("GET", "/modalities").get_json()["modalities"]

    by_key = {item["key"]: item for item in found}
    assert by_key["lung_ct"]["available"] is True
    assert set(by_key["lung_ct"]["weights"]) == {"name", "sha256"}
    assert by_key["knee_xray"]["available"] is False
    assert "No weights are published" in by_key["knee_xray"]["reason"]
    assert_problem(script.analyse(modality="knee_xray"), 503, "cannot be analysed at present")


def test_a_deleted_analysis_is_gone(script: Script) -> None:
    link = f"/analyses/{script.analyse().get_json()['id']}"

    assert script.call("DELETE", link).status_code == 204

    assert_problem(script.call("GET", link), 404, "There is no such analysis.")


# --- what it refuses ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "status", "detail"),
    [
        (b"", 422, "The file is empty."),
        (b"hello", 415, "whatever its name says"),
        (truncated(dicom_bytes()), 422, "damaged or incomplete"),
        (huge_png_header(), 422, "30000 × 30000 pixels"),
    ],
    ids=["empty", "text", "truncated", "huge"],
)
def test_a_file_that_cannot_be_judged_is_refused_in_words(
    script: Script, data: bytes, status: int, detail: str
) -> None:
    assert_problem(script.analyse(data), status, detail)


@pytest.mark.parametrize(
    ("data", "detail"),
    [
        ({"image": (io.BytesIO(b"x"), "x")}, "Give the field “modality” one of these values"),
        ({"modality": "brain", "image": (io.BytesIO(b"x"), "x")}, "knee_xray, lung_ct"),
        ({"modality": "lung_ct"}, "Send the scan as a file in the field “image”."),
        ({"modality": "lung_ct", "image": "text"}, "Send the scan as a file"),
    ],
)
def test_an_incomplete_request_is_told_what_is_missing(
    script: Script, data: dict[str, Any], detail: str
) -> None:
    assert_problem(script.call("POST", "/analyses", data=data), 422, detail)


def test_a_file_over_the_limit_is_refused(make_app: MakeApp) -> None:
    script = script_on(make_app(max_upload_bytes=2**16))

    assert_problem(script.analyse(bytes(2**17)), 413, "larger than")
    body = io.BytesIO(bytes(2**21))
    response = script.call(
        "POST",
        "/analyses",
        input_stream=body,
        content_length=2**21,
        content_type="multipart/form-data; boundary=x",
    )
    assert_problem(response, 413, "A file may have up to")
    assert body.read() == b"", "the rest must be read, or the client sees a broken connection"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/modalities"),
        ("GET", "/analyses"),
        ("POST", "/analyses"),
        ("GET", f"/analyses/{NOBODYS}"),
        ("DELETE", f"/analyses/{NOBODYS}"),
        ("GET", f"/analyses/{NOBODYS}/image"),
        ("GET", f"/analyses/{NOBODYS}/heatmap"),
    ],
)
@pytest.mark.parametrize("header", [None, "Bearer", "Bearer wrong", "Basic YTpi", "Bearer é"])
def test_without_a_valid_token_nothing_is_given(
    app: Flask, method: str, path: str, header: str | None
) -> None:
    headers = {"Authorization": header} if header else {}

    response = app.test_client().open(f"/api/v1{path}", method=method, headers=headers)

    assert_problem(response, 401, "Authorization: Bearer TOKEN")
    assert response.headers["WWW-Authenticate"].startswith("Bearer")


def test_a_browser_session_is_no_token(owner: Browser) -> None:
    assert_problem(owner.client.get("/api/v1/analyses"), 401)


@pytest.mark.parametrize("path", ["", "/image", "/heatmap"])
def test_an_analysis_is_for_its_owner_and_admins(scripts: dict[str, Script], path: str) -> None:
    link = f"/analyses/{scripts['owner'].analyse().get_json()['id']}{path}"

    statuses = [scripts[actor].call("GET", link).status_code for actor in CAST]

    assert statuses == [200, 404, 200, 401, 401]


def test_an_analysis_is_not_deleted_by_others(scripts: dict[str, Script]) -> None:
    link = f"/analyses/{scripts['owner'].analyse().get_json()['id']}"

    for actor, status in (("stranger", 404), ("deactivated", 401), ("anonymous", 401)):
        assert_problem(scripts[actor].call("DELETE", link), status)
    assert scripts["owner"].call("GET", link).status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nothing", 404),
        ("GET", "/analyses/1", 404),
        ("PUT", "/analyses", 405),
        ("POST", "/modalities", 405),
        ("POST", "/analyses", 415),
        ("POST", "/uploads", 415),
    ],
)
def test_a_wrong_address_or_method_is_a_problem_too(
    script: Script, method: str, path: str, status: int
) -> None:
    assert_problem(script.call(method, path), status)


def test_a_fault_of_ours_is_a_problem_without_its_details(
    script: Script, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("secret detail")

    monkeypatch.setattr(services.history, "sheet", fail)

    response = script.call("GET", "/analyses")

    assert_problem(response, 500)
    assert "secret detail" not in response.text


# --- its description ------------------------------------------------------------------------


def described() -> dict[tuple[str, str], str]:
    """Return the scope of each operation that is described."""
    return {
        (method.upper(), path): operation["security"][0]["token"][0]
        for path, operations in DOCUMENT["paths"].items()
        for method, operation in operations.items()
        if method != "parameters"
    }


def test_every_route_of_the_api_is_described_with_its_scope_and_no_other(app: Flask) -> None:
    routes = {
        (method, re.sub("<uuid:[a-z]+_id>", "{id}", rule.rule.removeprefix("/api/v1"))): scope_of(
            app.view_functions[rule.endpoint]
        )
        for rule in app.url_map.iter_rules()
        if rule.endpoint.startswith("api.") and rule.endpoint != "api.openapi"
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }

    assert described() == routes


def test_an_analysis_has_the_fields_that_are_described(script: Script) -> None:
    properties = DOCUMENT["components"]["schemas"]["Analysis"]["properties"]

    assert set(script.analyse().get_json()) == set(properties) - {"error"}


def test_the_description_is_open_to_all_and_its_references_resolve(anonymous: Browser) -> None:
    response = anonymous.client.get("/api/v1/openapi.json")

    document = response.get_json()
    assert response.status_code == 200
    assert document["openapi"].startswith("3.1")

    def check(node: Any, follow: Callable[[str], Any]) -> None:
        if isinstance(node, dict):
            if "$ref" in node:
                assert follow(node["$ref"])
            for value in node.values():
                check(value, follow)
        elif isinstance(node, list):
            for value in node:
                check(value, follow)

    def follow(reference: str) -> Any:
        found = document
        for part in reference.removeprefix("#/").split("/"):
            found = found[part]
        return found

    check(document, follow)

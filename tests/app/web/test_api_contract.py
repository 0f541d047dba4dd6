"""The API under requests that nobody thought of, held to its own description by Schemathesis."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from flask import Flask
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    positive_data_acceptance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)
from schemathesis.specs.openapi.schemas import OpenApiSchema

from app.config import Settings
from app.engine.engine import InProcessEngine
from app.factory import create_app
from app.services.accounts.passwords import PasswordService
from app.services.decoding.pool import DecodingPool
from app.web.api.description import DOCUMENT
from tests.app.web.conftest import CHEAP_HASH, make_user
from tests.app.web.script import Script, script_of

BOUNDED = settings(
    max_examples=3,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    negative_data_rejection,
    positive_data_acceptance,
    unsupported_method,
]
OPERATIONS = [
    (path, method)
    for path, operations in DOCUMENT["paths"].items()
    for method in operations
    if method != "parameters"
]


@pytest.fixture(scope="module")
def app(
    tmp_path_factory: pytest.TempPathFactory, tiny_weights_dir: Path, decoding_pool: DecodingPool
) -> Iterator[Flask]:
    engine = InProcessEngine(tiny_weights_dir, max_queue=64, max_batch=8, device="cpu", threads=1)
    used = Settings(data_dir=tmp_path_factory.mktemp("data"), api_requests_per_min=0)
    app = create_app(used, engine, PasswordService(CHEAP_HASH), pool=decoding_pool)
    yield app
    app.extensions["veriscan"].stop()


@pytest.fixture(scope="module")
def script(app: Flask) -> Script:
    return script_of(app, make_user(app.extensions["veriscan"], "alice"))


@pytest.fixture(scope="module")
def schema(app: Flask) -> OpenApiSchema:
    return schemathesis.openapi.from_wsgi("/api/v1/openapi.json", app)


@pytest.fixture(scope="module")
def ids(script: Script) -> dict[str, str]:
    """An analysis of which each path can be asked for."""
    return {"id": script.analyse().get_json()["id"]}


@pytest.mark.parametrize("mode", GenerationMode)
@pytest.mark.parametrize(("path", "method"), OPERATIONS)
def test_whatever_is_sent_the_answer_is_as_described(
    schema: OpenApiSchema,
    script: Script,
    ids: dict[str, str],
    path: str,
    method: str,
    mode: GenerationMode,
) -> None:
    operation = schema[path][method]
    is_there = path.startswith("/analyses/{id}") and method != "delete"
    checks = CHECKS
    if (path, method) == ("/analyses", "post"):  # what a scan is no schema can say
        checks = [check for check in CHECKS if check is not positive_data_acceptance]

    @settings(BOUNDED)
    @given(case=operation.as_strategy(mode, path_parameters=ids if is_there else None))
    def send(case: schemathesis.Case[Any]) -> None:
        case.call_and_validate(headers=script.headers, checks=checks)

    send()

"""Holds what every route must have: a stated guard, a kebab-case address, typed variables."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from flask import Blueprint, Flask
from werkzeug.routing import Rule

from app.config import Settings
from app.factory import create_app
from app.records import Scope
from app.web.guards import admin_only, guard_of, public, signed_in, token_required

SEGMENT = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*(\.(json|pdf|pem))?|v1|<(uuid|int):[a-z_]+>")
CHANGING = {"POST", "PUT", "PATCH", "DELETE"}

# Flask's own route; it serves the files in static/ and nothing else.
NOT_OURS = {"static"}


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Flask:
    data_dir = tmp_path_factory.mktemp("data")
    return create_app(replace(Settings(), data_dir=data_dir, weights_dir=data_dir))


def our_rules(app: Flask) -> list[Rule]:
    return [rule for rule in app.url_map.iter_rules() if rule.endpoint not in NOT_OURS]


def guard_problems(app: Flask) -> list[str]:
    """Return a sentence for each route whose guard is missing or does not fit."""
    found = []
    for rule in our_rules(app):
        guard = guard_of(app.view_functions[rule.endpoint])
        is_api = rule.rule.startswith("/api/")
        if guard is None:
            found.append(
                f"{rule.endpoint} ({rule.rule}) states no guard: put @public, @signed_in, "
                "@admin_only or @token_required from app.web.guards right above its function"
            )
        elif is_api and guard not in ("token_required", "public"):
            found.append(f"{rule.endpoint} is of the API: guard it with @token_required(Scope.…)")
        elif not is_api and guard == "token_required":
            found.append(f"{rule.endpoint} is a page: guard it with @signed_in or @admin_only")
        elif rule.rule.startswith("/admin") and guard != "admin_only":
            found.append(f"{rule.endpoint} is an administrator's page: guard it with @admin_only")
    return found


def address_problems(app: Flask) -> list[str]:
    """Return a sentence for each route whose address is not as all others are."""
    return [
        f"{rule.rule}: write the part {segment!r} in kebab-case, or with a type: <uuid:name>"
        for rule in our_rules(app)
        for segment in rule.rule.strip("/").split("/")
        if segment and not SEGMENT.fullmatch(segment)
    ]


def csrf_problems(app: Flask) -> list[str]:
    """Return a sentence for each page that takes changes and is not protected."""
    protection = app.extensions["csrf"]
    return [
        f"{rule.endpoint} is exempt from CSRF protection, which only the API may be"
        for rule in our_rules(app)
        if CHANGING & set(rule.methods or ())
        and not rule.rule.startswith("/api/")
        and (
            rule.endpoint.split(".")[0] in protection._exempt_blueprints
            or f"{app.view_functions[rule.endpoint].__module__}."
            f"{app.view_functions[rule.endpoint].__name__}"
            in protection._exempt_views
        )
    ]


# --- the rules hold -------------------------------------------------------------------------


def test_every_route_states_a_guard_that_fits(app: Flask) -> None:
    assert not guard_problems(app), "\n".join(guard_problems(app))


def test_every_address_is_kebab_case_with_typed_variables(app: Flask) -> None:
    assert not address_problems(app), "\n".join(address_problems(app))


def test_every_form_is_protected_against_forgery(app: Flask) -> None:
    assert not csrf_problems(app), "\n".join(csrf_problems(app))
    assert app.config.get("WTF_CSRF_ENABLED", True)
    assert app.config.get("WTF_CSRF_CHECK_DEFAULT", True)


def test_pages_change_nothing_except_by_post(app: Flask) -> None:
    odd = [
        rule.rule
        for rule in our_rules(app)
        if not rule.rule.startswith("/api/")
        and (set(rule.methods or ()) - {"GET", "HEAD", "OPTIONS"}) not in (set(), {"POST"})
    ]

    assert odd == []


def test_every_view_says_what_its_caller_gets(app: Flask) -> None:
    silent = [
        rule.endpoint
        for rule in our_rules(app)
        if not (app.view_functions[rule.endpoint].__doc__ or "").strip()
    ]

    assert silent == []


@pytest.mark.parametrize(
    "address",
    [
        "/",
        "/register",
        "/sign-in",
        "/sign-out",
        "/account",
        "/analyses",
        "/analyses/new",
        "/analyses/<uuid:analysis_id>",
        "/analyses/<uuid:analysis_id>/image",
        "/analyses/<uuid:analysis_id>/heatmap",
        "/analyses/<uuid:analysis_id>/report.pdf",
        "/analyses/<uuid:analysis_id>/report.json",
        "/verify",
        "/healthz",
        "/readyz",
        "/api/v1/modalities",
        "/api/v1/analyses",
        "/api/v1/analyses/<uuid:analysis_id>",
        "/api/v1/openapi.json",
    ],
)
def test_the_addresses_that_others_rely_on_are_there(app: Flask, address: str) -> None:
    assert address in {rule.rule for rule in app.url_map.iter_rules()}


def test_no_macro_is_imported_by_a_template_that_does_not_use_it() -> None:
    unused = [
        f"{path.name} imports {name}"
        for path in (Path(__file__).parents[1] / "templates").rglob("*.html")
        for text in [path.read_text(encoding="utf-8")]
        for names in re.findall(r"{% from \S+ import (.+?) %}", text)
        for name in names.split(", ")
        if len(re.findall(rf"\b{name}\(", text)) == 0
    ]

    assert unused == []


# --- the checkers themselves ----------------------------------------------------------------


def toy_app(address: str, view: Callable[[], Any], blueprint: str = "toy") -> Flask:
    app = Flask("toy")
    bp = Blueprint(blueprint, __name__)
    bp.add_url_rule(address, "view", view)
    app.register_blueprint(bp)
    return app


def make_view() -> Callable[[], Any]:
    def view() -> str:
        """Say nothing."""
        return ""

    return view


@pytest.mark.parametrize(
    ("address", "guard", "problem"),
    [
        ("/x", lambda view: view, "states no guard: put @public"),
        ("/api/v1/x", signed_in, "guard it with @token_required(Scope.…)"),
        ("/x", token_required(Scope.READ), "guard it with @signed_in or @admin_only"),
        ("/admin/x", signed_in, "guard it with @admin_only"),
    ],
)
def test_the_checker_finds_a_wrong_guard_and_says_the_fix(
    address: str, guard: Callable[[Callable[[], Any]], Callable[[], Any]], problem: str
) -> None:
    (found,) = guard_problems(toy_app(address, guard(make_view())))

    assert problem in found


def test_a_view_with_two_guards_is_refused() -> None:
    with pytest.raises(TypeError, match="two guards: signed_in and admin_only"):
        admin_only(signed_in(make_view()))


@pytest.mark.parametrize("address", ["/two_words", "/Word", "/<name>", "/<string:name>"])
def test_the_checker_finds_an_odd_address(address: str) -> None:
    assert len(address_problems(toy_app(address, public(make_view())))) == 1

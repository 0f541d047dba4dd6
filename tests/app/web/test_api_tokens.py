"""What a token is good for, for how long, and how often."""

import re
from uuid import uuid4

import pytest
from flask import Flask

from app.records import EventFilter, Scope, User
from app.services.accounts.api_tokens import MAX_TOKENS
from app.services.container import Services
from tests.app.web.conftest import Browser, MakeApp, make_user
from tests.app.web.script import Script, assert_problem, script_of, script_on
from tests.movable_clock import MovableClock
from tests.people import PASSWORD

NEEDED = [
    ("GET", "/analyses", Scope.READ),
    ("GET", "/modalities", Scope.READ),
    ("POST", "/analyses", Scope.ANALYSE),
    ("POST", "/uploads", Scope.ANALYSE),
    ("PUT", f"/analyses/{uuid4()}/note", Scope.ANNOTATE),
    ("DELETE", f"/analyses/{uuid4()}", Scope.DELETE),
    ("DELETE", f"/studies/{uuid4()}", Scope.DELETE),
]


@pytest.fixture
def script(app: Flask, alice: User) -> Script:
    return script_of(app, alice)


def test_a_token_does_what_it_is_good_for_and_nothing_else(app: Flask, alice: User) -> None:
    for scope in Scope:
        script = script_of(app, alice, scopes=frozenset({scope}))
        for method, path, needed in NEEDED:
            response = script.call(method, path)
            if needed is scope:
                assert response.status_code in (200, 404, 415), (scope, path)
            else:
                assert_problem(response, 403, f"it lacks the scope “{needed}”")
                assert f'scope="{needed}"' in response.headers["WWW-Authenticate"]


def test_an_expired_token_is_told_apart_from_an_unknown_one(
    app: Flask, alice: User, clock: MovableClock
) -> None:
    script = script_of(app, alice, days=7)
    clock.move(days=6, hours=23)
    assert script.call("GET", "/analyses").status_code == 200

    clock.move(hours=1)
    response = script.call("GET", "/analyses")

    assert_problem(response, 401, "This token expired on")
    assert "error=invalid_token" in response.headers["WWW-Authenticate"]


def test_every_answer_says_how_often_the_token_may_still_be_used(
    make_app: MakeApp, clock: MovableClock
) -> None:
    script = script_on(make_app(api_requests_per_min=2))

    first = script.call("GET", "/analyses")
    clock.move(seconds=20)
    second = script.call("GET", f"/analyses/{uuid4()}")
    third = script.call("GET", "/analyses")

    assert first.headers["RateLimit-Policy"] == '"token";q=2;w=60'
    assert first.headers["RateLimit"] == '"token";r=1;t=60'
    assert second.headers["RateLimit"] == '"token";r=0;t=40'
    assert_problem(third, 429, "2 times a minute")
    assert third.headers["Retry-After"] == "40"
    assert third.headers["RateLimit"] == '"token";r=0;t=40'


def test_a_clock_that_jumps_back_keeps_no_token_waiting(
    make_app: MakeApp, clock: MovableClock
) -> None:
    script = script_on(make_app(api_requests_per_min=1))
    assert script.call("GET", "/analyses").status_code == 200
    assert script.call("GET", "/analyses").status_code == 429

    clock.move(days=-365)

    assert script.call("GET", "/analyses").status_code == 200
    assert script.call("GET", "/analyses").headers["Retry-After"] == "60"


def test_all_tokens_of_a_user_share_an_allowance_and_get_it_anew(
    make_app: MakeApp, clock: MovableClock
) -> None:
    app = make_app(api_requests_per_min=1)
    script = script_on(app)
    services: Services = app.extensions["veriscan"]
    same_user = script_of(app, next(iter(services.accounts.list_users())))
    somebody_else = script_of(app, make_user(services, "charlie"))
    assert script.call("GET", "/modalities").status_code == 200
    assert_problem(same_user.call("GET", "/modalities"), 429, "All your tokens together")
    assert somebody_else.call("GET", "/modalities").status_code == 200

    clock.move(seconds=60)

    assert same_user.call("GET", "/modalities").status_code == 200
    assert script.call("GET", "/modalities").status_code == 429


def test_a_limit_of_nought_is_none(make_app: MakeApp) -> None:
    response = script_on(make_app(api_requests_per_min=0)).call("GET", "/modalities")

    assert response.status_code == 200
    assert "RateLimit" not in response.headers


def test_the_audit_trail_names_the_token_by_which_something_was_done(
    script: Script, services: Services, owner: Browser
) -> None:
    by_script = script.analyse().get_json()["id"]
    by_hand = str(owner.analyse())

    for subject, token in ((by_script, '"token":"script"'), (by_hand, None)):
        (event,) = services.audit.page(
            EventFilter(action="analysis.submitted", subject=subject), limit=5
        )
        assert (token in event.details) if token else ("token" not in event.details)


# --- on the account page --------------------------------------------------------------------


def test_a_token_is_made_with_what_is_ticked_and_shown_with_it(
    owner: Browser, services: Services, alice: User, clock: MovableClock
) -> None:
    form = {"name": "night", "scopes": ["read", "delete"], "days": "30"}

    owner.submit("/account/tokens", form, 200)

    (token,) = services.identity.tokens.list_of_user(alice.id)
    assert token.scopes == {Scope.READ, Scope.DELETE}
    assert token.expires is not None
    assert (token.expires - clock.now).days == 30
    assert "May delete, read. Expires" in owner.get("/account").text


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"scopes": []}, "scopes"),
        ({"scopes": ["everything"]}, "scopes"),
        ({"days": "366"}, "days"),
        ({"days": "0"}, "days"),
        ({"days": "-1"}, "days"),
        ({"days": "x"}, "days"),
        ({"days": ""}, "days"),
    ],
)
def test_a_token_that_is_good_for_nothing_or_for_too_long_is_refused(
    owner: Browser, services: Services, alice: User, change: dict[str, object], field: str
) -> None:
    form = {"name": "night", "scopes": ["read"], "days": "30"} | change

    page = owner.submit("/account/tokens", form, 422)

    assert page.error_of(field)
    assert services.identity.tokens.list_of_user(alice.id) == []


def test_what_was_typed_for_a_token_is_there_again_after_the_proof(
    owner: Browser, services: Services, alice: User, clock: MovableClock
) -> None:
    form = {"name": "night batch", "scopes": ["read", "delete"], "days": "30"}
    clock.move(minutes=20)
    asked = owner.send("/account/tokens", form, headers={"Referer": "/account"})
    assert asked.location == "/confirm-identity?next=/account"
    assert services.identity.tokens.list_of_user(alice.id) == []

    page = owner.follow(owner.send("/confirm-identity", {"current": PASSWORD, "next": "/account"}))

    assert "Your token is not made yet" in page.text
    assert 'value="night batch"' in page.html
    assert re.findall(r'name="scopes" value="(\w+)" checked', page.html) == ["read", "delete"]
    assert re.findall(r'<option value="(\d+)" selected', page.html) == ["30"]
    assert "night batch" not in owner.get("/account").html  # once


def test_a_user_who_has_many_tokens_is_asked_to_revoke_one(
    owner: Browser, services: Services, alice: User
) -> None:
    form = {"name": "night", "scopes": ["read"], "days": "30"}
    tokens = [services.identity.tokens.create(alice.id, "old")[0] for _ in range(MAX_TOKENS)]

    page = owner.submit("/account/tokens", form, 422)
    assert "Revoke one that is no longer needed" in (page.error_of("name") or "")

    owner.send(f"/account/tokens/{tokens[0].id}/revoke")
    owner.submit("/account/tokens", form, 200)

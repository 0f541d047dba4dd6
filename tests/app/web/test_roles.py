"""Every role at every route: who is let in is what the guard says, by the route table itself."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from flask import Flask
from werkzeug.routing import Rule

from app.records import EventFilter, Role, Scope
from app.services.container import Services
from app.services.decoding.pool import DecodingPool
from app.web.guards import ACCOUNT_PAGES, guard_of, needs_proof
from tests.app.web.conftest import Browser, turn_codes_on
from tests.app.web.house import cast_of, open_house
from tests.app.web.script import script_of
from tests.movable_clock import MovableClock

EVERYBODY = frozenset({"owner", "stranger", "reviewer", "admin", "deactivated", "anonymous"})
USERS = EVERYBODY - {"deactivated", "anonymous"}
LET_IN = {
    "public": EVERYBODY,
    "signed_in": USERS,
    "admin_only": frozenset({"admin"}),
    "reviewer_only": frozenset({"reviewer"}),
    "reviewer_or_admin": frozenset({"reviewer", "admin"}),
    "token_required": frozenset(),  # a browser has no token; test_api tries those
}
SIGN_IN = "/sign-in"
# These end the session with which the rest is tried.
ENDS_THE_SESSION = {"auth.sign_out", "auth.sign_in_submit"}


@dataclass(frozen=True)
class House:
    """An application with one of each, and an analysis of the owner's."""

    app: Flask
    cast: dict[str, Browser]
    analysis_id: UUID

    def rules(self, method: str) -> Iterator[Rule]:
        """Yield our routes that take a method."""
        for rule in self.app.url_map.iter_rules():
            if rule.endpoint != "static" and method in (rule.methods or ()):
                yield rule

    def guard(self, rule: Rule) -> str:
        """Return what a route says of who may come in."""
        return guard_of(self.app.view_functions[rule.endpoint]) or "none"

    def address(self, rule: Rule) -> str:
        """Return a route's address, of the owner's analysis or of things that do not exist."""
        values = {
            name: self.analysis_id if name == "analysis_id" else uuid4()
            for name in rule.arguments
            if f"<uuid:{name}>" in rule.rule
        }
        numbers = {name: 1 for name in rule.arguments if name not in values}
        return self.app.url_map.bind("localhost").build(rule.endpoint, values | numbers)


def furnished(app: Flask) -> House:
    """Put one of each into an application, and an analysis of the owner's."""
    cast = cast_of(app)
    return House(app, cast, cast["owner"].analyse())


@pytest.fixture(scope="module")
def house(
    tmp_path_factory: pytest.TempPathFactory, tiny_weights_dir: Path, decoding_pool: DecodingPool
) -> Iterator[House]:
    """A house for those who only look around."""
    data_dir = tmp_path_factory.mktemp("roles")
    shared = open_house(data_dir, tiny_weights_dir, decoding_pool)
    yield furnished(shared.app)
    shared.services.stop()


@pytest.fixture
def own_house(app: Flask) -> House:
    """A house for a test that leaves traces in it."""
    return furnished(app)


def is_let_in(status: int, location: str) -> bool:
    """Return whether an answer comes from behind the guard; a thing not there is behind it."""
    return status not in (401, 403) and not location.startswith(SIGN_IN)


def test_every_guard_is_known(house: House) -> None:
    assert {house.guard(rule) for rule in house.rules("GET")} <= set(LET_IN)


def test_each_page_opens_to_those_whom_its_guard_names(house: House) -> None:
    wrong = []
    for rule in house.rules("GET"):
        for name, browser in house.cast.items():
            answer = browser.client.get(house.address(rule))
            is_in = is_let_in(answer.status_code, answer.location or "")
            if is_in != (name in LET_IN[house.guard(rule)]) or answer.status_code == 500:
                wrong.append(f"{name} gets {answer.status_code} at {rule.rule}")
            answer.close()

    # A page of the sign-in itself may lead there; nothing else of what is public does.
    assert [w for w in wrong if "/sign-in/code" not in w and "/register" not in w] == []


def test_each_act_is_open_to_those_whom_its_guard_names(own_house: House) -> None:
    wrong = []
    tokens = {
        name: browser.get("/account" if name in USERS else SIGN_IN).csrf_token
        for name, browser in own_house.cast.items()
    }
    for rule in own_house.rules("POST"):
        guard = own_house.guard(rule)
        if guard == "public" or rule.endpoint in ENDS_THE_SESSION:
            continue
        for name, browser in own_house.cast.items():
            data = {"csrf_token": tokens[name]}
            answer = browser.client.post(own_house.address(rule), data=data)
            is_in = is_let_in(answer.status_code, answer.location or "")
            if is_in != (name in LET_IN[guard]) or answer.status_code == 500:
                wrong.append(f"{name} gets {answer.status_code} at POST {rule.rule}")

    assert wrong == []


def test_no_act_is_done_without_the_token_of_a_form(house: House) -> None:
    open_to_forgery = [
        rule.rule
        for rule in house.rules("POST")
        if not rule.rule.startswith("/api/")
        for browser in (house.cast["admin"], house.cast["anonymous"])
        if browser.client.post(house.address(rule), data={}).status_code != 400
    ]

    assert open_to_forgery == []


def test_the_scan_of_somebody_else_is_not_there(house: House) -> None:
    seen = []
    for rule in house.rules("GET"):
        if "analysis_id" in rule.arguments and house.guard(rule) == "signed_in":
            for name in ("stranger", "reviewer"):
                answer = house.cast[name].client.get(house.address(rule))
                if answer.status_code != 404:
                    seen.append(f"{name} gets {answer.status_code} at {rule.rule}")

    assert seen == []


def test_dangerous_acts_ask_for_proof_after_a_while(own_house: House, clock: MovableClock) -> None:
    clock.move(minutes=16)
    browser = own_house.cast["admin"]
    token = browser.get("/account").csrf_token
    asked = {}
    for method in ("GET", "POST"):
        for rule in own_house.rules(method):
            if needs_proof(own_house.app.view_functions[rule.endpoint]):
                data = {"csrf_token": token} if method == "POST" else None
                answer = browser.client.open(own_house.address(rule), method=method, data=data)
                asked[rule.endpoint] = (answer.location or "").startswith("/confirm-identity")

    assert all(asked.values()), asked
    assert {
        "account.change_contact",
        "account.create_token",
        "account_data.delete_submit",
        "account_data.download",
        "second_factor.begin",
        "second_factor.turn_off",
        "second_factor.renew_recovery_codes",
        "admin.invite",
        "admin.set_site_limit",
        "admin.remove_site_limit",
    } <= set(asked)


# --- administrators without a second factor -------------------------------------------------


def test_an_administrator_without_codes_comes_no_further_than_their_account(
    own_house: House, services: Services, clock: MovableClock
) -> None:
    services.site_settings.change({"admins_need_codes": True}, actor=None)
    (admin,) = (user for user in services.accounts.list_users() if user.role is Role.ADMIN)
    browser, script = own_house.cast["admin"], script_of(own_house.app, admin, scopes=set(Scope))
    token = browser.get("/account").csrf_token
    passed = []
    for method in ("GET", "POST", "PUT", "DELETE"):
        for rule in own_house.rules(method):
            address, guard = own_house.address(rule), own_house.guard(rule)
            if guard == "public" or rule.endpoint.split(".")[0] in ACCOUNT_PAGES:
                continue
            if guard == "token_required":
                answer = script.call(method, address.removeprefix("/api/v1"))
                is_kept_out = answer.status_code == 403
            else:
                data = {"csrf_token": token} if method == "POST" else None
                answer = browser.client.open(address, method=method, data=data)
                is_kept_out = answer.location == "/account/security"
            if not is_kept_out:
                passed.append(f"{method} {rule.rule}: {answer.status_code}")

    assert passed == []
    assert "This site asks administrators for codes" in browser.get("/account/security").text
    for address in ("/account", "/account/contact", "/account/delete", "/confirm-identity"):
        browser.get(address)
    own_house.cast["owner"].get("/analyses")
    turn_codes_on(services, admin, clock)
    browser.get("/admin")
    assert script.call("GET", "/modalities").status_code == 200


# --- what is refused ------------------------------------------------------------------------


def test_who_is_refused_which_page_is_recorded_once_a_minute(
    own_house: House, services: Services, clock: MovableClock
) -> None:
    def recorded() -> list[str]:
        found = services.audit.page(EventFilter(action="access.refused"), limit=9)
        assert {event.actor_id for event in found} == {owner.id}
        return [event.subject for event in reversed(found)]

    (owner,) = (user for user in services.accounts.list_users() if user.username == "owner")
    client = own_house.cast["owner"].client
    for _ in range(3):
        assert client.get("/admin").status_code == 403
    assert client.get(f"/admin/users/{owner.id}").status_code == 403
    script = script_of(own_house.app, owner, scopes={Scope.READ})
    assert script.call("DELETE", f"/analyses/{own_house.analysis_id}").status_code == 403

    assert recorded() == ["admin.overview", "admin.user", "api.delete"]
    clock.move(minutes=1)
    client.get("/admin")
    assert len(recorded()) == 4

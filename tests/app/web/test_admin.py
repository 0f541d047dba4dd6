"""The pages of administrators: users and detectors."""

from pathlib import Path
from uuid import UUID, uuid4

import pytest

from app.engine.engine import InProcessEngine
from app.records import Role, User
from app.services.container import Services
from tests.app.web.conftest import CAST, Browser, MakeApp, browser_on, make_user
from tests.factories import publish_tiny_gate, publish_tiny_weights


def ada_of(services: Services) -> User:
    return next(user for user in services.accounts.list_users() if user.username == "ada")


@pytest.mark.parametrize(
    "path",
    ["/admin"]
    + [
        f"/admin/{name}"
        for name in (
            "users",
            "invitations",
            "detectors",
            "calibration",
            "usage",
            "audit",
            "audit/export",
            "storage",
            "health",
            "settings",
        )
    ],
)
@pytest.mark.parametrize(
    ("actor", "status"), list(zip(CAST, (403, 403, 200, 302, 302), strict=True)), indirect=["actor"]
)
def test_the_pages_are_for_administrators(actor: Browser, status: int, path: str) -> None:
    assert actor.client.get(path).status_code == status


@pytest.mark.parametrize("action", ["activate", "deactivate", "role", "delete"])
@pytest.mark.parametrize(
    ("actor", "status"),
    list(zip(("owner", "stranger", "deactivated", "anonymous"), (403, 403, 302, 302), strict=True)),
    indirect=["actor"],
)
def test_only_administrators_change_accounts(
    actor: Browser, status: int, action: str, services: Services, alice: User
) -> None:
    response = actor.send(f"/admin/users/{alice.id}/{action}", {"role": "admin"})

    assert response.status_code == status
    assert services.accounts.find(alice.id) == alice


def test_all_users_are_listed(admin: Browser, alice: User) -> None:
    text = admin.get("/admin/users").text

    assert "2 accounts" in text
    assert "ada (you)" in text
    assert "alice@hospital.org" in text


def test_a_user_is_deactivated_and_activated(
    admin: Browser, alice: User, owner: Browser, services: Services
) -> None:
    page = admin.follow(admin.send(f"/admin/users/{alice.id}/deactivate"))
    assert "alice is deactivated and signed out." in page.text
    assert not owner.is_signed_in

    page = admin.follow(admin.send(f"/admin/users/{alice.id}/activate"))
    assert "alice can sign in now." in page.text
    assert owner.sign_in("alice").status_code == 303


def test_a_role_is_given_and_taken(admin: Browser, alice: User, owner: Browser) -> None:
    admin.send(f"/admin/users/{alice.id}/role", {"role": "admin"})
    assert owner.client.get("/admin/users").status_code == 200

    admin.send(f"/admin/users/{alice.id}/role", {"role": "clinician"})
    assert owner.client.get("/admin/users").status_code == 403


@pytest.mark.parametrize("role", ["", "owner", "ADMIN"])
def test_an_unknown_role_is_not_given(
    admin: Browser, alice: User, services: Services, role: str
) -> None:
    page = admin.follow(admin.send(f"/admin/users/{alice.id}/role", {"role": role}))

    assert "Choose clinician, reviewer or administrator." in page.text
    assert services.accounts.find(alice.id) == alice


def test_deleting_asks_first_and_then_removes_everything(
    admin: Browser, owner: Browser, alice: User, services: Services
) -> None:
    analysis_id = owner.analyse()
    assert "Delete alice?" in admin.get(f"/admin/users/{alice.id}/delete").text

    page = admin.follow(admin.send(f"/admin/users/{alice.id}/delete"))

    assert "alice and all their scans are deleted." in page.text
    assert services.accounts.find(alice.id) is None
    assert admin.client.get(f"/analyses/{analysis_id}").status_code == 404


@pytest.mark.parametrize(
    ("action", "data"), [("deactivate", {}), ("role", {"role": "clinician"}), ("delete", {})]
)
def test_the_last_administrator_stays(
    admin: Browser, services: Services, action: str, data: dict[str, str]
) -> None:
    ada = ada_of(services)

    page = admin.follow(admin.send(f"/admin/users/{ada.id}/{action}", data))

    assert "This is the last active administrator" in page.text
    assert services.accounts.find(ada.id) == ada


def test_one_of_two_administrators_may_go(admin: Browser, services: Services) -> None:
    make_user(services, "bea", Role.ADMIN)

    admin.send(f"/admin/users/{ada_of(services).id}/deactivate")

    assert not admin.is_signed_in


@pytest.mark.parametrize("action", ["activate", "deactivate", "role", "delete"])
def test_an_unknown_user_is_not_found(admin: Browser, action: str) -> None:
    unknown: UUID = uuid4()

    assert admin.send(f"/admin/users/{unknown}/{action}", {"role": "admin"}).status_code == 404


def test_the_card_of_each_detector_is_shown(admin: Browser, services: Services) -> None:
    card = services.analyses.modalities()["lung_ct"].card
    assert card

    text = admin.get("/admin/detectors").text

    assert card.sha256 in text
    assert "Area under the ROC curve 0.930 0.900 to 0.960" in text
    assert "Whole scans drawn by a DCGAN 0.970" in text
    assert "Synthetic train 120 12 our own" in text
    assert card.intended_use in text


def test_a_detector_without_a_gate_says_how_to_make_one(admin: Browser) -> None:
    text = admin.get("/admin/detectors").text

    assert "No gate is published for this detector." in text
    assert "python -m training gate" in text


def test_the_card_of_a_gate_is_shown(make_app: MakeApp, tmp_path: Path) -> None:
    publish_tiny_weights(tmp_path, "lung_ct")
    card = publish_tiny_gate(tmp_path, "lung_ct", lets_pass=True)
    app = make_app(InProcessEngine(tmp_path, max_queue=4, max_batch=1, device="cpu"))

    text = browser_on(app, "ada", Role.ADMIN).get("/admin/detectors").text

    assert card.sha256[:12] in text
    assert "Authentic scans 0.004 0.000 to 0.010" in text
    assert "Photographs 0.990 0.980 to 1.000" in text
    assert card.limits[0] in text


def test_a_damaged_gate_keeps_its_modality_from_serving(make_app: MakeApp, tmp_path: Path) -> None:
    publish_tiny_weights(tmp_path, "lung_ct")
    publish_tiny_gate(tmp_path, "lung_ct", lets_pass=True)
    (tmp_path / "lung_ct" / "gate.safetensors").write_bytes(b"damaged")
    app = make_app(InProcessEngine(tmp_path, max_queue=4, max_batch=1, device="cpu"))

    text = browser_on(app, "ada", Role.ADMIN).get("/admin/detectors").text

    assert "Lung CT Not available" in text
    assert "'gate' are refused" in text


def test_a_detector_that_does_not_serve_shows_the_reason(make_app: MakeApp, tmp_path: Path) -> None:
    publish_tiny_weights(tmp_path, "lung_ct")
    (tmp_path / "lung_ct" / "tiny.safetensors").write_bytes(b"damaged")
    app = make_app(InProcessEngine(tmp_path, max_queue=4, max_batch=1, device="cpu"))
    text = browser_on(app, "ada", Role.ADMIN).get("/admin/detectors").text

    assert "Lung CT Not available" in text
    assert "SHA-256 is not the card" in text


def test_only_administrators_have_their_pages_in_the_navigation(
    admin: Browser, stranger: Browser
) -> None:
    assert "/admin" in admin.get("/").links
    assert "/admin" not in stranger.get("/").links

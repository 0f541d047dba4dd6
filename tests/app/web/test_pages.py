"""The first page, for strangers and for users."""

from app.detection.spec import modalities
from app.engine.engine import InProcessEngine
from tests.app.web.conftest import Browser, MakeApp, browser_on


def test_a_stranger_reads_what_this_is_and_finds_the_way_in(anonymous: Browser) -> None:
    page = anonymous.get("/")

    assert "Is this scan authentic?" in page.text
    assert {"/register", "/sign-in"} <= set(page.links)


def test_a_stranger_sees_every_modality(anonymous: Browser) -> None:
    text = anonymous.get("/").text

    assert all(spec.title in text for spec in modalities().values())


def test_a_user_is_offered_the_modalities_that_serve(owner: Browser) -> None:
    links = owner.get("/").links

    assert {f"/analyses/new?modality={key}" for key in modalities()} <= set(links)


def test_a_modality_without_weights_is_shown_with_the_reason_and_leads_nowhere(
    make_app: MakeApp, lung_engine: InProcessEngine
) -> None:
    page = browser_on(make_app(lung_engine)).get("/")

    assert "/analyses/new?modality=lung_ct" in page.links
    assert "/analyses/new?modality=knee_xray" not in page.links
    assert "Not available. No weights are published" in page.text


def test_the_latest_five_analyses_are_on_the_overview(owner: Browser) -> None:
    assert "No scans yet" in owner.get("/").text
    ids = [owner.analyse() for _ in range(6)]

    links = owner.get("/").links

    assert [f"/analyses/{analysis_id}" in links for analysis_id in ids] == [False] + [True] * 5


def test_the_present_page_is_marked_in_the_navigation(owner: Browser) -> None:
    current = [a["href"] for a in owner.get("/analyses").all("a") if a.get("aria-current")]

    assert current == ["/analyses"]


def test_the_chosen_colours_are_remembered(anonymous: Browser) -> None:
    def media() -> str | None:
        links = anonymous.get("/").all("link")
        return next(a["media"] for a in links if a.get("id") == "dark-colours")

    assert media() == "(prefers-color-scheme: dark)"
    anonymous.client.set_cookie("veriscan-theme", "dark")
    assert media() == "all"
    anonymous.client.set_cookie("veriscan-theme", "light")
    assert media() == "not all"
    anonymous.client.set_cookie("veriscan-theme", '"><script>')
    assert media() == "(prefers-color-scheme: dark)"


def test_everybody_can_skip_to_the_content(anonymous: Browser) -> None:
    page = anonymous.get("/")

    assert page.links[0] == "#main"
    assert page.all("main")[0]["id"] == "main"

"""The page of an analysis: waiting, failed, or with its verdict."""

from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import pytest
from flask import Flask

from app.detection.card import Estimate, Slice
from app.detection.labels import Verdict
from app.detection.verdict import StabilityFinding
from app.engine.engine import InProcessEngine
from app.records import Role
from app.services.container import Services
from tests.app.web.conftest import Browser, MakeApp, browser_on
from tests.dicom_files import PATIENT
from tests.factories import (
    dicom_bytes,
    make_grey,
    operating_point_for,
    png_bytes,
    publish_tiny_gate,
    publish_tiny_weights,
    truncated,
)

# --- waiting --------------------------------------------------------------------------------


def test_a_verdict_that_takes_long_shows_a_page_that_renews_itself(
    make_app: MakeApp, blocked: Event
) -> None:
    app = make_app(verdict_wait_s=0)
    browser = browser_on(app)
    analysis_id = browser.analyse()

    page = browser.get(f"/analyses/{analysis_id}")
    (poll_url,) = [a["data-poll-url"] for a in page.all("div") if "data-poll-url" in a]
    states = browser.client.get(poll_url).json
    assert "Still running" in page.title
    assert '<noscript><meta http-equiv="refresh"' in page.html
    assert states
    assert states["is_final"] is False
    assert [part["key"] for part in states["parts"]] == [str(analysis_id)]
    assert browser.client.get(f"/analyses/{analysis_id}/heatmap").status_code == 404
    assert "Running" in browser.get("/analyses").text

    blocked.set()
    app.extensions["veriscan"].analyses.wait(analysis_id, 10)
    assert "How sure is that?" in browser.get(f"/analyses/{analysis_id}").text


def test_an_analysis_that_fails_says_so_and_gives_no_verdict(
    owner: Browser, engine: InProcessEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*batch: Any) -> None:
        raise RuntimeError("the network is broken")

    monkeypatch.setattr(engine, "_judge", fail)

    page = owner.follow(owner.upload())

    assert "This analysis failed" in page.text
    assert "The analysis failed inside the detector." in page.text
    assert "broken" not in page.text
    assert "There is no verdict" in page.text


# --- the verdict ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("verdict", "sentence"),
    [
        (Verdict.REAL, "This lung CT slice appears authentic."),
        (Verdict.FAKE, "This lung CT slice appears to be a deepfake."),
        (Verdict.INCONCLUSIVE, "Inconclusive: the detector cannot tell whether this lung CT"),
    ],
)
def test_each_verdict_is_a_sentence(
    make_app: MakeApp, tmp_path: Path, verdict: Verdict, sentence: str
) -> None:
    publish_tiny_weights(
        tmp_path / "weights", "lung_ct", operating_point=operating_point_for(verdict)
    )
    engine = InProcessEngine(tmp_path / "weights", max_queue=4, max_batch=1, device="cpu")
    browser = browser_on(make_app(engine))

    page = browser.follow(browser.upload())

    assert sentence in page.text
    assert "Research use only. Not a medical device." in page.text
    for word in ("diagnosis", "verified"):
        assert word not in page.text.lower()


def test_the_verdict_names_its_weights_and_how_good_they_are(
    owner: Browser, services: Services
) -> None:
    card = services.analyses.modalities()["lung_ct"].card
    assert card

    page = owner.follow(owner.upload())

    assert card.name in page.text
    assert card.sha256[:12] in page.text
    assert "about 4 of 100 authentic scans are called fake 95 % interval 2 to 8" in page.text
    assert "about 9 of 100 scans stay inconclusive 95 % interval 6 to 12" in page.text
    assert "Whole scans drawn by a DCGAN 0.970 0.940 to 0.990" in page.text
    assert card.limits[0] in page.text


@pytest.mark.parametrize(
    ("verdict", "part"), [(Verdict.FAKE, "How sure is that?"), (Verdict.REAL, "How often does")]
)
def test_what_an_alarm_is_worth_is_said_once_and_of_an_alarm_at_the_top(
    make_app: MakeApp, tmp_path: Path, verdict: Verdict, part: str
) -> None:
    found = Slice(
        kind="generator",
        name="classical_edits",
        wrong=Estimate(value=0.1),
        undecided=Estimate(value=0.1),
    )
    publish_tiny_weights(
        tmp_path,
        "lung_ct",
        operating_point=operating_point_for(verdict),
        slices=(found,),
        metrics={"false_alarm_rate": Estimate(value=0.01)},
        limits=("Of classical_edits it misses many.",),
    )
    engine = InProcessEngine(tmp_path, max_queue=4, max_batch=1, device="cpu")
    browser = browser_on(make_app(engine))

    text = browser.follow(browser.upload()).text

    worth = "Where 1 scan in 1,000 is forged, about 7 of 100 “deepfake” verdicts would be right"
    heads = ("How sure is that?", "Does the verdict hold?", "How often does", "Where it errs most")
    before, after = text.split(worth)
    assert [head for head in heads if head in before][-1] == part
    assert "Of photo-editor edits it misses many." in after
    assert "classical_edits" not in text


@pytest.mark.parametrize(
    ("verdict", "told"),
    [
        (Verdict.FAKE, "In about 94 of 100 tests with edited scans that were called fake"),
        (Verdict.INCONCLUSIVE, "So do not take it for a finding."),
        (Verdict.REAL, ""),
    ],
)
def test_the_heatmap_comes_with_how_far_to_trust_it(
    make_app: MakeApp, tmp_path: Path, verdict: Verdict, told: str
) -> None:
    publish_tiny_weights(
        tmp_path,
        "lung_ct",
        operating_point=operating_point_for(verdict),
        metrics={
            "pointing_called_fake": Estimate(value=0.94),
            "pointing_inconclusive": Estimate(value=0.26),
        },
    )
    engine = InProcessEngine(tmp_path, max_queue=4, max_batch=1, device="cpu")
    browser = browser_on(make_app(engine))

    text = browser.follow(browser.upload()).text

    assert told in text
    assert ("the strongest colour lay on the edit" in text) == bool(told)


def test_a_verdict_of_weights_that_were_replaced_says_so(
    owner: Browser, tmp_path: Path, make_app: MakeApp
) -> None:
    analysis_id = owner.analyse()
    publish_tiny_weights(tmp_path / "weights", "lung_ct", seed=99)
    newer = InProcessEngine(tmp_path / "weights", max_queue=4, max_batch=1, device="cpu")

    later = Browser(make_app(newer).test_client())
    later.sign_in("alice")

    page = later.get(f"/analyses/{analysis_id}")

    assert "no longer serve" in page.text
    assert "about 4" not in page.text


def test_a_file_that_declares_itself_synthetic_is_called_so_once(owner: Browser) -> None:
    page = owner.follow(owner.upload(dicom_bytes(SyntheticData="YES")))

    assert page.text.count("Synthetic Data (0008,001C)") == 1
    assert "declares" not in page.text


def test_writing_in_the_picture_is_warned_about(owner: Browser) -> None:
    plain = owner.follow(owner.upload(dicom_bytes()))
    written = owner.follow(owner.upload(dicom_bytes(BurnedInAnnotation="YES")))

    assert "There may be text in the image itself." in written.text
    assert "There may be text in the image itself." not in plain.text


def test_a_ct_slice_is_shown_in_hounsfield_units_other_images_in_greys(owner: Browser) -> None:
    slice_, picture = owner.follow(owner.upload(dicom_bytes())), owner.follow(owner.upload())

    (stage,) = (a for a in slice_.all("section") if "data-viewer" in a)
    assert (stage["data-black"], stage["data-white"]) == ("-1350.0", "150.0")
    assert "−1350 HU to 150 HU" in slice_.text
    (stage,) = (a for a in picture.all("section") if "data-viewer" in a)
    assert "data-black" not in stage
    assert "HU" not in picture.text


def test_an_administrator_sees_whose_scan_it_is(owner: Browser, admin: Browser) -> None:
    path = f"/analyses/{owner.analyse()}"

    assert "This analysis belongs to alice." in admin.get(path).text
    assert "belongs to" not in owner.get(path).text


def test_the_page_is_light_and_shows_the_scan_without_scripts(owner: Browser) -> None:
    analysis_id = owner.analyse()

    page = owner.get(f"/analyses/{analysis_id}")

    assert len(page.html) < 40_000
    fallback = page.html.split("<noscript>", 1)[1].split("</noscript>", 1)[0]
    assert f"/analyses/{analysis_id}/image" in fallback
    assert f"/analyses/{analysis_id}/heatmap" in fallback


def test_no_header_of_a_file_is_shown_stored_or_logged(
    owner: Browser, services: Services, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    page = owner.follow(owner.upload(dicom_bytes()))
    owner.upload(truncated(dicom_bytes()))

    stored = b"".join(
        path.read_bytes() for path in services.settings.data_dir.rglob("*") if path.is_file()
    )
    for value in PATIENT.values():
        assert value not in page.html
        assert value not in caplog.text
        assert value.encode() not in stored


def test_the_name_of_a_file_is_shown_to_its_sender_alone_and_never_logged(
    owner: Browser, admin: Browser, caplog: pytest.LogCaptureFixture
) -> None:
    name = "Sentinel_Patience_4711.dcm"
    caplog.set_level("DEBUG")
    verdict = owner.upload(dicom_bytes(), name=name).location
    owner.upload(truncated(dicom_bytes()), name=name)

    assert name in owner.get("/analyses").html
    for path in (verdict, "/analyses", "/admin", "/admin/audit"):
        assert name not in admin.get(path).html
    assert name not in caplog.text


def test_the_scan_its_thumbnail_and_the_heatmap_are_pictures_of_it(owner: Browser) -> None:
    analysis_id = owner.analyse(png_bytes(make_grey(120, 90)))

    sizes = {"image": [120, 90], "heatmap": [120, 90], "thumbnail": [112, 84]}
    for picture, size in sizes.items():
        response = owner.client.get(f"/analyses/{analysis_id}/{picture}")
        assert response.mimetype == "image/png"
        assert response.headers["Cache-Control"] == "no-store"
        assert np.frombuffer(response.data[16:24], ">u4").tolist() == size


# --- what is not judged ---------------------------------------------------------------------


@pytest.fixture
def strict_engine(tmp_path: Path) -> InProcessEngine:
    """An engine whose gate stops everything, before a detector that calls everything fake."""
    weights = tmp_path / "strict"
    publish_tiny_weights(weights, "lung_ct", operating_point=operating_point_for(Verdict.FAKE))
    publish_tiny_gate(weights, "lung_ct", lets_pass=False)
    return InProcessEngine(weights, max_queue=4, max_batch=1, device="cpu")


@pytest.fixture
def strict_app(make_app: MakeApp, strict_engine: InProcessEngine) -> Flask:
    return make_app(strict_engine)


def test_what_does_not_look_like_its_kind_is_not_judged(strict_app: Flask) -> None:
    browser = browser_on(strict_app)
    analysis_id = browser.analyse()

    page = browser.get(f"/analyses/{analysis_id}")

    assert "could not be judged" in page.text
    assert "This does not look like a lung CT slice." in page.text
    assert "How sure is that?" not in page.text
    assert "Heatmap" not in page.text
    assert browser.client.get(f"/analyses/{analysis_id}/heatmap").status_code == 404
    assert "Not judged" in browser.get("/analyses").text


def test_its_owner_can_have_it_judged_anyway_and_that_stays_on_record(strict_app: Flask) -> None:
    browser = browser_on(strict_app)
    analysis_id = browser.analyse()

    page = browser.follow(browser.send(f"/analyses/{analysis_id}/judge-anyway", {"sure": "yes"}))

    assert "appears to be a deepfake" in page.text
    assert "It was judged because its sender asked for that" in page.text
    assert "judged at its sender's request" in page.text
    assert "Judge it anyway" not in page.text
    assert browser.client.get(f"/analyses/{analysis_id}/heatmap").status_code == 200
    stored = strict_app.extensions["veriscan"].analyses._store.get(analysis_id)
    assert stored.override_gate
    assert stored.finding.gate.is_overridden


def test_without_the_tick_nothing_is_judged(strict_app: Flask) -> None:
    browser = browser_on(strict_app)
    analysis_id = browser.analyse()

    page = browser.follow(browser.send(f"/analyses/{analysis_id}/judge-anyway"))

    assert "Tick the box first" in page.text
    assert "could not be judged" in page.text


def test_asking_twice_judges_once(strict_app: Flask) -> None:
    browser = browser_on(strict_app)
    path = f"/analyses/{browser.analyse()}/judge-anyway"
    browser.send(path, {"sure": "yes"})

    page = browser.follow(browser.send(path, {"sure": "yes"}))

    assert "appears to be a deepfake" in page.text


def test_a_scan_that_has_its_verdict_is_not_judged_again(owner: Browser) -> None:
    analysis_id = owner.analyse()
    before = owner.get(f"/analyses/{analysis_id}").text

    page = owner.follow(owner.send(f"/analyses/{analysis_id}/judge-anyway", {"sure": "yes"}))

    assert page.text == before


@pytest.mark.parametrize(
    ("name", "status"), [("charlie", 404), ("ada", 404), ("dan", 302), (None, 302)]
)
def test_nobody_but_the_owner_can_have_it_judged_anyway(
    strict_app: Flask, name: str | None, status: int
) -> None:
    analysis_id = browser_on(strict_app).analyse()
    services: Services = strict_app.extensions["veriscan"]
    somebody = Browser(strict_app.test_client())
    if name is not None:
        role = Role.ADMIN if name == "ada" else Role.CLINICIAN
        somebody = browser_on(strict_app, name, role)
    if name == "dan":
        (dan,) = [user for user in services.accounts.list_users() if user.username == "dan"]
        services.accounts.set_active(dan.id, active=False)

    response = somebody.send(f"/analyses/{analysis_id}/judge-anyway", {"sure": "yes"})

    assert response.status_code == status
    assert services.analyses._store.get(analysis_id).is_not_judged


def test_an_administrator_sees_that_it_was_not_judged_but_no_button(strict_app: Flask) -> None:
    analysis_id = browser_on(strict_app).analyse()
    admin = browser_on(strict_app, "ada", Role.ADMIN)

    page = admin.get(f"/analyses/{analysis_id}")

    assert "could not be judged" in page.text
    assert "Judge it anyway" not in page.text


# --- stability ------------------------------------------------------------------------------


def test_a_verdict_says_that_it_held_for_variants(
    make_app: MakeApp, strict_engine: InProcessEngine, tmp_path: Path
) -> None:
    publish_tiny_gate(tmp_path / "strict", "lung_ct", lets_pass=True)
    browser = browser_on(make_app(strict_engine))

    page = browser.follow(browser.upload())

    assert "The verdict held for" in page.text
    assert "Looks like a lung CT slice (likeness" in page.text


def test_a_detector_without_a_gate_says_so(owner: Browser) -> None:
    page = owner.follow(owner.upload())

    assert "Not checked: there is no gate" in page.text


def test_a_verdict_that_did_not_hold_says_so(owner: Browser, services: Services) -> None:
    analysis_id = owner.analyse()
    store = services.analyses._store
    analysis = store.get(analysis_id)
    assert analysis.finding is not None
    shaken = StabilityFinding(probabilities={"mirrored": 0.2, "shifted": 0.9}, is_stable=False)
    finding = replace(
        analysis.finding, verdict=Verdict.INCONCLUSIVE, probability_fake=0.95, stability=shaken
    )
    store.update(replace(analysis, finding=finding))

    page = owner.get(f"/analyses/{analysis_id}")

    assert "Inconclusive" in page.text
    assert "Not at all: this score alone" in page.text
    assert "The verdict did not hold" in page.text

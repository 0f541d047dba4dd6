import io
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import numpy as np
import pytest
from PIL import Image

from app.config import Settings
from app.detection.decoding import decode
from app.detection.labels import Verdict
from app.detection.spec import modality
from app.engine.engine import InProcessEngine
from app.errors import (
    ModalityUnavailableError,
    NotFoundError,
    QueueFullError,
    StorageError,
    UnknownModalityError,
    UnsupportedFormatError,
    UploadError,
    VeriscanError,
)
from app.records import Analysis, AnalysisStatus, EventFilter, Role
from app.services.accounts.passwords import PasswordService
from app.services.analyses.analyses import AnalysisService
from app.services.analyses.receiving import judge_without_keeping
from app.services.container import Services
from tests.app.services.analyses.test_judging import eventually
from tests.app.services.conftest import OWNER, HeldEngine, services_of_owner
from tests.dicom_files import PATIENT
from tests.factories import (
    dicom_bytes,
    make_grey,
    operating_point_for,
    png16_bytes,
    png_bytes,
    publish_tiny_weights,
)
from tests.people import person

DEADLINE_S = 30.0


def judged(service: AnalysisService, data: bytes, key: str = "lung_ct") -> Analysis:
    return service.wait(service.submit(OWNER, key, data).id, DEADLINE_S)


def files_in(data_dir: Path) -> list[str]:
    return sorted(path.name for path in (data_dir / "images").rglob("*") if path.is_file())


# --- taking a scan in -------------------------------------------------------------------------


def test_a_scan_is_judged_and_everything_about_it_is_kept(analyses: AnalysisService) -> None:
    submitted = analyses.submit(OWNER, "lung_ct", png_bytes())
    analysis = analyses.wait(submitted.id, DEADLINE_S)

    assert submitted.status is AnalysisStatus.QUEUED
    assert analysis.status is AnalysisStatus.DONE
    assert analysis.user_id == OWNER.id
    assert (analysis.modality, analysis.image_format) == ("lung_ct", "PNG")
    assert (analysis.width, analysis.height) == (96, 80)
    assert analysis.finding is not None
    assert analysis.finding.weights_name == "tiny"
    assert analysis.finding.probability_fake is not None
    assert 0 <= analysis.finding.probability_fake <= 1
    assert analysis.finished is not None
    assert analysis.finished >= analysis.created
    assert analyses.get(OWNER, analysis.id) == analysis


@pytest.mark.parametrize("key", ["lung_ct", "knee_xray"])
@pytest.mark.parametrize("data", [png_bytes(), png16_bytes(), dicom_bytes()])
def test_what_is_judged_is_what_is_kept(held: Services, key: str, data: bytes) -> None:
    analysis = held.analyses.submit(OWNER, key, data)

    assert isinstance(held.engine, HeldEngine)
    _, seen_by_the_engine, *_ = held.engine.held[0]
    kept = decode(held.analyses.scan_png(OWNER, analysis.id), modality(key)).grey
    assert seen_by_the_engine.dtype == np.float32
    assert np.array_equal(seen_by_the_engine, kept)


def test_the_finding_is_that_of_the_file_itself(
    analyses: AnalysisService, engine: InProcessEngine
) -> None:
    kept = judged(analyses, png16_bytes()).finding
    direct = engine.submit("lung_ct", decode(png16_bytes(), modality("lung_ct")).grey).result()

    assert kept is not None
    assert kept.probability_fake == pytest.approx(direct.finding.probability_fake, abs=1e-6)


def test_nothing_of_a_dicom_header_is_stored(settings: Settings, analyses: AnalysisService) -> None:
    judged(analyses, dicom_bytes())

    stored = [path.read_bytes() for path in settings.data_dir.rglob("*") if path.is_file()]
    assert len(stored) > 3
    for secret in PATIENT.values():
        assert not any(secret.encode() in content for content in stored)


def test_what_declares_itself_synthetic_says_so_among_the_reasons(
    analyses: AnalysisService,
) -> None:
    declared = judged(analyses, dicom_bytes(SyntheticData="YES"))
    silent = judged(analyses, dicom_bytes())

    assert declared.declared_synthetic
    assert declared.finding is not None
    assert "declares that it holds synthetic data" in declared.finding.reasons[-1]
    assert silent.finding is not None
    assert declared.finding.reasons[:-1] == silent.finding.reasons


@pytest.mark.parametrize(
    ("key", "data", "error"),
    [
        ("lung_ct", b"", UploadError),
        ("lung_ct", b"just a text", UnsupportedFormatError),
        ("lung_ct", png_bytes()[:200], UploadError),
        ("lung_ct", png_bytes(make_grey(20, 20)), UploadError),
        ("brain_mri", png_bytes(), UnknownModalityError),
        ("../lung_ct", png_bytes(), UnknownModalityError),
    ],
)
def test_what_is_refused_leaves_nothing_behind(
    settings: Settings,
    analyses: AnalysisService,
    key: str,
    data: bytes,
    error: type[VeriscanError],
) -> None:
    with pytest.raises(error):
        analyses.submit(OWNER, key, data)

    assert analyses.history(OWNER).total == 0
    assert files_in(settings.data_dir) == []


def test_the_limits_of_the_settings_hold(
    tmp_path: Path, engine: InProcessEngine, passwords: PasswordService
) -> None:
    tight = Settings(data_dir=tmp_path / "data", max_upload_bytes=2**20, max_pixels=5000)
    services = services_of_owner(tight, engine, passwords)

    with pytest.raises(UploadError, match="1 MB"):
        services.analyses.submit(OWNER, "lung_ct", bytes(2**20 + 1))
    with pytest.raises(UploadError, match="96 × 80"):
        services.analyses.submit(OWNER, "lung_ct", png_bytes())
    services.stop()


def test_a_modality_without_weights_is_unavailable(
    tmp_path: Path, passwords: PasswordService
) -> None:
    publish_tiny_weights(tmp_path / "weights", "lung_ct")
    engine = InProcessEngine(tmp_path / "weights", max_queue=4, max_batch=1, device="cpu")
    services = services_of_owner(Settings(data_dir=tmp_path / "data"), engine, passwords)
    services.start()

    assert services.analyses.modalities()["lung_ct"].is_available
    assert not services.analyses.modalities()["knee_xray"].is_available
    with pytest.raises(ModalityUnavailableError, match=r"Knee X-ray.*published"):
        services.analyses.submit(OWNER, "knee_xray", png_bytes())
    assert services.analyses.history(OWNER).total == 0
    services.stop()


def test_a_submitted_scan_takes_one_place_while_it_is_still_being_recorded(
    settings: Settings,
    engine: InProcessEngine,
    passwords: PasswordService,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    services = services_of_owner(settings, HeldEngine(engine, capacity=2), passwords)
    recorded = []

    def record(event: str, **_fields: object) -> None:
        services.analyses.check_room()
        recorded.append(event)

    monkeypatch.setattr(services.audit, "record", record)

    services.analyses.submit(OWNER, "lung_ct", png_bytes())

    assert recorded == ["analysis.submitted"]
    services.stop()


def test_a_full_queue_leaves_nothing_behind(
    settings: Settings, engine: InProcessEngine, passwords: PasswordService
) -> None:
    services = services_of_owner(settings, HeldEngine(engine, capacity=1), passwords)
    first = services.analyses.submit(OWNER, "lung_ct", png_bytes())

    with pytest.raises(QueueFullError, match="7 seconds"):
        services.analyses.submit(OWNER, "lung_ct", png_bytes())

    assert [a.id for a in services.analyses.history(OWNER).analyses] == [first.id]
    assert files_in(settings.data_dir) == [f"{first.id.hex}.{p}.png" for p in ("scan", "thumbnail")]
    services.stop()


def test_a_scan_that_cannot_be_stored_leaves_nothing_behind(
    settings: Settings, analyses: AnalysisService, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("os.replace", fail)
        with pytest.raises(StorageError, match="No space left"):
            analyses.submit(OWNER, "lung_ct", png_bytes())

    assert analyses.history(OWNER).total == 0
    assert files_in(settings.data_dir) == []


def test_a_refused_scan_that_cannot_be_taken_back_ends_without_another_coming_in(
    analyses: AnalysisService, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(30, "Read-only file system")

    with monkeypatch.context() as patch:
        patch.setattr("os.replace", fail)
        patch.setattr("os.unlink", fail)
        with pytest.raises(StorageError, match="Read-only"):
            analyses.submit(OWNER, "lung_ct", png_bytes())
    [left] = analyses.history(OWNER).analyses

    assert eventually(lambda: analyses.get(OWNER, left.id).status is AnalysisStatus.FAILED)
    assert "no longer stored" in (analyses.get(OWNER, left.id).error or "")


def test_many_at_once_are_all_judged(analyses: AnalysisService) -> None:
    scans = [png_bytes(make_grey(seed=seed)) for seed in range(24)]

    with ThreadPoolExecutor(8) as pool:
        done = list(pool.map(lambda data: judged(analyses, data), scans))

    assert all(analysis.status is AnalysisStatus.DONE for analysis in done)
    assert analyses.history(OWNER).total == 24
    assert len({analysis.id for analysis in done}) == 24


# --- who may see it ---------------------------------------------------------------------------


def test_only_its_owner_and_an_admin_can_see_or_delete_an_analysis(
    settings: Settings, analyses: AnalysisService
) -> None:
    analysis = judged(analyses, png_bytes())
    stranger, admin = person(), person(Role.ADMIN)

    for see in (
        analyses.get,
        analyses.scan_png,
        analyses.thumbnail_png,
        analyses.heatmap_png,
        analyses.delete,
    ):
        with pytest.raises(NotFoundError) as refused:
            see(stranger, analysis.id)
        with pytest.raises(NotFoundError) as missing:
            see(stranger, uuid4())
        assert str(refused.value) == str(missing.value)
    assert analyses.history(stranger).total == 0

    for viewer in (OWNER, admin):
        assert analyses.get(viewer, analysis.id) == analysis
        assert analyses.scan_png(viewer, analysis.id).startswith(b"\x89PNG")
        assert analyses.thumbnail_png(viewer, analysis.id).startswith(b"\x89PNG")
        assert analyses.heatmap_png(viewer, analysis.id).startswith(b"\x89PNG")
    assert analyses.history(admin).total == 0
    analyses.delete(admin, analysis.id)
    assert analyses.history(OWNER).total == 0
    assert files_in(settings.data_dir) == []


def test_that_an_administrator_looks_at_anothers_scan_is_recorded(services: Services) -> None:
    analyses, admin = services.analyses, person(Role.ADMIN)
    analysis = judged(analyses, png_bytes())

    def views() -> int:
        wanted = EventFilter(action="analysis.viewed", actor_id=admin.id)
        return len(services.audit.page(wanted, limit=9))

    for look in (analyses.scan_png, analyses.thumbnail_png, analyses.heatmap_png):
        before = views()
        look(OWNER, analysis.id)
        assert views() == before
        look(admin, analysis.id)
        assert views() == before + 1
    analyses.visible(admin, [analysis.id])  # which tells the verdict
    assert views() == 4


def test_a_deleted_analysis_is_gone_for_good(settings: Settings, analyses: AnalysisService) -> None:
    gone, stays = judged(analyses, png_bytes()), judged(analyses, png_bytes())

    analyses.delete(OWNER, gone.id)

    assert [a.id for a in analyses.history(OWNER).analyses] == [stays.id]
    assert all(name.startswith(stays.id.hex) for name in files_in(settings.data_dir))
    for use in (analyses.get, analyses.scan_png, analyses.heatmap_png, analyses.delete):
        with pytest.raises(NotFoundError):
            use(OWNER, gone.id)


# --- finding it again -------------------------------------------------------------------------


def test_the_history_is_paged_newest_first(analyses: AnalysisService) -> None:
    submitted = [analyses.submit(OWNER, "lung_ct", png_bytes()).id for _ in range(5)]

    first, last = (analyses.history(OWNER, page=page, per_page=2) for page in (1, 3))

    assert [a.id for a in first.analyses] == [submitted[4], submitted[3]]
    assert [a.id for a in last.analyses] == [submitted[0]]
    assert (first.page, first.total, first.pages) == (1, 5, 3)


@pytest.mark.parametrize(("page", "shown"), [(0, 1), (-5, 1), (2, 2), (10**30, 10**30)])
def test_a_page_that_is_not_there_is_empty_or_the_first(
    analyses: AnalysisService, page: int, shown: int
) -> None:
    analysis = judged(analyses, png_bytes())

    history = analyses.history(OWNER, page=page)

    assert history.page == shown
    assert [a.id for a in history.analyses] == ([analysis.id] if shown == 1 else [])
    assert history.pages == 1


def test_without_any_analysis_there_is_one_empty_page(analyses: AnalysisService) -> None:
    history = analyses.history(OWNER)

    assert (history.analyses, history.total, history.pages) == ((), 0, 1)


@pytest.mark.parametrize(("verdict", "is_drawn"), [(Verdict.FAKE, True), (Verdict.REAL, False)])
def test_the_heatmap_is_drawn_where_there_is_evidence(
    tmp_path: Path, passwords: PasswordService, verdict: Verdict, is_drawn: bool
) -> None:
    publish_tiny_weights(
        tmp_path / "weights", "lung_ct", operating_point=operating_point_for(verdict)
    )
    engine = InProcessEngine(tmp_path / "weights", max_queue=4, max_batch=1, device="cpu")
    services = services_of_owner(Settings(data_dir=tmp_path / "data"), engine, passwords)
    services.start()
    analysis = judged(services.analyses, png_bytes())

    with Image.open(io.BytesIO(services.analyses.heatmap_png(OWNER, analysis.id))) as image:
        overlay = np.asarray(image.convert("RGBA"))

    assert overlay.shape == (80, 96, 4)
    assert overlay[..., 3].any() == is_drawn
    services.stop()


# --- without an account -----------------------------------------------------------------------


def test_a_scan_judged_for_nobody_gets_the_same_finding(
    settings: Settings, services: Services, engine: InProcessEngine
) -> None:
    kept = judged(services.analyses, dicom_bytes(SyntheticData="YES"))
    files = files_in(settings.data_dir)

    unkept = judge_without_keeping(
        engine, "lung_ct", dicom_bytes(SyntheticData="YES"), services.decoding
    )

    assert kept.finding is not None
    assert unkept.finding is not None
    assert unkept.finding.probability_fake == kept.finding.probability_fake
    assert unkept.finding.reasons == kept.finding.reasons
    assert files_in(settings.data_dir) == files


def test_deleting_the_analyses_of_one_user_leaves_those_of_others(
    services: Services, analyses: AnalysisService
) -> None:
    other = person()
    services.accounts._users.add(other)
    his = analyses.submit(other, "lung_ct", png_bytes())
    for _ in range(3):
        judged(analyses, png_bytes())

    analyses.removal.delete_of_user(OWNER.id)

    assert analyses.history(OWNER).total == 0
    assert [a.id for a in analyses.history(other).analyses] == [his.id]


def test_users_are_told_apart_by_id_alone(analyses: AnalysisService) -> None:
    analysis = judged(analyses, png_bytes())
    namesake = replace(OWNER, id=uuid4())

    with pytest.raises(NotFoundError):
        analyses.get(namesake, analysis.id)

"""Uploads: files of all kinds become analyses and studies; the bad ones are named."""

import io
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import numpy as np
import pytest

from app.config import Settings
from app.detection.labels import Verdict
from app.engine.engine import InProcessEngine
from app.errors import (
    ModalityUnavailableError,
    NotFoundError,
    TooManyFilesError,
    TooMuchToUnpackError,
    UnknownModalityError,
    UnsupportedFormatError,
)
from app.records import AnalysisStatus, FileState, Role, User
from app.services.accounts.passwords import PasswordService
from app.services.analyses.backlog import CPU_FEED
from app.services.container import Services, build_services
from app.services.uploads.files import clean_name
from app.services.uploads.progress import UploadProgress
from app.services.uploads.reader import MAX_JOBS, MAX_JOBS_OF_USER
from app.services.uploads.uploads import MAX_FILES, IncomingFile
from tests.app.services.conftest import HeldEngine
from tests.dicom_files import PATIENT
from tests.factories import (
    dicom_bytes,
    make_grey,
    png_bytes,
    series_files,
    tiff_bytes,
    zip_bytes,
)

DEADLINE_S = 60.0


def incoming(data: bytes, name: str = "scan.png") -> IncomingFile:
    return IncomingFile(name=name, stream=io.BytesIO(data))


def send(services: Services, user: User, *files: IncomingFile) -> UploadProgress:
    """Send files one by one and wait until all of them are finished."""
    uploads = services.intake.uploads
    upload = uploads.begin(user, "lung_ct")
    for file in files:
        uploads.add(user, upload.id, file)
    return finished(services, user, upload.id)


def finished(services: Services, user: User, upload_id: object) -> UploadProgress:
    found: list[UploadProgress] = []

    def look() -> bool:
        found.append(services.intake.uploads.progress(user, upload_id))  # type: ignore[arg-type]
        return found[-1].is_final

    assert eventually(look), found[-1]
    return found[-1]


def eventually(condition: Callable[[], bool]) -> bool:
    deadline_s = time.monotonic() + DEADLINE_S
    while not condition():
        if time.monotonic() > deadline_s:
            return False
        time.sleep(0.02)
    return True


def problems(progress: UploadProgress) -> dict[str, str]:
    return {line.name: line.problem for line in progress.lines if line.problem}


# --- what becomes of files ------------------------------------------------------------------


def test_one_bad_file_is_named_and_the_others_proceed(services: Services, alice: User) -> None:
    good = [incoming(png_bytes(make_grey(seed=n)), f"{n}.png") for n in range(3)]

    progress = send(services, alice, *good, incoming(b"Dear colleague", "letter.png"))

    assert problems(progress) == {"letter.png": str(UnsupportedFormatError())}
    done = [line for line in progress.lines if line.analysis]
    assert [line.name for line in done] == ["0.png", "1.png", "2.png"]
    assert all(line.analysis and line.analysis.finding for line in done)


def test_a_zipped_series_becomes_one_study_in_the_order_of_its_slices(
    services: Services, alice: User
) -> None:
    progress = send(services, alice, incoming(zip_bytes(series_files(7)), "CT of today.zip"))

    assert progress.only_line is not None
    assert progress.only_line.name == "CT of today.zip"
    summary = progress.only_line.study
    assert summary is not None
    assert (summary.total, summary.finished) == (7, 7)
    page = services.intake.studies.open(alice, summary.study.id)
    assert [found.number for found in page.slices] == list(range(1, 8))
    assert [found.position for found in page.slices] == [float(n) for n in range(7)]
    scores = [
        found.analysis.finding.probability_fake
        for found in page.most_suspicious_first
        if found.analysis.finding and found.analysis.finding.probability_fake is not None
    ]
    assert len(scores) == 7
    assert scores == sorted(scores, reverse=True)
    assert page.names[page.slices[0].analysis.id] == "CT/IM0000"


def test_the_slices_of_a_series_that_come_one_by_one_become_one_study(
    services: Services, alice: User
) -> None:
    files = series_files(3) | {"other": png_bytes()}

    progress = send(services, alice, *(incoming(data, name) for name, data in files.items()))

    study, single = progress.lines
    assert study.study is not None
    assert study.study.total == 3
    assert single.analysis is not None
    assert services.intake.studies.study_of(single.analysis.id) is None


def test_two_series_become_two_studies_and_a_lone_slice_an_analysis(
    services: Services, alice: User
) -> None:
    files = series_files(2, uid="1.2.3") | {
        f"b{name}": data for name, data in series_files(2, uid="1.2.4", grey=9).items()
    }
    files |= {"lone": dicom_bytes(make_grey(seed=77), SeriesInstanceUID="1.2.5")}

    progress = send(services, alice, incoming(zip_bytes(files), "all.zip"))

    assert [line.study.total if line.study else 1 for line in progress.lines] == [2, 2, 1]


@pytest.mark.parametrize(
    "data",
    [
        tiff_bytes(frames=3),
        dicom_bytes(np.stack([make_grey(seed=n) for n in range(3)])),
        zip_bytes({"cine": dicom_bytes(np.stack([make_grey(seed=n) for n in range(3)]))}),
    ],
    ids=["TIFF", "DICOM", "DICOM in a zip"],
)
def test_a_file_of_several_frames_becomes_one_study(
    services: Services, alice: User, data: bytes
) -> None:
    progress = send(services, alice, incoming(data, "cine"))

    assert progress.only_line is not None
    assert progress.only_line.study is not None
    page = services.intake.studies.open(alice, progress.only_line.study.study.id)
    assert [found.number for found in page.slices] == [1, 2, 3]


def test_members_of_an_archive_that_are_no_scans_are_named(services: Services, alice: User) -> None:
    files = {"good.png": png_bytes(), "report.txt": b"hello", "../up.png": png_bytes()}
    files |= {"more.zip": zip_bytes({"a.png": png_bytes()}), "empty.dcm": b""}

    progress = send(services, alice, incoming(zip_bytes(files), "mixed.zip"))

    assert set(problems(progress)) == {"report.txt", "../up.png", "more.zip", "empty.dcm"}
    assert "leads out of the archive" in problems(progress)["../up.png"]
    assert [line.name for line in progress.lines if line.analysis] == ["good.png"]


def test_a_damaged_archive_is_named(services: Services, alice: User) -> None:
    progress = send(services, alice, incoming(b"PK\x03\x04" + bytes(90), "cut.zip"))

    assert "damaged or incomplete" in problems(progress)["cut.zip"]


def test_several_files_can_be_handed_over_at_once(services: Services, alice: User) -> None:
    uploads = services.intake.uploads
    upload = uploads.begin(alice, "lung_ct")
    files = [incoming(data, name) for name, data in series_files(3).items()]

    uploads.add_later(alice, upload.id, [*files, incoming(b"?", "bad")])

    progress = finished(services, alice, upload.id)
    assert list(problems(progress)) == ["bad"]
    assert [line.study.total for line in progress.lines if line.study] == [3]
    assert all(file.stream.closed for file in files)


def test_nothing_that_was_sent_is_kept_as_it_was(services: Services, alice: User) -> None:
    files = series_files(2) | {"../../escaped.dcm": dicom_bytes()}

    send(services, alice, incoming(zip_bytes(files), "a.zip"))
    services.stop()  # so that no file comes and goes while they are read

    data_dir = services.settings.data_dir
    stored = [path for path in data_dir.rglob("*") if path.is_file()]
    for secret in PATIENT.values():
        assert not any(secret.encode() in path.read_bytes() for path in stored)
    assert not any("IM0" in path.name or "escaped" in path.name for path in stored)
    assert not (data_dir.parent / "escaped.dcm").exists()


def test_no_name_of_a_file_is_logged(
    services: Services, alice: User, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")

    send(
        services,
        alice,
        incoming(b"?", "Sentinel_1.dcm"),
        incoming(zip_bytes({"Sentinel_2": b"?", "../Sentinel_3": b""}), "Sentinel.zip"),
    )

    assert "Sentinel" not in caplog.text


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("a\nb\u202ec.png", "a\ufffdb\ufffdc.png"),
        ("", "(no name)"),
        ("x" * 300 + ".png", "…" + "x" * 195 + ".png"),
        ("<b>.png", "<b>.png"),
    ],
)
def test_a_name_is_shown_as_one_short_line(name: str, shown: str) -> None:
    assert clean_name(name) == shown


# --- whose they are -------------------------------------------------------------------------


def test_an_upload_is_for_its_sender_alone(
    services: Services, alice: User, charlie: User, admin: User
) -> None:
    uploads = services.intake.uploads
    upload = uploads.begin(alice, "lung_ct")

    for other in (charlie, admin):
        with pytest.raises(NotFoundError):
            uploads.progress(other, upload.id)
        with pytest.raises(NotFoundError):
            uploads.add(other, upload.id, incoming(png_bytes()))
        with pytest.raises(NotFoundError):
            uploads.forget(other, upload.id)


def test_an_admin_sees_a_study_without_the_names_and_a_stranger_does_not_see_it(
    services: Services, alice: User, charlie: User, admin: User
) -> None:
    progress = send(services, alice, incoming(zip_bytes(series_files(2)), "a.zip"))
    assert progress.only_line is not None
    assert progress.only_line.study is not None
    study_id = progress.only_line.study.study.id

    assert admin.role is Role.ADMIN
    assert services.intake.studies.open(admin, study_id).names == {}
    with pytest.raises(NotFoundError):
        services.intake.studies.open(charlie, study_id)
    with pytest.raises(NotFoundError):
        services.intake.studies.delete(charlie, study_id)


def test_a_deleted_study_leaves_nothing(services: Services, alice: User) -> None:
    progress = send(services, alice, incoming(zip_bytes(series_files(3)), "a.zip"))
    assert progress.only_line is not None
    assert progress.only_line.study is not None
    study_id = progress.only_line.study.study.id

    services.intake.studies.delete(alice, study_id)

    with pytest.raises(NotFoundError):
        services.intake.studies.open(alice, study_id)
    assert list((services.settings.data_dir / "images").rglob("*.png")) == []
    assert services.analyses.history(alice).total == 0


def test_a_forgotten_upload_leaves_its_analyses_but_not_the_names(
    services: Services, alice: User
) -> None:
    uploads = services.intake.uploads
    progress = send(services, alice, incoming(png_bytes(), "Sentinel.png"))
    assert [upload.id for upload in uploads.latest(alice, 3)] == [progress.upload.id]

    uploads.forget(alice, progress.upload.id)

    assert uploads.latest(alice, 3) == []
    assert services.analyses.history(alice).total == 1
    database = b"".join(p.read_bytes() for p in services.settings.data_dir.glob("*.sqlite3*"))
    assert uploads._store.names_of([services.analyses.history(alice).analyses[0].id]) == {}
    assert database


def test_the_name_goes_with_the_analysis(services: Services, alice: User) -> None:
    progress = send(services, alice, incoming(png_bytes()))
    (line,) = progress.lines
    assert line.analysis is not None

    services.analyses.delete(alice, line.analysis.id)

    assert services.intake.uploads.progress(alice, progress.upload.id).lines == ()


# --- limits ---------------------------------------------------------------------------------


def test_an_upload_needs_a_modality_that_is_served(
    tmp_path: Path, settings: Settings, passwords: PasswordService, alice: User
) -> None:
    engine = InProcessEngine(tmp_path, max_queue=1, max_batch=1, device="cpu")
    settings = replace(settings, data_dir=tmp_path / "elsewhere")
    bare = build_services(settings, engine, passwords)

    with pytest.raises(ModalityUnavailableError):
        bare.intake.uploads.begin(alice, "lung_ct")
    with pytest.raises(UnknownModalityError):
        bare.intake.uploads.begin(alice, "../etc")
    bare.stop()


def test_too_many_files_are_refused(services: Services, alice: User) -> None:
    uploads = services.intake.uploads
    upload = uploads.begin(alice, "lung_ct")

    with pytest.raises(TooManyFilesError):
        uploads.add_later(alice, upload.id, [incoming(b"")] * (MAX_FILES + 1))
    with pytest.raises(TooManyFilesError):
        uploads.add(alice, upload.id, replace(incoming(b""), number=MAX_FILES + 1))


def test_what_is_alone_and_bad_leaves_no_upload(services: Services, alice: User) -> None:
    with pytest.raises(UnsupportedFormatError):
        services.intake.uploads.add_alone(alice, "lung_ct", incoming(b"?"))

    assert services.intake.uploads.latest(alice, 3) == []


def test_too_many_archives_at_once_are_refused(services: Services, alice: User) -> None:
    reader = services.intake.uploads._reader
    reader._jobs.update({uuid4(): MAX_JOBS_OF_USER, uuid4(): MAX_JOBS - MAX_JOBS_OF_USER})

    upload = services.intake.uploads.begin(alice, "lung_ct")
    with pytest.raises(TooMuchToUnpackError):
        services.intake.uploads.add(alice, upload.id, incoming(zip_bytes({"a": b"x"})))

    assert services.intake.uploads.progress(alice, upload.id).lines == ()
    reader._jobs.clear()


def test_nobody_keeps_all_the_readers_of_archives(
    services: Services, alice: User, charlie: User
) -> None:
    reader = services.intake.uploads._reader
    reader._jobs[alice.id] = MAX_JOBS_OF_USER
    archive = zip_bytes({"a.png": png_bytes()})

    with pytest.raises(TooMuchToUnpackError):
        services.intake.uploads.add_alone(alice, "lung_ct", incoming(archive))
    assert not problems(send(services, charlie, incoming(archive)))

    assert eventually(lambda: reader._jobs == {alice.id: MAX_JOBS_OF_USER})
    reader._jobs.clear()


# --- waiting, and restarts ------------------------------------------------------------------


@pytest.fixture
def seven() -> bytes:
    return zip_bytes(series_files(7))


def test_more_scans_than_the_engine_may_hold_wait_in_line_and_are_all_judged(
    settings: Settings, tiny_weights_dir: Path, passwords: PasswordService, alice: User
) -> None:
    engine = InProcessEngine(tiny_weights_dir, max_queue=2, max_batch=1, device="cpu", threads=1)
    small = build_services(
        replace(settings, data_dir=settings.data_dir / "small"), engine, passwords
    )
    small.intake.uploads._analyses._receiver._admit = lambda _: None
    small.start()

    progress = send(small, alice, incoming(zip_bytes(series_files(20))))
    small.stop()

    assert progress.only_line is not None
    assert progress.only_line.study is not None
    assert progress.only_line.study.total == 20
    assert progress.only_line.study.finding is not None
    assert progress.only_line.study.finding.verdict is not Verdict.NOT_JUDGED


def test_what_waits_has_its_place_in_line(held: Services, alice: User, charlie: User) -> None:
    held_engine = held.engine
    assert isinstance(held_engine, HeldEngine)
    held_engine._capacity = 1
    analyses = held.intake.uploads._analyses
    analyses._receiver._admit = lambda _: None

    def add(user: User, seed: int) -> int:
        upload = held.intake.uploads.begin(user, "lung_ct")
        file = held.intake.uploads.add(user, upload.id, incoming(png_bytes(make_grey(seed=seed))))
        assert file.analysis_id is not None
        analyses._backlog._line = (-1.0, {})
        return analyses.place_in_line(file.analysis_id)

    assert [add(alice, 0), add(alice, 1), add(alice, 2)] == [1, 2, 3]
    assert add(charlie, 3) == 2  # the first of one user comes before the second of anybody


def test_who_comes_after_a_long_series_is_judged_after_a_few_of_its_slices(
    held: Services, alice: User, charlie: User
) -> None:
    engine = held.engine
    assert isinstance(engine, HeldEngine)
    held.intake.uploads.add_alone(alice, "lung_ct", incoming(zip_bytes(series_files(9))))
    assert eventually(lambda: held.analyses.history(alice).total == 9)
    own = held.intake.uploads.add_alone(charlie, "lung_ct", incoming(png_bytes()))
    assert own.analysis_id is not None

    for _ in range(CPU_FEED + 1):
        assert eventually(lambda: engine.queue_length() == CPU_FEED)
        engine.run_first()()

    analysis = held.analyses.wait(own.analysis_id, DEADLINE_S)
    assert analysis.status is AnalysisStatus.DONE


def test_who_waits_in_the_store_is_not_overtaken_by_who_comes_later(
    held: Services, alice: User, charlie: User
) -> None:
    engine = held.engine
    assert isinstance(engine, HeldEngine)
    held.analyses._backlog.close()  # nobody brings the waiting ones in now
    for seed in range(CPU_FEED + 1):
        held.intake.uploads.add_alone(alice, "lung_ct", incoming(png_bytes(make_grey(seed=seed))))
    engine.run_first()()

    held.intake.uploads.add_alone(charlie, "lung_ct", incoming(png_bytes()))

    assert engine.queue_length() == CPU_FEED - 1


def test_what_waits_is_judged_after_a_restart(
    held: Services, passwords: PasswordService, alice: User, seven: bytes
) -> None:
    assert isinstance(held.engine, HeldEngine)
    held.engine._capacity = 1
    held.intake.uploads._analyses._receiver._admit = lambda _: None
    upload = held.intake.uploads.begin(alice, "lung_ct")
    held.intake.uploads.add(alice, upload.id, incoming(seven, "a.zip"))
    assert eventually(lambda: held.analyses.history(alice).total == 7)
    held.stop()

    engine = InProcessEngine(held.settings.weights_dir, max_queue=64, max_batch=8, device="cpu")
    fresh = build_services(held.settings, engine, passwords)
    fresh.start()
    progress = finished(fresh, alice, upload.id)
    fresh.stop()

    statuses = [a.status for a in fresh.analyses.history(alice).analyses]
    assert statuses == [AnalysisStatus.DONE] * 7
    assert any(line.study and line.study.total == 7 for line in progress.lines)


def test_what_was_being_read_at_a_crash_is_named_after_it(
    services: Services, passwords: PasswordService, engine: InProcessEngine, alice: User
) -> None:
    upload = services.intake.uploads.begin(alice, "lung_ct")
    reader = services.intake.uploads._reader
    file = services.intake.uploads.add(
        alice, upload.id, incoming(zip_bytes({"a.png": png_bytes()}))
    )
    finished(services, alice, upload.id)
    stored = next(f for f in reader._store.files(upload.id) if f.id == file.id)
    reader._store.update_file(replace(stored, state=FileState.READING))

    fresh = build_services(services.settings, engine, passwords)
    fresh.intake.uploads.resume()

    lines = fresh.intake.uploads.progress(alice, upload.id).lines
    assert "server was restarted" in str(lines[0].problem)
    fresh.stop()

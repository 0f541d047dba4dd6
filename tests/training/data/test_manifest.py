from pathlib import Path

import pytest

from app.detection.labels import Label
from tests.factories import png_bytes
from tests.training.lab import a_scan, write_manifest
from training.data.manifest import on_side, read_index, read_manifest, write_index
from training.errors import ManifestError

ROW = {"path": "a.png", "label": "real", "source": "s", "patient": "p"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "a.png").write_bytes(png_bytes())
    (tmp_path / "b.png").write_bytes(png_bytes())
    return tmp_path


def test_paths_are_relative_to_the_manifest(folder: Path) -> None:
    scans = read_manifest(write_manifest(folder / "m.csv", [ROW]))

    assert scans == [a_scan(folder / "a.png", source="s", patient="p")]


@pytest.mark.parametrize(
    ("written", "label"),
    [
        ("real", Label.REAL),
        ("fake", Label.FAKE),
        (" Fake ", Label.FAKE),
        ("0", Label.REAL),
        ("1", Label.FAKE),
    ],
)
def test_labels_are_words_or_numbers(folder: Path, written: str, label: Label) -> None:
    (scan,) = read_manifest(write_manifest(folder / "m.csv", [ROW | {"label": written}]))

    assert scan.label is label


def test_a_fake_of_unknown_make_has_its_source_for_a_generator(folder: Path) -> None:
    rows = [ROW, ROW | {"path": "b.png", "label": "fake"}]

    real, fake = read_manifest(write_manifest(folder / "m.csv", rows))

    assert (real.generator, fake.generator) == ("", "s")


def test_rows_of_another_modality_are_passed_over(folder: Path) -> None:
    rows = [ROW | {"modality": "knee_xray"}, ROW | {"path": "b.png", "modality": "lung_ct"}]
    manifest = write_manifest(folder / "m.csv", rows)

    assert [s.path.name for s in read_manifest(manifest, modalities=["lung_ct"])] == ["b.png"]
    assert len(read_manifest(manifest)) == 2


def test_a_manifest_without_the_column_modality_is_taken_whole(folder: Path) -> None:
    manifest = write_manifest(folder / "m.csv", [ROW])

    assert len(read_manifest(manifest, modalities=["lung_ct"])) == 1


@pytest.mark.parametrize("column", ["path", "label", "source", "patient"])
def test_a_missing_column_is_named(folder: Path, column: str) -> None:
    row = {name: value for name, value in ROW.items() if name != column}

    with pytest.raises(ManifestError, match=f"'{column}' is missing"):
        read_manifest(write_manifest(folder / "m.csv", [row]))


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"label": "genuine"}, "'genuine' is not real or fake"),
        ({"label": ""}, "is not real or fake"),
        ({"path": "nowhere.png"}, "there is no file 'nowhere.png'"),
        ({"path": ""}, "there is no file"),
    ],
)
def test_a_bad_row_is_named_by_its_line(folder: Path, change: dict[str, str], problem: str) -> None:
    with pytest.raises(ManifestError, match=f"row 3: .*{problem}"):
        read_manifest(write_manifest(folder / "m.csv", [ROW, ROW | change]))


def test_a_row_with_too_few_fields_is_named_by_its_line(folder: Path) -> None:
    (folder / "m.csv").write_text("path,label,source,patient\na.png\n", encoding="utf-8")

    with pytest.raises(ManifestError, match="row 2"):
        read_manifest(folder / "m.csv")


def test_a_line_is_counted_in_the_whole_file_though_rows_are_passed_over(folder: Path) -> None:
    rows = [
        ROW | {"modality": "knee_xray"},
        ROW | {"modality": "lung_ct"},
        ROW | {"modality": "lung_ct", "path": "nowhere.png"},
    ]

    with pytest.raises(ManifestError, match="row 4"):
        read_manifest(write_manifest(folder / "m.csv", rows), modalities=["lung_ct"])


def test_a_byte_order_mark_as_spreadsheets_write_it_is_no_obstacle(folder: Path) -> None:
    (folder / "m.csv").write_text(
        "path,label,source,patient\na.png,real,s,p\n", encoding="utf-8-sig"
    )

    assert len(read_manifest(folder / "m.csv")) == 1


@pytest.mark.parametrize("content", [b"", b"path,label,source,patient\n", b"\xff\xfe\x00"])
def test_an_empty_or_unreadable_manifest_is_refused(folder: Path, content: bytes) -> None:
    (folder / "m.csv").write_bytes(content)

    with pytest.raises(ManifestError, match=r"m\.csv"):
        read_manifest(folder / "m.csv")


def test_a_manifest_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="cannot be read"):
        read_manifest(tmp_path / "m.csv")


def test_a_manifest_of_another_modality_only_is_refused(folder: Path) -> None:
    manifest = write_manifest(folder / "m.csv", [ROW | {"modality": "knee_xray"}])

    with pytest.raises(ManifestError, match="no scan in it of lung_ct"):
        read_manifest(manifest, modalities=["lung_ct"])


def test_an_index_is_read_as_it_was_written(folder: Path) -> None:
    real = a_scan(folder / "a.png", side="test", licence="CC BY, as stated")
    fake = a_scan(
        folder / "b.png",
        label=Label.FAKE,
        side="test",
        generator="g",
        seed="7",
        origin=str(folder / "a.png"),
        mask=str(folder / "a.png"),
        tamper="injection",
        x="3",
        y="4",
    )
    index = folder / "below" / "index.csv"

    write_index(index, [real, fake])

    assert read_index(index) == [real, fake]
    assert str(folder) not in index.read_text(encoding="utf-8")


def test_an_index_survives_that_its_folder_is_moved(tmp_path: Path) -> None:
    before, after = tmp_path / "before", tmp_path / "after"
    before.mkdir()
    for name in ("a.png", "b.png"):
        (before / name).write_bytes(png_bytes())
    fake = a_scan(before / "b.png", label=Label.FAKE, generator="g", origin=str(before / "a.png"))
    write_index(before / "index.csv", [a_scan(before / "a.png"), fake])

    before.rename(after)

    assert [s.origin for s in read_index(after / "index.csv")] == ["", str(after / "a.png")]


def test_scans_are_chosen_by_side_and_label() -> None:
    real, fake = a_scan(side="train"), a_scan(side="train", label=Label.FAKE)
    other = a_scan(side="test")

    assert on_side([real, fake, other], "train") == [real, fake]
    assert on_side([real, fake, other], "train", Label.FAKE) == [fake]


def test_the_same_number_in_two_sources_is_two_people() -> None:
    assert a_scan(source="one").person != a_scan(source="two").person


def test_a_scan_without_a_patient_stands_for_itself() -> None:
    assert a_scan("a.png", patient="").person != a_scan("b.png", patient="").person


# --- what spreadsheets do to a manifest -----------------------------------------------------


def test_a_manifest_with_semicolons_is_told_what_separates_columns(folder: Path) -> None:
    (folder / "m.csv").write_text("path;label;source;patient\na.png;real;s;p\n", encoding="utf-8")

    with pytest.raises(ManifestError, match=r"separated by commas: path, label, source, patient"):
        read_manifest(folder / "m.csv")


def test_a_column_that_stands_twice_is_refused(folder: Path) -> None:
    text = "path,label,source,patient,label\na.png,fake,s,p,real\n"
    (folder / "m.csv").write_text(text, encoding="utf-8")

    with pytest.raises(ManifestError, match="the column 'label' stands twice"):
        read_manifest(folder / "m.csv")


def test_a_row_is_counted_as_an_editor_counts_lines(folder: Path) -> None:
    text = "path,label,source,patient\n\n\na.png,real,s,p\n\nnone.png,real,s,p\n"
    (folder / "m.csv").write_text(text, encoding="utf-8")

    with pytest.raises(ManifestError, match="row 6: there is no file"):
        read_manifest(folder / "m.csv")


def test_a_row_with_a_bare_comma_is_refused(folder: Path) -> None:
    text = "path,label,source,patient\na.png,real,s,Doe, Jane\n"
    (folder / "m.csv").write_text(text, encoding="utf-8")

    with pytest.raises(ManifestError, match="row 2: it has more fields than the first line"):
        read_manifest(folder / "m.csv")


def test_blanks_around_a_name_do_not_make_another_patient(folder: Path) -> None:
    rows = [ROW | {"side": "train "}, ROW | {"path": "b.png", "patient": "p ", "source": " s"}]

    first, second = read_manifest(write_manifest(folder / "m.csv", rows))

    assert first.person == second.person
    assert first.side == "train"


def test_another_encoding_is_refused_with_the_right_one(folder: Path) -> None:
    (folder / "m.csv").write_bytes(
        "path,label,source,patient\na.png,real,Köln,p\n".encode("latin-1")
    )

    with pytest.raises(ManifestError, match="save it as CSV in UTF-8"):
        read_manifest(folder / "m.csv")

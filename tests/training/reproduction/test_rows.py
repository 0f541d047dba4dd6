import tomllib
from pathlib import Path

import pytest

from training.config import CONFIGS_DIR, load_dataset_config, load_system_config
from training.errors import ConfigError, UnknownRowError
from training.evaluation.metrics import METRICS
from training.reproduction.rows import Row, choose_rows, load_rows

ROWS = load_rows()
ONLY_FAKES = {"accuracy_on_fakes"}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.system)
def test_every_row_has_a_config_and_figures_that_are_measured(row: Row) -> None:
    config = load_system_config(row.system)

    load_dataset_config(config.dataset)
    assert (config.diagnosis is not None) == (row.experiment == "accuracy_drop")
    assert set(row.published) <= METRICS.keys() | ONLY_FAKES
    assert all(0 <= figure <= 1 for figure in row.published.values())
    assert row.remark.endswith(".")


def test_every_system_of_a_document_is_a_row() -> None:
    documented = {
        path.stem
        for path in CONFIGS_DIR.glob("*.toml")
        if path.read_text(encoding="utf-8").startswith("# Document")
    }

    assert documented <= {row.system for row in ROWS}
    assert {row.document for row in ROWS} == {"000", "001", "002", "003", "004"}
    assert len({row.system for row in ROWS}) == len(ROWS)


def test_a_config_says_the_accuracy_that_its_row_says() -> None:
    for row in ROWS:
        text = (CONFIGS_DIR / f"{row.system}.toml").read_text(encoding="utf-8")
        if "Published accuracy: " in text:
            printed = text.split("Published accuracy: ")[1].split()[0].rstrip(".")
            assert row.published["accuracy"] == pytest.approx(float(printed), abs=5e-4)


@pytest.mark.parametrize(
    ("only", "count"),
    [((), len(ROWS)), (("000",), 10), (("lung_ct_cnn1",), 1), (("001", "knee_xray_grade"), 7)],
)
def test_rows_are_chosen_by_document_system_or_its_beginning(
    only: tuple[str, ...], count: int
) -> None:
    assert len(choose_rows(ROWS, only)) == count


def test_a_row_that_is_not_there_is_refused_with_those_that_are() -> None:
    with pytest.raises(UnknownRowError, match=r"'livers'\. Known: lung_ct_vgg16, "):
        choose_rows(ROWS, ("000", "livers"))


def test_an_unknown_key_is_an_error(tmp_path: Path) -> None:
    file = tmp_path / "rows.toml"
    file.write_text('[[row]]\ndocument = "000"\ntittle = "VGG"\n', encoding="utf-8")

    with pytest.raises(ConfigError, match=r"rows\.toml"):
        load_rows(file)
    assert "row" in tomllib.loads(file.read_text(encoding="utf-8"))

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from app.detection.card import Card, Estimate, Slice, read_card
from app.errors import CardInvalidError, WeightsMissingError
from tests.factories import make_card


def written(folder: Path, change: Callable[[dict[str, Any]], object] | None = None) -> Path:
    """Write the card of the tiny network, after ``change`` has been at it."""
    raw = json.loads(make_card().to_json())
    if change is not None:
        change(raw)
    path = folder / "tiny.json"
    path.write_text(json.dumps(raw), encoding="utf-8")
    return path


def test_a_card_is_read_as_it_was_written(tmp_path: Path) -> None:
    card = make_card(
        metrics={"auc": Estimate(value=None, note="only one class")},
        limits=("Ünlike any other – 100 %",),
    )
    path = tmp_path / "tiny.json"
    path.write_text(card.to_json(), encoding="utf-8")

    assert read_card(path) == dataclasses.replace(
        card,
        architecture=dataclasses.replace(
            card.architecture, arguments={"widths": [4, 8], "sharpness": 0.0}
        ),
    )
    assert path.read_text(encoding="utf-8").endswith("}\n")


def test_a_card_says_where_its_network_errs(tmp_path: Path) -> None:
    share = Estimate(value=0.04, low=0.01, high=0.08, note="221 scans of 146 patients")
    part = Slice(kind="generator", name="dcgan", wrong=share, undecided=share.complement())
    path = tmp_path / "tiny.json"
    path.write_text(make_card(slices=(part,)).to_json(), encoding="utf-8")

    assert read_card(path).slices == (part,)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"kind": "weather"}, "not of 'weather'"),
        ({"wrong": 0.5}, "Estimate must be an object"),
        ({"colour": "blue"}, "colour"),
    ],
)
def test_a_slice_that_is_none_is_refused(tmp_path: Path, change: dict[str, Any], says: str) -> None:
    raw = {"kind": "source", "name": "mosmed", "wrong": {"value": 0}, "undecided": {"value": None}}
    path = written(tmp_path, lambda card: card.update(slices=[raw | change]))

    with pytest.raises(CardInvalidError, match=says):
        read_card(path)


def test_the_rest_of_a_share_has_the_interval_turned_round() -> None:
    rest = Estimate(value=0.25, low=0.125, high=0.5, note="8 scans").complement()

    assert rest == Estimate(value=0.75, low=0.5, high=0.875, note="8 scans")
    assert Estimate(value=None).complement() == Estimate(value=None)


def test_a_card_that_is_not_there_is_missing(tmp_path: Path) -> None:
    with pytest.raises(WeightsMissingError, match="tiny"):
        read_card(tmp_path / "tiny.json")


@pytest.mark.parametrize("field", [f.name for f in dataclasses.fields(Card)])
def test_a_card_without_one_of_its_fields_is_refused(tmp_path: Path, field: str) -> None:
    path = written(tmp_path, lambda raw: raw.pop(field))

    if field in ("training", "slices", "version"):  # these have defaults
        assert read_card(path).name == "tiny"
    else:
        with pytest.raises(CardInvalidError, match=field):
            read_card(path)


@pytest.mark.parametrize(
    "part", ["architecture", "preprocessing", "operating_point", "metrics.auc", "data.0"]
)
@pytest.mark.parametrize("is_missing", [True, False])
def test_a_part_with_a_missing_or_an_unknown_field_is_refused(
    tmp_path: Path, part: str, is_missing: bool
) -> None:
    def change(raw: dict[str, Any]) -> None:
        target: Any = raw
        for key in part.split("."):
            target = target[int(key) if key.isdigit() else key]
        if is_missing:
            target.pop(next(iter(target)))
        else:
            target["colour"] = "blue"

    with pytest.raises(CardInvalidError, match="missing" if is_missing else "colour"):
        read_card(written(tmp_path, change))


@pytest.mark.parametrize(
    ("where", "value", "says"),
    [
        ("version", 2, "card version 2"),
        ("name", "other", "'other'"),
        ("name", 7, "name"),
        ("modality", None, "modality"),
        ("sha256", ["a"], "sha256"),
        ("architecture", "plain_cnn", "ArchitectureSpec"),
        ("architecture.name", ["plain_cnn"], "name"),
        ("architecture.arguments", [4, 8], "arguments"),
        ("preprocessing.image_size", "64", "image_size"),
        ("preprocessing.image_size", True, "image_size"),
        ("preprocessing.image_size", 0, "image_size"),
        ("preprocessing.image_size", 10**9, "image_size"),
        ("preprocessing.mean", [0.5, 0.5], "unpack"),
        ("preprocessing.mean", "abc", "mean"),
        ("preprocessing.std", [0.5, 0.5, 0], "std"),
        ("preprocessing.std", [0.5, 0.5, float("inf")], "std"),
        ("operating_point.temperature", 0, "temperature"),
        ("operating_point.temperature", "1", "temperature"),
        ("operating_point.bias", float("nan"), "bias"),
        ("operating_point.threshold", 2, "threshold 2"),
        ("operating_point.inconclusive_band", [0.9, 0.1], "low 0.9"),
        ("operating_point.inconclusive_band", [0.1], "unpack"),
        ("operating_point.inconclusive_band", 0.1, "inconclusive_band"),
        ("metrics", [0.9], "metrics"),
        ("metrics.auc", 0.9, "Estimate"),
        ("metrics.auc.value", "high", "value"),
        ("metrics.auc.low", float("nan"), "low"),
        ("metrics_by_generator", None, "metrics_by_generator"),
        ("data", {"name": "x"}, "data"),
        ("data", ["x"], "DataSource"),
        ("data.0.scans", 1.5, "scans"),
        ("limits", "none", "limits"),
        ("training", [], "training"),
    ],
)
def test_a_value_that_cannot_be_is_refused_with_the_reason(
    tmp_path: Path, where: str, value: object, says: str
) -> None:
    def change(raw: dict[str, Any]) -> None:
        *parents, last = where.split(".")
        target: Any = raw
        for key in parents:
            target = target[int(key) if key.isdigit() else key]
        target[last] = value

    with pytest.raises(CardInvalidError, match=says):
        read_card(written(tmp_path, change))


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"null", b'"card"', b"\xff\xfe", b"[" * 100_000, b"{" + b'"a":{' * 50_000],
)
def test_a_file_that_is_no_card_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "tiny.json"
    path.write_bytes(content)

    with pytest.raises(CardInvalidError):
        read_card(path)


def test_a_folder_in_the_place_of_a_card_is_refused(tmp_path: Path) -> None:
    (tmp_path / "tiny.json").mkdir()

    with pytest.raises(CardInvalidError):
        read_card(tmp_path / "tiny.json")


def test_a_figure_that_is_not_a_number_cannot_be_written() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        make_card(metrics={"auc": Estimate(value=float("nan"))}).to_json()

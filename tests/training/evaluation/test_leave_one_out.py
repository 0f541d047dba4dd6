import json
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from app.detection.card import Estimate
from app.detection.labels import Label
from tests.training.lab import a_phase, dataset_config, system_config, write_dataset
from training.classifiers.train import Hardware
from training.data.manifest import Scan, on_side
from training.data.splits import COMPANION
from training.errors import ManifestError, TooFewScansError
from training.evaluation import leave_one_out
from training.evaluation.leave_one_out import Experiment, Turn, leave_out
from training.evaluation.left_out import (
    LeftOut,
    left_out_file,
    made_with,
    read_left_out,
    write_left_out,
)
from training.minimums import figures_on_file
from training.runs import SystemPaths

WITHOUT_SQUARE = Turn(kind="generator", name="square")
WITHOUT_BLOCKS = Turn(kind="generator", name="blocks")


# --- who learns, who is tested --------------------------------------------------------------


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory) -> list[Scan]:
    """Two sources of authentic scans, local edits of both and whole synthetic images."""
    found = write_dataset(tmp_path_factory.mktemp("scans"), train=12, validation=33, test=10)
    reals = [s for s in found if s.label is Label.REAL]
    moved = {s.patient for s in reals[::3]}
    return [
        replace(s, source="other") if s.patient in moved and s.source == "drawn" else s
        for s in found
    ]


@pytest.mark.parametrize("side", ["train", "validation"])
def test_nothing_is_learned_of_a_generator_that_is_left_out(scans: list[Scan], side: str) -> None:
    learned = on_side(WITHOUT_SQUARE.divided(scans), side)

    assert {s.generator for s in learned} == {"", "blocks"}
    assert on_side(learned, side, Label.REAL) == on_side(scans, side, Label.REAL)


def test_a_generator_is_tested_against_the_authentic_scans_of_the_test_side(
    scans: list[Scan],
) -> None:
    tested = on_side(WITHOUT_SQUARE.divided(scans), "test")

    assert {s.generator for s in tested} == {"", "square"}
    assert on_side(tested, "test", Label.REAL) == on_side(scans, "test", Label.REAL)


def test_nothing_is_learned_of_a_source_nor_of_fakes_made_from_it(scans: list[Scan]) -> None:
    divided = Turn(kind="source", name="other").divided(scans)

    assert "other" not in {s.source for s in divided if s.side != "test"}
    assert {s.source for s in divided if s.side == "test"} == {"other"}


def test_every_scan_of_a_source_is_tested_whichever_side_it_stood_on(scans: list[Scan]) -> None:
    tested = on_side(Turn(kind="source", name="other").divided(scans), "test")

    assert {s.path for s in tested} == {s.path for s in scans if s.source == "other"}


def with_companions(scans: list[Scan], *sources: str) -> list[Scan]:
    """Let every second person of the training side be a companion, of these sources in turn."""
    people = sorted({s.person for s in on_side(scans, "train")})[::2]
    source_of = {person: sources[i % len(sources)] for i, person in enumerate(people)}
    return [
        replace(s, source=source_of[s.person], side=COMPANION) if s.person in source_of else s
        for s in scans
    ]


def an_experiment(scans: list[Scan], folder: Path) -> Experiment:
    phase = a_phase(epochs=1, steps_per_epoch=2, companion_share=0.5)
    return Experiment(
        config=system_config(phases=[phase], companions=["others"]),
        dataset=dataset_config(),
        scans=scans,
        paths=SystemPaths(folder),
        hardware=Hardware(),
    )


def test_a_source_of_companions_can_be_left_out(scans: list[Scan], tmp_path: Path) -> None:
    experiment = an_experiment(with_companions(scans, "hearts", "hands"), tmp_path)
    hearts = Turn(kind="companion", name="hearts")

    found = leave_out(experiment, [hearts])

    assert experiment.sources() == ["drawn", "other"]
    assert experiment.companions() == ["hands", "hearts"]
    divided = hearts.divided(experiment.scans)
    assert {s.source for s in on_side(divided, COMPANION)} == {"hands"}
    assert {s.source for s in on_side(divided, "test")} == {"hearts"}
    assert found.companions["hearts"]["false_alarm_rate"].value is not None
    assert found.missing_sources == ("drawn", "other")
    assert read_left_out(left_out_file(experiment.paths)) == found


def test_the_only_source_of_companions_is_not_left_out(scans: list[Scan], tmp_path: Path) -> None:
    experiment = an_experiment(with_companions(scans, "hearts"), tmp_path)

    with pytest.raises(TooFewScansError, match="Without hearts there is nothing left"):
        leave_out(experiment, [Turn(kind="companion", name="hearts")])


def test_companions_are_learned_from_without_the_generator_that_is_left_out(
    scans: list[Scan],
) -> None:
    divided = WITHOUT_SQUARE.divided(with_companions(scans, "hearts"))

    assert {s.generator for s in on_side(divided, COMPANION)} == {"", "blocks"}


def test_a_family_is_left_out_together(scans: list[Scan]) -> None:
    third = [
        replace(s, generator="third") if s.generator == "blocks" and i % 2 else s
        for i, s in enumerate(scans)
    ]

    divided = Turn(kind="generator", name="blocks+third").divided(third)

    assert {s.generator for s in divided if s.side == "train"} == {"", "square"}
    assert {s.generator for s in divided if s.side == "test"} == {"", "blocks", "third"}


def test_fakes_that_only_teach_have_no_turn(
    make: Callable[..., Experiment], scans: list[Scan]
) -> None:
    teaching = [
        replace(s, generator="traces") if s.generator == "blocks" and s.side == "train" else s
        for s in scans
    ]

    assert make(scans=teaching).generators() == ["square"]


def test_fewer_scans_may_be_judged_than_are_learned_from(
    make: Callable[..., Experiment], scans: list[Scan]
) -> None:
    every = make().divided(WITHOUT_SQUARE)

    fewer = make(judged=4).divided(WITHOUT_SQUARE)

    assert on_side(fewer, "train") == on_side(every, "train")
    for side, generators in {"validation": ["", "blocks"], "test": ["", "square"]}.items():
        judged = on_side(fewer, side)
        reals = {str(s.path.resolve()) for s in judged if s.label is Label.REAL}
        counts = Counter(s.generator for s in judged)
        assert sorted(counts) == generators
        assert counts[""] == 4
        assert max(counts.values()) == 4
        assert {s.origin for s in judged if s.origin} <= reals


# --- the worst ------------------------------------------------------------------------------


def figures(value: float | None) -> dict[str, Estimate]:
    note = "9 scans" if value is not None else "undefined"
    return {name: Estimate(value=value, note=note) for name in ("auc", "false_alarm_rate")}


def left_out(**changes: object) -> LeftOut:
    tables = {"easy": figures(0.99), "hard": figures(0.4)}
    found = LeftOut(system="s", made_with="0", generators=tables, sources=tables)
    return replace(found, **changes)  # type: ignore[arg-type]  # by name


def test_the_worst_generator_and_the_worst_source_are_named() -> None:
    found = left_out()

    assert (found.logo_worst_auc.value, found.logo_worst_auc.note) == (0.4, "hard; 9 scans")
    assert found.loso_worst_false_alarm_rate.value == 0.99
    assert found.loso_worst_false_alarm_rate.note == "easy; 9 scans"


def test_there_is_no_worst_until_all_had_their_turn() -> None:
    found = left_out(missing_generators=["dcgan", "fastgan"])

    assert found.logo_worst_auc.value is None
    assert found.logo_worst_auc.note == "not measured yet: dcgan, fastgan"


def test_there_is_no_worst_where_one_is_undefined() -> None:
    found = left_out(generators={"easy": figures(0.9), "odd": figures(None)})

    assert found.logo_worst_auc.value is None
    assert found.logo_worst_auc.note == "undefined for odd"


def test_there_is_no_worst_where_nothing_was_left_out() -> None:
    assert left_out(generators={}).logo_worst_auc.value is None


def test_what_was_measured_comes_back_from_its_file(tmp_path: Path) -> None:
    found = left_out(missing_sources=("luna16",))

    write_left_out(SystemPaths(tmp_path), found)

    assert read_left_out(tmp_path / "leave_one_out.json") == found


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"system": "s"}'])
def test_a_file_that_holds_something_else_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "leave_one_out.json").write_text(text, encoding="utf-8")

    with pytest.raises(ManifestError, match="cannot be used"):
        read_left_out(tmp_path / "leave_one_out.json")


def test_a_gate_finds_the_worst_under_its_name(tmp_path: Path) -> None:
    write_left_out(SystemPaths(tmp_path), left_out())

    found = figures_on_file(SystemPaths(tmp_path))

    assert found["leave_one_out.logo_worst_auc"].value == 0.4
    assert found["leave_one_out.generators.easy.auc"].value == 0.99


# --- the whole way --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def make(tmp_path_factory: pytest.TempPathFactory, scans: list[Scan]) -> Callable[..., Experiment]:
    root = tmp_path_factory.mktemp("runs") / "tiny"

    def experiment(**changes: object) -> Experiment:
        short = a_phase(epochs=1, steps_per_epoch=4)
        config = system_config(phases=[short], max_error_outside_band=0.2)
        found = Experiment(
            config=config,
            dataset=dataset_config(),
            scans=scans,
            paths=SystemPaths(root),
            hardware=Hardware(accelerator="cpu"),
        )
        return replace(found, **changes)  # type: ignore[arg-type]  # by name

    return experiment


@pytest.fixture(scope="module")
def found(make: Callable[..., Experiment], few_bootstrap_rounds: None) -> LeftOut:
    return leave_out(make(), [WITHOUT_SQUARE])


def test_a_generator_that_had_its_turn_is_measured(found: LeftOut) -> None:
    assert set(found.generators) == {"square"}
    assert found.generators["square"]["auc"].value is not None
    assert "pointing_game" in found.generators["square"]
    assert found.missing_generators == ("blocks",)
    assert found.missing_sources == ("drawn", "other")
    assert found.logo_worst_auc.value is None


def test_what_is_finished_is_only_read(make: Callable[..., Experiment], found: LeftOut) -> None:
    run = make().paths.root / "leave_one_out" / "generator-square" / "run"
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*")}

    assert leave_out(make(), [WITHOUT_SQUARE]) == found
    assert before == {path: path.stat().st_mtime_ns for path in run.rglob("*")}


def test_turns_add_up_to_the_worst(make: Callable[..., Experiment], found: LeftOut) -> None:
    source = Turn(kind="source", name="other")

    both = leave_out(make(), [WITHOUT_BLOCKS, source])

    assert set(both.generators) == {"square", "blocks"}
    assert both.logo_worst_auc.value == min(
        figures["auc"].value or 0.0 for figures in both.generators.values()
    )
    assert both.sources["other"]["false_alarm_rate"].value is not None
    written = json.loads(left_out_file(make().paths).read_text(encoding="utf-8"))
    assert written["logo_worst_auc"]["value"] == both.logo_worst_auc.value


def test_a_turn_that_another_process_finished_meanwhile_stays_in_the_file(
    make: Callable[..., Experiment], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    experiment = make(paths=SystemPaths(tmp_path))
    ours, theirs = figures(0.9), figures(0.8)
    current = made_with(experiment.config, experiment.scans)

    def take(_experiment: Experiment, _turn: Turn) -> dict[str, Estimate]:
        beside = LeftOut(system="s", made_with=current, generators={"blocks": theirs})
        write_left_out(experiment.paths, beside)
        return ours

    monkeypatch.setattr(leave_one_out, "_take", take)

    found = leave_out(experiment, [WITHOUT_SQUARE])

    assert found.generators == {"blocks": theirs, "square": ours}
    assert read_left_out(left_out_file(experiment.paths)) == found


def test_other_scans_begin_a_file_anew(
    make: Callable[..., Experiment], scans: list[Scan], found: LeftOut, tmp_path: Path
) -> None:
    other = make(scans=scans[:-1], paths=SystemPaths(tmp_path))
    write_left_out(other.paths, found)

    with pytest.raises(TooFewScansError):
        leave_out(other, [Turn(kind="generator", name="nobody")])

    assert leave_out(other, []).generators == {}


@pytest.mark.parametrize(
    ("turn", "problem"),
    [
        (
            Turn(kind="generator", name="nobody"),
            "no generator 'nobody' to leave out. There are: blocks, square",
        ),
        (
            Turn(kind="source", name="blocks"),
            "no source 'blocks' to leave out. There are: drawn, other",
        ),
        (Turn(kind="generator", name="blocks+square"), "there is nothing left to train on"),
    ],
)
def test_a_turn_that_cannot_be_taken_is_refused_before_anything_is_trained(
    make: Callable[..., Experiment], tmp_path: Path, turn: Turn, problem: str
) -> None:
    experiment = make(paths=SystemPaths(tmp_path / "new"))

    with pytest.raises(TooFewScansError, match=problem):
        leave_out(experiment, [WITHOUT_SQUARE, turn])

    assert not (tmp_path / "new").exists()

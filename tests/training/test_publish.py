import csv
import json
import tomllib
from collections import Counter
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch

from app.detection.architectures import build
from app.detection.card import Card, Estimate, read_card
from app.detection.labels import Label
from app.detection.weights import active_checkpoint, load_detector
from tests.training.lab import a_phase, a_scan, dataset_config, system_config, write_dataset
from training.candidate import Candidate, checkpoint_bytes, data_sources
from training.classifiers.calibration import calibrate
from training.classifiers.train import Hardware, train
from training.config import DiagnosisConfig, FakesConfig
from training.data.manifest import Scan
from training.errors import (
    ActivationRefusedError,
    ConfigError,
    PublicationRefusedError,
    StageMissingError,
    TooFewScansError,
    TrainingError,
)
from training.evaluation.left_out import LeftOut, made_with, write_left_out
from training.evaluation.predict import predict
from training.evaluation.report import Report
from training.publish import publish
from training.runs import SystemPaths
from training.shelf import Shelf

pytestmark = pytest.mark.usefixtures("few_bootstrap_rounds")


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory) -> list[Scan]:
    return write_dataset(tmp_path_factory.mktemp("scans"), train=2, validation=20, test=6)


def a_candidate(
    folder: Path, scans: list[Scan], *, scale: float = 1.0, **changes: Any
) -> Candidate:
    """Return a candidate with seeded random weights, ``scale`` times as large as usual."""
    config = system_config(**{"limits": ["It has seen no scan of a person."]} | changes)
    paths = SystemPaths(folder / "run")
    torch.manual_seed(0)
    tensors = {
        k: v * scale if v.is_floating_point() else v
        for k, v in build(config.architecture).state_dict().items()
    }
    paths.root.mkdir(parents=True)
    safetensors.torch.save_file(tensors, paths.best_checkpoint)
    paths.initialisation.write_text("random\n", encoding="utf-8")
    generators = [FakesConfig(generator="square"), FakesConfig(generator="blocks")]
    return Candidate(
        config=config, dataset=dataset_config(fakes=generators), scans=scans, paths=paths
    )


def test_the_same_parameters_in_another_network_are_another_file(
    tmp_path: Path, scans: list[Scan]
) -> None:
    candidate = a_candidate(tmp_path, scans)
    spec = candidate.config.architecture
    sharper = replace(spec, arguments={**spec.arguments, "sharpness": 2.0})
    other = replace(candidate, config=replace(candidate.config, architecture=sharper))

    plain, again, changed = (checkpoint_bytes(c) for c in (candidate, candidate, other))

    assert plain == again
    assert plain != changed
    tensors, same = safetensors.torch.load(plain), safetensors.torch.load(changed)
    assert all(torch.equal(tensors[name], same[name]) for name in tensors)


@dataclass(frozen=True, kw_only=True)
class Published:
    candidate: Candidate
    weights_dir: Path
    card: Card
    measured: Report


@pytest.fixture(scope="module")
def published(
    tmp_path_factory: pytest.TempPathFactory, scans: list[Scan], few_bootstrap_rounds: None
) -> Published:
    """Tiny weights that went the way of real ones."""
    folder = tmp_path_factory.mktemp("published")
    candidate = a_candidate(folder, scans)
    done = publish(candidate, folder / "weights")
    assert done.serves
    assert done.rival == ""
    return Published(
        candidate=candidate,
        weights_dir=folder / "weights",
        card=done.card,
        measured=done.measured,
    )


def test_the_card_is_read_by_the_server_as_it_was_made(published: Published) -> None:
    card = read_card(published.weights_dir / "lung_ct" / "tiny.json")

    assert card == published.card
    assert card.name == "tiny"  # without the modality, which is the folder's name
    assert card.modality == "lung_ct"
    assert card.limits == ("It has seen no scan of a person.",)


def test_the_checkpoint_is_in_half_precision_and_bears_its_hash(published: Published) -> None:
    data = (published.weights_dir / "lung_ct" / "tiny.safetensors").read_bytes()

    dtypes = {t.dtype for t in safetensors.torch.load(data).values()}
    assert dtypes == {torch.float16, torch.int64}
    assert sha256(data).hexdigest() == published.card.sha256
    assert len(data) < published.candidate.paths.best_checkpoint.stat().st_size


def test_what_was_published_serves(published: Published) -> None:
    assert tomllib.loads((published.weights_dir / "active.toml").read_text("utf-8")) == {
        "lung_ct": "tiny"
    }

    detector = load_detector(active_checkpoint(published.weights_dir, "lung_ct"))

    assert detector.card.preprocessing == published.candidate.config.preprocessing


def test_nothing_but_the_pair_the_choice_and_its_history_is_written(
    published: Published,
) -> None:
    files = {
        p.relative_to(published.weights_dir).as_posix() for p in published.weights_dir.rglob("*")
    }

    assert files == {
        "active.toml",
        "lung_ct",
        "lung_ct/former",
        "lung_ct/former/served.json",
        "lung_ct/tiny.json",
        "lung_ct/tiny.safetensors",
    }


def test_what_was_measured_is_what_the_published_weights_say(published: Published) -> None:
    test = [s for s in published.candidate.scans if s.side == "test"]
    detector = load_detector(active_checkpoint(published.weights_dir, "lung_ct"))

    rows = predict(detector, test, published.candidate.scans[0].path.parent / "index")

    with (published.candidate.paths.evaluation_dir / "predictions.csv").open(
        encoding="utf-8", newline=""
    ) as file:
        written = list(csv.DictReader(file))
    assert [row["path"] for row in written] == [row.path for row in rows]
    for row, said in zip(rows, written, strict=True):
        assert row.probability == pytest.approx(float(said["probability"]), abs=1e-5)
        assert row.verdict == said["verdict"]


def test_of_many_fakes_few_may_be_judged_and_the_card_says_so(
    tmp_path: Path, few_bootstrap_rounds: None
) -> None:
    scans = write_dataset(tmp_path / "scans", train=2, validation=20, test=12)
    candidate = replace(a_candidate(tmp_path, scans), judged_fakes=10)

    card = publish(candidate, tmp_path / "weights").card

    with (candidate.paths.evaluation_dir / "predictions.csv").open(encoding="utf-8") as file:
        judged = Counter(row["generator"] for row in csv.DictReader(file))
    assert judged == {"": 12, "square": 10, "blocks": 10}
    assert card.training["judged_fakes"] == 10


def test_the_operating_point_is_chosen_on_the_validation_side_alone(published: Published) -> None:
    validation = [s for s in published.candidate.scans if s.side == "validation"]
    detector = load_detector(active_checkpoint(published.weights_dir, "lung_ct"))
    rows = predict(detector, validation, Path("index"))

    point = calibrate(
        np.array([row.logit for row in rows]),
        np.array([int(s.label) for s in validation]),
        max_error=0.01,
    )

    found = published.card.operating_point
    assert found.temperature == pytest.approx(point.temperature, rel=1e-2)
    assert found.bias == pytest.approx(point.bias, abs=1e-3)
    assert found.inconclusive_band == pytest.approx(point.inconclusive_band, abs=1e-2)


def test_the_card_has_the_figures_of_the_report(published: Published) -> None:
    measured, card = published.measured, published.card

    assert set(card.metrics_by_generator) == {"square", "blocks"}
    assert card.metrics_by_generator == dict(measured.auc_by_generator)
    assert card.metrics["auc"] == measured.metrics["auc"]
    assert card.metrics["false_alarm_rate_drawn"] == measured.false_alarms_by_source["drawn"]
    assert card.metrics["pointing_game_square"] == measured.pointing_game["square"]
    assert set(measured.pointing_by_verdict) == {"called_fake", "inconclusive"}
    for verdict, share in measured.pointing_by_verdict.items():
        assert card.metrics[f"pointing_{verdict}"] == share
    assert card.metrics["patch_auc_square"] == measured.patch_auc["square"]
    report = json.loads(
        (published.candidate.paths.evaluation_dir / "metrics.json").read_text("utf-8")
    )
    assert report["detector"]["sha256"] == card.sha256
    assert report["metrics"]["auc"]["value"] == card.metrics["auc"].value


def test_the_card_says_how_to_train_it_again(published: Published) -> None:
    assert published.card.training == {
        "system": "lung_ct_tiny",
        "dataset": "drawn_lungs",
        "seed": 3,
        "initialisation": "random",
        "torch": torch.__version__,
    }


def test_a_card_says_which_data_were_used_for_what() -> None:
    scans = [
        a_scan("a.png", patient="p1", side="test", licence="CC BY 4.0"),
        a_scan("b.png", patient="p1", side="test", licence="CC BY 4.0"),
        a_scan("c.png", patient="p2", side="train", licence="CC0"),
        a_scan("d.png", patient="p2", side="train", label=Label.FAKE, generator="g", seed="1"),
        a_scan("e.png", patient="x", side="test", label=Label.FAKE, generator="h", source="h"),
    ]

    drawn, made_here, foreign = sorted(
        data_sources(scans), key=lambda s: (s.name != "drawn", s.name)
    )

    assert (drawn.use, drawn.scans, drawn.patients) == ("train, test", 3, 2)
    assert drawn.licence == "CC BY 4.0; CC0"
    assert (made_here.name, made_here.use) == ("g (made here)", "train")
    assert (foreign.name, foreign.use) == ("h", "test")


# --- refusals -------------------------------------------------------------------------------


def test_what_does_not_reach_its_minimum_is_not_published(
    tmp_path: Path, scans: list[Scan]
) -> None:
    candidate = a_candidate(tmp_path, scans, minimums={"coverage": 0.0, "auc": 1.01})

    with pytest.raises(PublicationRefusedError, match=r"auc is 0\.\d+, .* at least 1\.010"):
        publish(candidate, tmp_path / "weights")

    assert not (tmp_path / "weights").exists()
    assert (candidate.paths.evaluation_dir / "metrics.json").exists()


def test_a_refused_publication_judges_no_scan_again_once_its_minimums_are_reached(
    tmp_path: Path, scans: list[Scan], monkeypatch: pytest.MonkeyPatch
) -> None:
    candidate = a_candidate(tmp_path, scans, minimums={"auc": 1.01})
    with pytest.raises(PublicationRefusedError):
        publish(candidate, tmp_path / "weights")
    refused = (candidate.paths.evaluation_dir / "predictions.csv").read_bytes()

    with monkeypatch.context() as patch:
        patch.setattr("training.evaluation.runtime.Runtime.look", pytest.fail)
        content = replace(candidate, config=replace(candidate.config, minimums={}))
        done = publish(content, tmp_path / "weights")

    assert done.serves
    assert (candidate.paths.evaluation_dir / "predictions.csv").read_bytes() == refused
    assert not candidate.paths.journals.exists()


def test_an_undefined_figure_reaches_no_minimum(tmp_path: Path, scans: list[Scan]) -> None:
    without_fakes = [s for s in scans if s.side != "test" or s.label is Label.REAL]
    candidate = a_candidate(tmp_path, without_fakes, minimums={"recall_fake": 0.0})

    with pytest.raises(PublicationRefusedError, match="recall_fake is undefined"):
        publish(candidate, tmp_path / "weights")


def test_a_minimum_of_something_that_is_no_metric_is_refused_before_the_test_side_is_touched(
    tmp_path: Path, scans: list[Scan]
) -> None:
    candidate = a_candidate(tmp_path, scans, minimums={"auroc": 0.9})

    with pytest.raises(ConfigError, match=r"no metric 'auroc'\. Known: auc"):
        publish(candidate, tmp_path / "weights")

    assert not candidate.paths.evaluation_dir.exists()


def test_what_learned_a_finding_is_no_detector_and_is_not_published(
    tmp_path: Path, scans: list[Scan]
) -> None:
    candidate = a_candidate(tmp_path, scans)
    finding = system_config(
        diagnosis=DiagnosisConfig(column="grade", positive=["2"]),
        sampling="epoch",
        cell_loss=0.0,
        phases=[a_phase(crop_size=64)],
    )

    with pytest.raises(PublicationRefusedError, match="a finding, not forgery"):
        publish(replace(candidate, config=finding), tmp_path / "weights")

    assert not candidate.paths.evaluation_dir.exists()


def test_a_validation_side_that_is_too_small_is_refused(tmp_path: Path, scans: list[Scan]) -> None:
    few = [s for s in scans if s.side != "validation"]

    with pytest.raises(TooFewScansError):
        publish(a_candidate(tmp_path, few), tmp_path / "weights")


def test_an_untrained_system_is_not_published(tmp_path: Path, scans: list[Scan]) -> None:
    candidate = replace(a_candidate(tmp_path, scans), paths=SystemPaths(tmp_path / "nowhere"))

    with pytest.raises(StageMissingError, match="python -m training train --system lung_ct_tiny"):
        publish(candidate, tmp_path / "weights")


def test_weights_beyond_half_precision_are_refused(tmp_path: Path, scans: list[Scan]) -> None:
    with pytest.raises(TrainingError, match="does not fit into float16"):
        publish(a_candidate(tmp_path, scans, scale=1e7), tmp_path / "weights")


@pytest.mark.parametrize(
    ("minimum", "message"),
    [
        ({"ece": -1.0}, r"ece is 0\.\d+, the config demands at most -1\.000"),
        ({"auc_by_generator.square": 1.5}, r"auc_by_generator\.square is .* at least 1\.500"),
        ({"pointing_game.square": 1.5}, r"pointing_game\.square is .* at least 1\.500"),
        ({"auc_by_generator.foreign": 0.1}, r"auc_by_generator\.foreign is not among the figures"),
        (
            {"leave_one_out.logo_worst_auc": 0.9},
            r"logo_worst_auc was not measured, .* \(run `python -m training leave-one-out --system",
        ),
    ],
)
def test_a_minimum_may_name_any_figure_on_file(
    tmp_path: Path, scans: list[Scan], minimum: dict[str, float], message: str
) -> None:
    candidate = a_candidate(tmp_path, scans, minimums=minimum)

    with pytest.raises(PublicationRefusedError, match=message):
        publish(candidate, tmp_path / "weights")


def test_every_missed_minimum_is_named_with_its_figure(tmp_path: Path, scans: list[Scan]) -> None:
    minimums = {"auc": 1.01, "coverage": 0.0, "leave_one_out.logo_worst_auc": 0.95}
    candidate = a_candidate(tmp_path, scans, minimums=minimums)
    without = {"dcgan": {"auc": Estimate(value=0.61)}, "diffusion": {"auc": Estimate(value=0.9)}}
    made = made_with(candidate.config, candidate.scans)
    found = LeftOut(system="lung_ct_tiny", made_with=made, generators=without)
    write_left_out(candidate.paths, found)

    with pytest.raises(PublicationRefusedError) as refusal:
        publish(candidate, tmp_path / "weights")

    assert "auc is 0." in str(refusal.value)
    assert "leave_one_out.logo_worst_auc is 0.610, the config demands at least 0.950" in str(
        refusal.value
    )
    assert "coverage" not in str(refusal.value)


@pytest.mark.parametrize(("seed", "judged"), [(99, None), (None, 200)])
def test_figures_of_other_settings_or_of_fewer_scans_do_not_reach_the_card(
    tmp_path: Path, scans: list[Scan], seed: int | None, judged: int | None
) -> None:
    candidate = a_candidate(tmp_path, scans)
    config = candidate.config if seed is None else replace(candidate.config, seed=seed)
    made = made_with(config, candidate.scans, judged)
    write_left_out(candidate.paths, LeftOut(system="lung_ct_tiny", made_with=made))

    with pytest.raises(PublicationRefusedError, match="measured with other settings or scans"):
        publish(candidate, tmp_path / "weights")


# --- which weights serve --------------------------------------------------------------------


def a_good_detector(folder: Path, scans: list[Scan], name: str = "lung_ct_good") -> Candidate:
    """Return a candidate that truly learned: blocks are told from lungs within seconds."""
    config = system_config(
        name=name,
        cell_loss=0.0,
        local_share=0.0,
        phases=[a_phase(crop_size=64, epochs=4, batch_size=16)],
    )
    paths = SystemPaths(folder / name)
    train(config, scans, paths, Hardware())
    return Candidate(
        config=config,
        dataset=dataset_config(fakes=[FakesConfig(generator="blocks")]),
        scans=scans,
        paths=paths,
    )


@pytest.fixture(scope="module")
def whole_scans(tmp_path_factory: pytest.TempPathFactory) -> list[Scan]:
    folder = tmp_path_factory.mktemp("whole")
    scans = write_dataset(folder, train=12, validation=20, test=12)
    return [s for s in scans if not s.mask]


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory, whole_scans: list[Scan]) -> Candidate:
    return a_good_detector(tmp_path_factory.mktemp("good"), whole_scans)


def the_opposite(folder: Path, good: Candidate, name: str) -> Candidate:
    """Return a candidate that says the opposite of a good one, under another name."""
    paths = SystemPaths(folder / name)
    tensors = safetensors.torch.load_file(good.paths.best_checkpoint)
    paths.root.mkdir()
    safetensors.torch.save_file(
        {k: -v if k.startswith("head.") else v for k, v in tensors.items()}, paths.best_checkpoint
    )
    paths.initialisation.write_text("random\n", encoding="utf-8")
    return replace(good, config=replace(good.config, name=name), paths=paths)


def serving(weights_dir: Path) -> str:
    return load_detector(active_checkpoint(weights_dir, "lung_ct")).card.sha256


def test_worse_weights_are_published_but_do_not_serve_unless_told(
    tmp_path: Path, good: Candidate
) -> None:
    first = publish(good, tmp_path / "weights")
    bad = the_opposite(tmp_path, good, "lung_ct_bad")

    second = publish(bad, tmp_path / "weights")

    assert not second.serves
    assert "worse than good on the same test scans" in second.rival
    assert serving(tmp_path / "weights") == first.card.sha256
    assert (tmp_path / "weights" / "lung_ct" / "bad.json").is_file()
    assert publish(bad, tmp_path / "weights", activation=True).serves
    assert serving(tmp_path / "weights") == second.card.sha256


def test_worse_weights_do_not_replace_those_of_their_own_name_that_serve(
    tmp_path: Path, good: Candidate
) -> None:
    first = publish(good, tmp_path / "weights")
    bad = the_opposite(tmp_path, good, "lung_ct_good")

    with pytest.raises(ActivationRefusedError, match=r"worse than good .* Add --activate"):
        publish(bad, tmp_path / "weights")

    assert serving(tmp_path / "weights") == first.card.sha256
    publish(bad, tmp_path / "weights", activation=True)
    assert serving(tmp_path / "weights") != first.card.sha256
    assert Shelf(tmp_path / "weights", "lung_ct").rollback().sha256 == first.card.sha256


def test_better_weights_serve_by_themselves(tmp_path: Path, good: Candidate) -> None:
    publish(the_opposite(tmp_path, good, "lung_ct_bad"), tmp_path / "weights")

    done = publish(good, tmp_path / "weights")

    assert done.serves
    assert "not worse than bad" in done.rival
    assert serving(tmp_path / "weights") == done.card.sha256


def test_weights_may_be_published_without_serving(
    tmp_path: Path, good: Candidate, published: Published
) -> None:
    done = publish(good, tmp_path / "weights", activation=False)

    assert not done.serves
    assert not (tmp_path / "weights" / "active.toml").exists()
    with pytest.raises(ActivationRefusedError, match="it is not to be replaced"):
        publish(published.candidate, published.weights_dir, activation=False)

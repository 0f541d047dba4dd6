import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from app.detection.architectures import build
from app.detection.card import ArchitectureSpec
from app.detection.labels import Label
from tests.training.lab import a_phase, system_config, write_dataset
from training.classifiers.callbacks import HISTORY_KEYS
from training.classifiers.hard_negatives import HARD_FILE
from training.classifiers.initialisation import (
    InitialisationError,
    WeightsOutOfReachError,
)
from training.classifiers.module import DetectorModule
from training.classifiers.train import (
    FINISHED_FILE,
    Hardware,
    train,
)
from training.config import Budget, L2Config, SystemConfig
from training.data.dataset import PairDataset
from training.data.manifest import Scan
from training.data.splits import COMPANION
from training.errors import CellLossError, LeakError, LearnedFromError, TooFewScansError
from training.people import require_strangers
from training.runs import SystemPaths


class StoppedError(Exception):
    """Somebody pulled the plug."""


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory) -> list[Scan]:
    return write_dataset(tmp_path_factory.mktemp("scans"))


def slow_learner(**changes: Any) -> SystemConfig:
    """Improve with every epoch, so that each has a better checkpoint than the one before."""
    phases = [a_phase(epochs=4, steps_per_epoch=6, learning_rate=2e-3, patience=4)]
    return system_config(**{"phases": phases} | changes)


def history(paths: SystemPaths, phase: int = 0) -> list[dict[str, float]]:
    text = (paths.phase_dir(phase) / "history.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def stopped_run(
    config: SystemConfig,
    scans: list[Scan],
    paths: SystemPaths,
    monkeypatch: pytest.MonkeyPatch,
    at: tuple[int, int],
) -> None:
    """Train until it breaks off in the middle of an epoch: at (epoch, batch), from 0."""
    step = DetectorModule.training_step

    def stopping(self: DetectorModule, batch: dict[str, torch.Tensor], batch_idx: int) -> object:
        if (self.trainer.current_epoch, batch_idx) == at:
            raise StoppedError
        return step(self, batch, batch_idx)

    with monkeypatch.context() as patch:
        patch.setattr(DetectorModule, "training_step", stopping)
        with pytest.raises(StoppedError):
            train(config, scans, paths, Hardware())


def test_companions_are_learned_from_and_their_people_are_remembered(
    scans: list[Scan], tmp_path: Path
) -> None:
    reals = [s for s in scans if s.side == "train" and s.label is Label.REAL]
    there = {s.person for s in reals[::2]}
    divided = [replace(s, side=COMPANION) if s.person in there else s for s in scans]
    phase = a_phase(epochs=1, hard_share=0.5, companion_share=0.5)
    config = slow_learner(phases=[phase], companions=["others"])

    train(config, divided, SystemPaths(tmp_path), Hardware())

    spots = json.loads((tmp_path / "phase0" / COMPANION / HARD_FILE).read_text(encoding="utf-8"))
    assert {path for path, *_ in spots} <= {str(s.path) for s in reals[::2]}
    with pytest.raises(LearnedFromError):
        require_strangers(tmp_path, [replace(s, side="test") for s in reals[::2]])


def test_a_companion_who_is_validated_on_is_a_leak(scans: list[Scan], tmp_path: Path) -> None:
    config = slow_learner(phases=[a_phase(companion_share=0.5)], companions=["others"])
    shared = [replace(s, side=COMPANION) for s in scans if s.side == "validation"]

    with pytest.raises(LeakError, match="companion"):
        train(config, [*scans, *shared], SystemPaths(tmp_path), Hardware())


def test_companions_without_fakes_are_refused_before_anything_is_learned(
    scans: list[Scan], tmp_path: Path
) -> None:
    phases = [a_phase(epochs=1), a_phase(epochs=1, companion_share=0.5)]
    config = slow_learner(phases=phases, companions=["others"])
    paths = SystemPaths(tmp_path)

    with pytest.raises(TooFewScansError, match=r"training side of others needs .* it has 0 and 0"):
        train(config, scans, paths, Hardware())
    assert not paths.phase_dir(0).exists()


def test_the_loss_falls_and_fakes_are_told_apart(scans: list[Scan], tmp_path: Path) -> None:
    paths = SystemPaths(tmp_path)
    config = system_config(phases=[a_phase(epochs=8, steps_per_epoch=12, patience=8)])

    best = train(config, scans, paths, Hardware())

    losses = [line["loss"] for line in history(paths)]
    assert losses[-1] < 0.8 * losses[0]
    assert max(line["validation_auc"] for line in history(paths)) > 0.9
    assert best == paths.best_checkpoint
    assert paths.initialisation.read_text(encoding="utf-8") == "random\n"


def test_the_best_checkpoint_is_a_network_of_its_config_in_single_precision(
    scans: list[Scan], tmp_path: Path
) -> None:
    best = train(slow_learner(), scans, SystemPaths(tmp_path), Hardware())

    tensors = safetensors.torch.load_file(best)
    build(slow_learner().architecture).load_state_dict(tensors, strict=True)
    assert {t.dtype for t in tensors.values()} == {torch.float32, torch.int64}


def test_the_best_checkpoint_is_that_of_the_best_auc_and_of_equals_the_lowest_loss(
    scans: list[Scan], tmp_path: Path
) -> None:
    paths = SystemPaths(tmp_path)
    best = train(slow_learner(), scans, paths, Hardware())

    lines = history(paths)
    ranks = [(line["validation_auc"], -line["validation_loss"]) for line in lines]
    batches = safetensors.torch.load_file(best)["trunk.1.num_batches_tracked"]
    assert int(batches) == 6 * (ranks.index(max(ranks)) + 1)


@pytest.mark.parametrize("at", [(0, 3), (1, 0), (2, 4), (3, 5)])
def test_a_stopped_run_ends_with_the_checkpoint_of_one_that_was_never_stopped(
    scans: list[Scan],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    at: tuple[int, int],
) -> None:
    config = slow_learner()
    never = train(config, scans, SystemPaths(tmp_path / "never"), Hardware())
    stopped = SystemPaths(tmp_path / "stopped")
    stopped_run(config, scans, stopped, monkeypatch, at)
    assert not stopped.best_checkpoint.exists()

    resumed = train(config, scans, stopped, Hardware())

    expected, found = safetensors.torch.load_file(never), safetensors.torch.load_file(resumed)
    assert expected.keys() == found.keys()
    for name, tensor in expected.items():
        torch.testing.assert_close(found[name], tensor)


def test_the_same_seed_gives_the_same_network_and_another_another(
    scans: list[Scan], tmp_path: Path
) -> None:
    one, same, other = (
        safetensors.torch.load_file(
            train(slow_learner(seed=seed), scans, SystemPaths(tmp_path / name), Hardware())
        )["head.weight"]
        for name, seed in (("one", 1), ("same", 1), ("other", 2))
    )

    torch.testing.assert_close(one, same)
    assert not torch.allclose(one, other)


def test_each_epoch_of_each_phase_draws_other_pairs(
    scans: list[Scan], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seeds = []

    class Watched(PairDataset):
        def __init__(self, *parts: Any) -> None:
            super().__init__(*parts)
            seeds.append(self._sampling.seed)

    monkeypatch.setattr("training.classifiers.loading.PairDataset", Watched)

    phases = [a_phase(epochs=2, steps_per_epoch=1), a_phase(epochs=1, steps_per_epoch=1)]
    train(slow_learner(phases=phases), scans, SystemPaths(tmp_path), Hardware())

    # Seed, phase, epoch, process.
    assert seeds == [(3, 0, 0, 0), (3, 0, 1, 0), (3, 1, 0, 0)]


def test_a_finished_run_is_not_repeated(scans: list[Scan], tmp_path: Path) -> None:
    paths = SystemPaths(tmp_path)
    first = train(slow_learner(), scans, paths, Hardware()).read_bytes()
    lines = history(paths)

    assert train(slow_learner(), scans, paths, Hardware()).read_bytes() == first
    assert history(paths) == lines


def test_a_later_phase_goes_on_from_the_best_of_the_one_before(
    scans: list[Scan], tmp_path: Path
) -> None:
    still = a_phase(epochs=1, steps_per_epoch=1, learning_rate=1e-12, crop_size=64)
    first = slow_learner().phases[0]
    alone = train(slow_learner(), scans, SystemPaths(tmp_path / "alone"), Hardware())

    both = train(
        slow_learner(phases=[first, still]), scans, SystemPaths(tmp_path / "both"), Hardware()
    )

    expected, found = (safetensors.torch.load_file(path) for path in (alone, both))
    torch.testing.assert_close(found["head.weight"], expected["head.weight"], atol=1e-5, rtol=0)


def test_a_run_stopped_in_its_second_phase_does_not_repeat_the_first(
    scans: list[Scan], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = SystemPaths(tmp_path)
    first = a_phase(epochs=1, steps_per_epoch=2)
    second = a_phase(epochs=3, steps_per_epoch=2, crop_size=64)
    config = slow_learner(phases=[first, second])
    stopped_run(config, scans, paths, monkeypatch, at=(2, 1))
    lines = history(paths)

    train(config, scans, paths, Hardware())

    assert history(paths) == lines
    assert (paths.phase_dir(1) / FINISHED_FILE).exists()


def test_a_phase_ends_when_nothing_gets_better(scans: list[Scan], tmp_path: Path) -> None:
    paths = SystemPaths(tmp_path)
    still = a_phase(epochs=9, steps_per_epoch=1, learning_rate=1e-12, patience=2)
    frozen = ArchitectureSpec(name="plain_cnn", arguments={"widths": [2]})

    train(slow_learner(phases=[still], architecture=frozen), scans, paths, Hardware())

    assert len(history(paths)) < 9


def test_mixed_precision_trains_as_well(scans: list[Scan], tmp_path: Path) -> None:
    config = slow_learner(precision="bf16-mixed", phases=[a_phase(epochs=1, steps_per_epoch=2)])

    best = train(config, scans, SystemPaths(tmp_path), Hardware())

    tensors = safetensors.torch.load_file(best)
    assert all(t.isfinite().all() for t in tensors.values() if t.is_floating_point())


def test_a_stopped_run_goes_on_after_its_last_whole_epoch_though_another_was_better(
    scans: list[Scan], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = SystemPaths(tmp_path)
    still = a_phase(epochs=5, steps_per_epoch=2, learning_rate=1e-12, patience=9)
    config = slow_learner(phases=[still])
    monkeypatch.setattr(
        "training.classifiers.module.mean_auc_over_generators", lambda **_: 0.5
    )  # so the first epoch stays the best
    stopped_run(config, scans, paths, monkeypatch, at=(3, 1))

    train(config, scans, paths, Hardware())

    assert [line["epoch"] for line in history(paths)] == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("missing", Label)
def test_a_training_side_without_a_class_is_refused(
    scans: list[Scan], tmp_path: Path, missing: Label
) -> None:
    rest = [s for s in scans if s.side != "train" or s.label is not missing]

    with pytest.raises(TooFewScansError):
        train(slow_learner(), rest, SystemPaths(tmp_path), Hardware())


def test_an_initialisation_that_does_not_suit_the_network_is_refused(
    scans: list[Scan], tmp_path: Path
) -> None:
    with pytest.raises(InitialisationError):
        train(slow_learner(initialisation="imagenet"), scans, SystemPaths(tmp_path), Hardware())


# --- what each epoch is judged on -----------------------------------------------------------


def test_a_loss_on_cells_is_refused_for_a_network_whose_cells_mean_nothing_alone(
    tmp_path: Path, scans: list[Scan]
) -> None:
    dense = ArchitectureSpec(name="vgg16_dense", arguments={"image_size": 64})
    config = slow_learner(architecture=dense, cell_loss=0.5)

    with pytest.raises(CellLossError, match="Set cell_loss = 0"):
        train(config, scans, SystemPaths(tmp_path), Hardware())


def test_a_frozen_trunk_ends_as_it_began(tmp_path: Path, scans: list[Scan]) -> None:
    config = slow_learner(frozen_trunk=True)

    trained = safetensors.torch.load_file(
        train(config, scans, SystemPaths(tmp_path / "run"), Hardware())
    )

    torch.manual_seed(config.seed)
    began = build(config.architecture).state_dict()
    trunk = [name for name in began if name.startswith("trunk.")]
    assert all(torch.equal(trained[name], began[name]) for name in trunk)
    assert not torch.equal(trained["head.weight"], began["head.weight"])


# --- what a config may ask for --------------------------------------------------------------


def whole_scans(**changes: Any) -> SystemConfig:
    """Show every whole scan once an epoch, as the documents do."""
    phase = a_phase(epochs=3, crop_size=64, steps_per_epoch=None, learning_rate=2e-3)
    fields = {"sampling": "epoch", "cell_loss": 0.0, "phases": [phase]}
    return system_config(**fields | changes)


def test_history_has_loss_and_accuracy_of_both_sides(scans: list[Scan], tmp_path: Path) -> None:
    paths = SystemPaths(tmp_path)

    train(whole_scans(), scans, paths, Hardware())

    lines = history(paths)
    assert [line["epoch"] for line in lines] == [0, 1, 2]
    assert [line["step"] for line in lines] == [3, 6, 9]  # of 24 scans, in batches of 8
    for line in lines:
        assert line.keys() == {"epoch", "step", *HISTORY_KEYS}
        assert 0 <= line["accuracy"] <= 1
        assert 0 <= line["validation_accuracy"] <= 1


def test_the_lowest_validation_loss_may_choose_the_checkpoint(
    scans: list[Scan], tmp_path: Path
) -> None:
    paths = SystemPaths(tmp_path)

    train(whole_scans(monitor="validation_loss"), scans, paths, Hardware())

    finished = json.loads((paths.phase_dir(0) / FINISHED_FILE).read_text(encoding="utf-8"))
    losses = [line["validation_loss"] for line in history(paths)]
    assert finished["validation_loss"] == pytest.approx(min(losses))


def test_a_cosine_takes_the_learning_rate_down_epoch_by_epoch(
    scans: list[Scan], tmp_path: Path
) -> None:
    paths = SystemPaths(tmp_path)
    phase = a_phase(
        epochs=2,
        crop_size=64,
        steps_per_epoch=1,
        learning_rate=0.1,
        schedule="cosine",
        optimiser="adam",
    )

    train(whole_scans(phases=[phase]), scans, paths, Hardware())

    assert [line["learning_rate"] for line in history(paths)] == pytest.approx([0.1, 0.05])


def test_a_penalty_counts_in_both_losses_and_shrinks_the_weights(
    scans: list[Scan], tmp_path: Path
) -> None:
    free, held = (SystemPaths(tmp_path / name) for name in ("free", "held"))
    config = whole_scans(weight_decay=0.0)
    heavy = L2Config(strength=10.0, on=["head"])

    loose = safetensors.torch.load_file(train(config, scans, free, Hardware()))
    tight = safetensors.torch.load_file(train(replace(config, l2=heavy), scans, held, Hardware()))

    assert tight["head.weight"].norm() < loose["head.weight"].norm()
    for key in ("loss", "validation_loss"):
        assert history(held)[0][key] > history(free)[0][key]


def test_a_frozen_trunk_that_found_no_weights_learns_from_scratch(
    scans: list[Scan], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def out_of_reach(*_args: object, **_named: object) -> None:
        raise WeightsOutOfReachError("MobileNetV2", "mobilenet.pth")

    monkeypatch.setattr("training.classifiers.initialisation._imagenet", out_of_reach)
    paths = SystemPaths(tmp_path)
    config = whole_scans(initialisation="imagenet_or_random", frozen_trunk=True)

    trained = safetensors.torch.load_file(train(config, scans, paths, Hardware()))

    torch.manual_seed(config.seed)
    began = build(config.architecture).state_dict()
    assert not torch.equal(trained["trunk.0.weight"], began["trunk.0.weight"])
    assert paths.initialisation.read_text(encoding="utf-8").startswith("from scratch")


def test_a_run_cut_short_has_fewer_scans_and_steps(scans: list[Scan], tmp_path: Path) -> None:
    paths = SystemPaths(tmp_path)
    cut = whole_scans().within(Budget(max_epochs=1, max_scans=4))

    train(cut, scans, paths, Hardware())

    assert [line["step"] for line in history(paths)] == [2]  # of 12 scans, in batches of 8


def test_a_finished_run_needs_no_weights_to_begin_with(
    scans: list[Scan], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    best = train(slow_learner(), scans, SystemPaths(tmp_path), Hardware())
    monkeypatch.setattr("training.classifiers.train.initialise", None)

    assert train(slow_learner(), scans, SystemPaths(tmp_path), Hardware()) == best

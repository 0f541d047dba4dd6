"""Phases that end with a mean: of several networks, or of what was learned and what was before."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from tests.training.lab import a_phase, system_config, write_dataset
from training.classifiers.members import members_of
from training.classifiers.module import DetectorModule
from training.classifiers.train import FINISHED_FILE, NETWORK_PREFIX, Hardware, train
from training.data.manifest import Scan
from training.errors import BusyRunError, MemberError
from training.runs import SystemPaths, held_alone


class StoppedError(Exception):
    """Somebody pulled the plug."""


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory) -> list[Scan]:
    return write_dataset(tmp_path_factory.mktemp("scans"))


def test_a_phase_may_keep_a_share_of_what_was_learned_before_it(
    scans: list[Scan], tmp_path: Path
) -> None:
    first, second = a_phase(epochs=1), a_phase(epochs=1, learning_rate=3e-2)

    before, whole, mean = (
        safetensors.torch.load_file(
            train(system_config(phases=phases), scans, SystemPaths(tmp_path / name), Hardware())
        )
        for name, phases in {
            "before": [first],
            "whole": [first, second],
            "mean": [first, replace(second, former_share=0.25)],
        }.items()
    )

    for name, tensor in mean.items():
        if tensor.is_floating_point():
            wanted = 0.25 * before[name] + 0.75 * whole[name]
            assert torch.allclose(tensor, wanted, atol=1e-6), name
        else:
            assert torch.equal(tensor, whole[name]), name
    assert any(not torch.equal(before[name], whole[name]) for name in whole)


def test_a_phase_of_several_members_ends_with_the_mean_of_networks_that_drew_otherwise(
    scans: list[Scan], tmp_path: Path
) -> None:
    paths = SystemPaths(tmp_path)
    first, second = a_phase(epochs=1), a_phase(epochs=1, learning_rate=3e-2, members=2)

    best = train(system_config(phases=[first, second]), scans, paths, Hardware())

    mean = safetensors.torch.load_file(best)
    members = [learned_in(paths.phase_dir(1, member)) for member in (0, 1)]
    for name, tensor in mean.items():
        if tensor.is_floating_point():
            wanted = (members[0][name] + members[1][name]) / 2
            assert torch.allclose(tensor, wanted, atol=1e-6), name
    alone = system_config(phases=[first, replace(second, members=1)])
    single = safetensors.torch.load_file(
        train(alone, scans, SystemPaths(tmp_path / "alone"), Hardware())
    )
    assert all(torch.equal(members[0][name], single[name]) for name in single)
    assert any(not torch.equal(members[0][name], members[1][name]) for name in single)


def learned_in(folder: Path) -> dict[str, torch.Tensor]:
    name = json.loads((folder / FINISHED_FILE).read_text(encoding="utf-8"))["best"]
    saved = torch.load(folder / name, map_location="cpu", weights_only=True)["state_dict"]
    return {key.removeprefix(NETWORK_PREFIX): tensor for key, tensor in saved.items()}


@pytest.mark.parametrize("epoch", [0, 1])
def test_a_run_stopped_in_its_second_member_ends_as_one_that_was_not(
    scans: list[Scan], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, epoch: int
) -> None:
    """Stopped in its first epoch, a member begins anew: from what the first one began with."""
    member = a_phase(epochs=2, steps_per_epoch=2, members=2)
    config = system_config(phases=[a_phase(epochs=1, steps_per_epoch=1), member])
    whole = train(config, scans, SystemPaths(tmp_path / "whole"), Hardware())
    paths = SystemPaths(tmp_path / "stopped")
    with monkeypatch.context() as patch:
        patch.setattr(DetectorModule, "training_step", stopping_in_the_third_run(epoch))
        with pytest.raises(StoppedError):
            train(config, scans, paths, Hardware())
    assert (paths.phase_dir(1) / FINISHED_FILE).exists()
    assert not (paths.phase_dir(1, 1) / FINISHED_FILE).exists()

    best = train(config, scans, paths, Hardware())

    assert best.read_bytes() == whole.read_bytes()


def test_members_trained_side_by_side_end_as_those_trained_one_after_the_other(
    scans: list[Scan], tmp_path: Path
) -> None:
    member = a_phase(epochs=1, steps_per_epoch=2, learning_rate=3e-2, members=2, hard_share=0.5)
    config = system_config(phases=[a_phase(epochs=1, steps_per_epoch=1), member, member])
    alone = train(config, scans, SystemPaths(tmp_path / "alone"), Hardware())
    paths = SystemPaths(tmp_path / "beside")

    spawn = get_context("spawn")
    processes = [
        spawn.Process(
            target=train, args=(config, scans, paths, Hardware()), kwargs={"member": n}, daemon=True
        )
        for n in (0, 1)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)

    assert [process.exitcode for process in processes] == [0, 0]
    assert paths.best_checkpoint.read_bytes() == alone.read_bytes()


@pytest.mark.parametrize(("taken", "member"), [(0, None), (1, None), (1, 1)])
def test_a_member_that_another_process_trains_is_refused_until_that_ends(
    scans: list[Scan], tmp_path: Path, taken: int, member: int | None
) -> None:
    config = system_config(
        phases=[a_phase(epochs=1, steps_per_epoch=1), a_phase(epochs=1, members=2)]
    )
    paths = SystemPaths(tmp_path)
    with held_by_another(paths.member_lock(taken)):
        refused = f"Another process is training member{taken} in"
        with pytest.raises(BusyRunError, match=refused):
            train(config, scans, paths, Hardware(), member=member)

    assert not list(tmp_path.glob("phase*"))
    assert train(config, scans, paths, Hardware()).exists()


def test_the_first_process_of_a_training_holds_its_member_for_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = SystemPaths(tmp_path).member_lock(0)

    with held_by_another(lock):
        monkeypatch.setenv("LOCAL_RANK", "1")
        with held_alone([lock]):
            pass
        monkeypatch.setenv("LOCAL_RANK", "0")
        with pytest.raises(BusyRunError), held_alone([lock]):
            pass


@contextmanager
def held_by_another(lock: Path) -> Iterator[None]:
    """Let another process hold a lock."""
    spawn = get_context("spawn")
    ours, theirs = spawn.Pipe()
    other = spawn.Process(target=hold, args=(lock, theirs), daemon=True)
    other.start()
    try:
        assert ours.poll(60)
        yield
    finally:
        other.kill()
        other.join()


def hold(lock: Path, told: Connection) -> None:
    with held_alone([lock]):
        told.send("held")
        told.recv()


def test_a_process_trains_its_own_member_of_the_phases_that_have_it() -> None:
    config = system_config(phases=[a_phase(), a_phase(members=2), a_phase(members=3)])

    def trained_by(member: int | None) -> list[list[int]]:
        return [list(members_of(config, number, member)) for number in range(3)]

    assert trained_by(None) == [[0], [0, 1], [0, 1, 2]]
    assert trained_by(0) == [[0], [0], [0]]
    assert trained_by(1) == [[], [1], [1]]
    assert trained_by(2) == [[], [], [2]]


def test_a_member_that_no_phase_has_is_refused_before_anything_is_learned(
    scans: list[Scan], tmp_path: Path
) -> None:
    phases = [a_phase(epochs=1), a_phase(epochs=1, members=2)]

    with pytest.raises(MemberError, match="give --member 0 to 1"):
        train(
            system_config(phases=phases), scans, SystemPaths(tmp_path / "no"), Hardware(), member=2
        )
    assert not (tmp_path / "no").exists()
    with pytest.raises(MemberError, match="leave --member out"):
        members_of(system_config(phases=phases[:1]), 0, 1)


def stopping_in_the_third_run(epoch: int) -> Any:
    """Break off in an epoch, from 0, of the third network that learns."""
    step = DetectorModule.training_step
    runs: list[DetectorModule] = []

    def stopping(self: DetectorModule, batch: dict[str, torch.Tensor], batch_idx: int) -> object:
        if not any(self is run for run in runs):
            runs.append(self)
        if len(runs) == 3 and self.trainer.current_epoch == epoch:
            raise StoppedError
        return step(self, batch, batch_idx)

    return stopping

import json
import shutil
import tomllib
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from app.detection.architectures import build
from app.detection.card import Card
from app.detection.weights import active_checkpoint, load_detector
from app.errors import WeightsMissingError
from tests.factories import make_card
from training.errors import RollbackError
from training.shelf import Shelf, choose

FIRST, SECOND, THIRD = 1, 2, 3
FILE_OPERATIONS = ("open", "unlink", "replace")


def a_pair(seed: int, name: str = "tiny") -> tuple[Card, bytes]:
    """Return a tiny network, different for each seed, with its card."""
    torch.manual_seed(seed)
    card = make_card(name=name)
    network = build(card.architecture)
    data = safetensors.torch.save({k: v.contiguous() for k, v in network.state_dict().items()})
    return make_card(name=name, digest=sha256(data).hexdigest()), data


def serve(shelf: Shelf, seed: int, name: str = "tiny") -> str:
    """Publish a pair, let it serve, and return its hash."""
    card, data = a_pair(seed, name)
    shelf.put(card, data)
    shelf.activate(name)
    return card.sha256


def served_by(shelf: Shelf) -> str:
    """Return the hash of what the application would load."""
    return load_detector(active_checkpoint(shelf.weights_dir, shelf.modality)).card.sha256


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path / "weights", "lung_ct")


def test_the_pair_that_is_replaced_is_kept(shelf: Shelf) -> None:
    first = serve(shelf, FIRST)
    second = serve(shelf, SECOND)

    assert served_by(shelf) == second
    kept = load_detector_in(shelf.former, f"tiny-{first[:12]}")
    assert kept == first
    assert {s.sha256 for s in shelf.kept()} == {first, second}


def load_detector_in(folder: Path, stem: str) -> str:
    """Load a kept pair as itself, by giving it its own name again; return its hash."""
    again = folder / "again"
    again.mkdir()
    for suffix in (".json", ".safetensors"):
        shutil.copyfile(folder / f"{stem}{suffix}", again / f"tiny{suffix}")
    return load_detector(again / "tiny.json").card.sha256


def test_publishing_the_same_pair_again_changes_nothing(shelf: Shelf) -> None:
    serve(shelf, FIRST)
    serve(shelf, FIRST)

    assert len(shelf.kept()) == 1


def test_going_back_restores_what_served_before_step_by_step(shelf: Shelf) -> None:
    first, second = serve(shelf, FIRST), serve(shelf, SECOND)
    third = serve(shelf, THIRD, name="other")
    assert served_by(shelf) == third

    assert shelf.rollback().sha256 == second
    assert served_by(shelf) == second
    assert shelf.rollback().sha256 == first
    assert served_by(shelf) == first
    with pytest.raises(RollbackError, match="no weights are known that served before"):
        shelf.rollback()
    assert served_by(shelf) == first


def test_going_back_to_one_by_its_hash_keeps_the_others(shelf: Shelf) -> None:
    first, second = serve(shelf, FIRST), serve(shelf, SECOND)
    third = serve(shelf, THIRD)

    assert shelf.rollback(first[:8]).sha256 == first
    assert served_by(shelf) == first
    assert {s.sha256 for s in shelf.kept()} == {first, second, third}
    assert shelf.rollback().sha256 == third  # what served before that


def test_a_choice_made_by_hand_is_remembered_too(shelf: Shelf) -> None:
    first, _ = serve(shelf, FIRST), serve(shelf, SECOND, name="other")
    choose(shelf.weights_dir, "lung_ct", "tiny")

    serve(shelf, THIRD, name="third")

    assert shelf.rollback().sha256 == first


def test_a_pair_that_does_not_serve_is_no_step_back(shelf: Shelf) -> None:
    first = serve(shelf, FIRST)
    shelf.put(*a_pair(SECOND, "other"))

    assert served_by(shelf) == first
    with pytest.raises(RollbackError):
        shelf.rollback()


@pytest.mark.parametrize(
    "content",
    ["{", "[1]", '[{"name": "tiny"}]', "7", "{}", '[{"name": null, "sha256": null}]'],
)
def test_a_damaged_history_is_named_and_the_weights_can_still_be_reached(
    shelf: Shelf, content: str
) -> None:
    first, second = serve(shelf, FIRST), serve(shelf, SECOND)
    history = shelf.former / "served.json"
    history.write_text(content, encoding="utf-8")

    with pytest.raises(RollbackError, match=r"served\.json cannot be used .* delete it"):
        shelf.rollback()
    assert served_by(shelf) == second
    history.unlink()
    shelf.rollback(first)

    assert served_by(shelf) == first


@pytest.mark.parametrize("damage", [lambda _: "[", lambda _: "[]", lambda c: c | {"sha256": None}])
def test_a_damaged_card_among_the_former_ones_is_passed_over(
    shelf: Shelf, damage: Callable[[dict[str, Any]], Any]
) -> None:
    first, second, third = (serve(shelf, seed) for seed in (FIRST, SECOND, THIRD))
    card = shelf.former / f"tiny-{second[:12]}.json"
    damaged = damage(json.loads(card.read_text(encoding="utf-8")))
    card.write_text(damaged if isinstance(damaged, str) else json.dumps(damaged), encoding="utf-8")

    assert {served.sha256 for served in shelf.kept()} == {first, third}


@pytest.mark.parametrize("to", ["", "ab", "f" * 12, "x"])
def test_a_hash_that_names_no_single_pair_is_refused_with_what_is_kept(
    shelf: Shelf, to: str
) -> None:
    first = serve(shelf, FIRST)

    with pytest.raises(RollbackError, match=rf"lung_ct: .* Kept: tiny \({first[:12]}\)\."):
        shelf.rollback(to)


def test_choosing_for_one_modality_leaves_the_others_alone(tmp_path: Path) -> None:
    choose(tmp_path, "knee_xray", "old")
    choose(tmp_path, "lung_ct", "tiny")
    choose(tmp_path, "knee_xray", "new")

    assert tomllib.loads((tmp_path / "active.toml").read_text("utf-8")) == {
        "knee_xray": "new",
        "lung_ct": "tiny",
    }


# --- interruptions --------------------------------------------------------------------------


class Killed(BaseException):
    """Like a kill: nothing in the code under test catches it."""


def kill_at(step: int, patch: pytest.MonkeyPatch) -> None:
    """Let every change of a file count, and the process die just before the ``step``-th."""
    seen = 0

    def counted(name: str) -> None:
        original = getattr(Path, name)

        def operation(self: Path, *arguments: object, **options: object) -> object:
            nonlocal seen
            if name != "open" or "w" in str(arguments[:1]):
                seen += 1
                if seen == step:
                    raise Killed
            return original(self, *arguments, **options)

        patch.setattr(Path, name, operation)

    for name in FILE_OPERATIONS:
        counted(name)


@pytest.mark.parametrize("step", range(1, 30))
def test_a_publication_that_is_killed_never_leaves_a_card_of_other_weights(
    shelf: Shelf, step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = serve(shelf, FIRST)
    second = a_pair(SECOND)[0].sha256

    with monkeypatch.context() as patch:
        kill_at(step, patch)
        try:
            serve(shelf, SECOND)
            finished = True
        except Killed:
            finished = False
    try:
        assert served_by(shelf) in {first, second}  # anything that does not match is refused here
    except WeightsMissingError:
        assert not finished
    shelf.recover()

    assert served_by(shelf) in ({second} if finished else {first, second})
    assert not list(shelf.folder.glob("*.partial"))
    serve(shelf, SECOND)
    assert served_by(shelf) == second
    assert shelf.rollback().sha256 == first


def test_half_a_checkpoint_is_thrown_away(shelf: Shelf) -> None:
    first = serve(shelf, FIRST)
    (shelf.folder / "tiny.safetensors.partial").write_bytes(b"half")
    (shelf.folder / "tiny.json.partial").write_text('{"sha', encoding="utf-8")

    shelf.recover()

    assert served_by(shelf) == first
    assert not list(shelf.folder.glob("*.partial"))

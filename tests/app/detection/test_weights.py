import json
import pickle
import sys
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import Tensor

from app.detection.card import ArchitectureSpec, PreprocessingSpec
from app.detection.preprocessing import IMAGENET_MEAN, IMAGENET_STD
from app.detection.weights import ACTIVE_FILE, active_checkpoint, load_detector
from app.errors import WeightsDamagedError, WeightsMissingError
from tests.factories import activate, publish_tiny_weights

CARD = Path("lung_ct/tiny.json")
CHECKPOINT = Path("lung_ct/tiny.safetensors")


@pytest.fixture
def weights_dir(tmp_path: Path) -> Path:
    """A folder of tiny weights that the test may spoil."""
    publish_tiny_weights(tmp_path, "lung_ct")
    return tmp_path


def replace_checkpoint(weights_dir: Path, data: bytes) -> None:
    """Put other bytes in the place of the checkpoint and let the card vouch for them."""
    (weights_dir / CHECKPOINT).write_bytes(data)
    card = json.loads((weights_dir / CARD).read_text())
    card["sha256"] = sha256(data).hexdigest()
    (weights_dir / CARD).write_text(json.dumps(card))


def replace_tensors(
    weights_dir: Path, change: Callable[[dict[str, Tensor]], dict[str, Tensor]]
) -> None:
    tensors = safetensors.torch.load((weights_dir / CHECKPOINT).read_bytes())
    replace_checkpoint(weights_dir, safetensors.torch.save(change(tensors)))


# --- loading --------------------------------------------------------------------------------


def test_a_published_checkpoint_is_loaded_ready_to_judge(weights_dir: Path) -> None:
    detector = load_detector(weights_dir / CARD)

    assert detector.card.name == "tiny"
    assert not detector.network.training
    for tensor in detector.network.parameters():
        assert tensor.dtype == torch.float32
        assert tensor.device.type == "cpu"


def test_the_loaded_numbers_are_those_in_the_file(weights_dir: Path) -> None:
    stored = safetensors.torch.load((weights_dir / CHECKPOINT).read_bytes())

    state = load_detector(weights_dir / CARD).network.state_dict()

    assert state.keys() == stored.keys()
    assert all(torch.equal(state[name], stored[name].to(state[name].dtype)) for name in state)


def test_the_file_holds_half_precision(weights_dir: Path) -> None:
    stored = safetensors.torch.load((weights_dir / CHECKPOINT).read_bytes())

    assert {t.dtype for t in stored.values() if t.is_floating_point()} == {torch.float16}


def test_one_flipped_bit_is_noticed(weights_dir: Path) -> None:
    path = weights_dir / CHECKPOINT
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)

    with pytest.raises(WeightsDamagedError, match="SHA-256"):
        load_detector(weights_dir / CARD)


def test_a_checkpoint_cut_short_is_noticed(weights_dir: Path) -> None:
    replace_checkpoint(weights_dir, (weights_dir / CHECKPOINT).read_bytes()[:-10])

    with pytest.raises(WeightsDamagedError, match="tensors"):
        load_detector(weights_dir / CARD)


def test_a_card_without_its_checkpoint_is_missing_weights(weights_dir: Path) -> None:
    (weights_dir / CHECKPOINT).unlink()

    with pytest.raises(WeightsMissingError, match="tiny"):
        load_detector(weights_dir / CARD)


def test_a_folder_in_the_place_of_the_checkpoint_is_refused(weights_dir: Path) -> None:
    (weights_dir / CHECKPOINT).unlink()
    (weights_dir / CHECKPOINT).mkdir()

    with pytest.raises(WeightsDamagedError, match="cannot be read"):
        load_detector(weights_dir / CARD)


@pytest.mark.parametrize(
    "change",
    [
        lambda tensors: {k: t for k, t in tensors.items() if k != "head.bias"},
        lambda tensors: tensors | {"head.extra": torch.zeros(1)},
        lambda tensors: tensors | {"head.bias": torch.zeros(2)},
        lambda tensors: {},
    ],
    ids=["a missing one", "one too many", "a wrong shape", "none"],
)
def test_tensors_that_are_not_the_networks_are_refused(
    weights_dir: Path, change: Callable[[dict[str, Tensor]], dict[str, Tensor]]
) -> None:
    replace_tensors(weights_dir, change)

    with pytest.raises(WeightsDamagedError, match="its tensors are not the network's"):
        load_detector(weights_dir / CARD)


def test_a_library_that_is_missing_is_not_taken_for_damaged_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = ArchitectureSpec(name="mobilenet_v2", arguments={})
    publish_tiny_weights(tmp_path, "lung_ct", architecture=spec)
    monkeypatch.setitem(sys.modules, "torchvision", None)

    with pytest.raises(ImportError, match="torchvision"):
        load_detector(tmp_path / CARD)


class Bomb:
    """An object whose unpickling leaves a trace."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Callable[[Path], None], tuple[Path]]:
        return (Path.touch, (self.trace,))


@pytest.mark.parametrize("is_torch_file", [True, False])
def test_a_pickle_that_calls_itself_safetensors_is_refused_unopened(
    weights_dir: Path, is_torch_file: bool
) -> None:
    trace = weights_dir / "trace"
    path = weights_dir / "bomb"
    if is_torch_file:
        torch.save({"head.bias": Bomb(trace)}, path)
    else:
        path.write_bytes(pickle.dumps(Bomb(trace)))
    replace_checkpoint(weights_dir, path.read_bytes())

    with pytest.raises(WeightsDamagedError, match="tensors"):
        load_detector(weights_dir / CARD)

    assert not trace.exists()


def test_weights_made_for_another_preprocessing_are_refused(tmp_path: Path) -> None:
    preprocessing = PreprocessingSpec(
        image_size=64, mean=IMAGENET_MEAN, std=IMAGENET_STD, version=999
    )
    publish_tiny_weights(tmp_path, "lung_ct", preprocessing=preprocessing)

    with pytest.raises(WeightsDamagedError, match="preprocessing version 999"):
        load_detector(tmp_path / CARD)


@pytest.mark.parametrize(
    ("architecture", "says"),
    [
        (ArchitectureSpec(name="os.system", arguments={}), "no architecture 'os.system'"),
        (ArchitectureSpec(name="plain_cnn", arguments={"widths": []}), "widths"),
        (ArchitectureSpec(name="plain_cnn", arguments={"colour": 1}), "colour"),
        (ArchitectureSpec(name="plain_cnn", arguments={"widths": [4, 9]}), "tensors"),
    ],
)
def test_a_network_that_cannot_be_built_is_refused(
    weights_dir: Path, architecture: ArchitectureSpec, says: str
) -> None:
    card = json.loads((weights_dir / CARD).read_text())
    card["architecture"] = {"name": architecture.name, "arguments": architecture.arguments}
    (weights_dir / CARD).write_text(json.dumps(card))

    with pytest.raises(WeightsDamagedError, match=says):
        load_detector(weights_dir / CARD)


# --- which one serves -----------------------------------------------------------------------


def test_the_active_checkpoint_is_the_one_named(weights_dir: Path) -> None:
    publish_tiny_weights(weights_dir, "lung_ct", name="newer", seed=1)
    assert active_checkpoint(weights_dir, "lung_ct") == weights_dir / "lung_ct" / "newer.json"

    activate(weights_dir, {"lung_ct": "tiny"})
    assert active_checkpoint(weights_dir, "lung_ct") == weights_dir / CARD


def test_a_modality_that_is_not_named_has_no_weights(weights_dir: Path) -> None:
    with pytest.raises(WeightsMissingError, match="Knee X-ray"):
        active_checkpoint(weights_dir, "knee_xray")


def test_without_the_file_no_modality_has_weights(tmp_path: Path) -> None:
    with pytest.raises(WeightsMissingError):
        active_checkpoint(tmp_path / "nowhere", "lung_ct")


@pytest.mark.parametrize("content", [b"lung_ct = ", b"lung_ct", b"\xff\xff", b"[[["])
def test_a_file_that_is_not_toml_is_refused(weights_dir: Path, content: bytes) -> None:
    (weights_dir / ACTIVE_FILE).write_bytes(content)

    with pytest.raises(WeightsDamagedError, match="TOML"):
        active_checkpoint(weights_dir, "lung_ct")


@pytest.mark.parametrize(
    "value",
    [
        "'../../etc/passwd'",
        "'/etc/passwd'",
        "'a/b'",
        "'..'",
        "'.'",
        "''",
        "7",
        "['tiny']",
        '"a\\u0000"',
    ],
)
def test_a_name_that_leads_out_of_the_folder_is_refused(weights_dir: Path, value: str) -> None:
    (weights_dir / ACTIVE_FILE).write_text(f"lung_ct = {value}\n")

    with pytest.raises(WeightsDamagedError, match="names no checkpoint"):
        active_checkpoint(weights_dir, "lung_ct")

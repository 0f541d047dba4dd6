"""The networks of the source documents, against what is printed there, and those beside them."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torchvision import models

from app.detection.architectures import Detector, build
from app.detection.architectures.heads import DenseHeadDetector
from app.detection.architectures.noise_residual import block_cosines, high_pass_filters
from app.detection.architectures.patch_mil import PatchMIL
from app.detection.architectures.trunks import TorchvisionTrunk, feature_shape
from app.detection.card import ArchitectureSpec
from app.errors import ArchitectureArgumentsError

DOCUMENT_SIZE = 224


def network_of(name: str, **arguments: Any) -> Detector:
    torch.manual_seed(0)
    return build(ArchitectureSpec(name=name, arguments=arguments))


def plan_of(name: str, **arguments: Any) -> DenseHeadDetector:
    """Build a network that has shapes but no numbers, which takes no time."""
    with torch.device("meta"):
        network = network_of(name, **arguments)
    assert isinstance(network, DenseHeadDetector)
    return network


def parameters(network: nn.Module) -> int:
    return sum(tensor.numel() for tensor in network.parameters())


# --- heads, as printed ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "cells", "channels"),
    [
        ("densenet121_dense", 7, 1024),
        ("inception_v3_dense", 5, 2048),
        ("mobilenet_v2_dense", 7, 1280),
        ("resnet50_dense", 7, 2048),
        ("vgg16_dense", 7, 512),
    ],
)
def test_a_transfer_head_is_flatten_dense_256_dropout_half_sigmoid(
    name: str, cells: int, channels: int
) -> None:
    network = plan_of(name, image_size=DOCUMENT_SIZE)

    assert network.dense.weight.shape == (256, channels * cells**2)
    assert (network.dropout_before.p, network.dropout.p) == (0.0, 0.5)
    assert network.output.weight.shape == (1, 256)


def test_cnn_1_has_the_layers_and_the_parameters_of_the_printed_source() -> None:
    network = plan_of("document_cnn", image_size=DOCUMENT_SIZE)

    assert isinstance(network.trunk, nn.Sequential)
    stage = [nn.Conv2d, nn.ReLU, nn.BatchNorm2d, nn.MaxPool2d]
    assert [type(layer) for layer in network.trunk] == stage * 4
    widths = [layer.out_channels for layer in network.trunk if isinstance(layer, nn.Conv2d)]
    assert widths == [64, 128, 256, 512]
    convolutions = 1_792 + 73_856 + 295_168 + 1_180_160
    batch_norms = 2 * (64 + 128 + 256 + 512)
    head = (14 * 14 * 512 + 1) * 256 + 257
    assert parameters(network) == convolutions + batch_norms + head
    assert network.dropout.p == 0.5


def test_a_cnn_of_five_layers_has_three_convolutions() -> None:
    network = plan_of("document_cnn", image_size=64, widths=[64, 128, 256], dropout=0.3)

    kinds = [type(module) for module in network.modules()]
    assert (kinds.count(nn.Conv2d), kinds.count(nn.Linear)) == (3, 2)
    assert network.dropout.p == 0.3


@pytest.mark.parametrize(("variant", "dropout"), [({}, 0.7), ({"dropout": 0.5}, 0.5)])
def test_the_residual_variants_have_their_dropouts_around_512_units_and_softmax(
    variant: dict[str, float], dropout: float
) -> None:
    network = plan_of("document_resnet", **variant)

    assert (network.dropout_before.p, network.dropout.p) == (0.6, dropout)
    assert network.dense.weight.shape == (512, 512)
    assert network.output.weight.shape == (2, 512)


def test_the_residual_network_has_the_convolutions_of_the_printed_source() -> None:
    trunk = plan_of("document_resnet").trunk

    kernels = [m.kernel_size[0] for m in trunk.modules() if isinstance(m, nn.Conv2d)]
    assert (kernels.count(7), kernels.count(3), kernels.count(1)) == (1, 32, 16)
    assert feature_shape(trunk, DOCUMENT_SIZE) == (512, 4, 4)


def test_the_sequential_model_has_three_convolutions_one_pool_and_softmax() -> None:
    network = plan_of("document_sequential", image_size=32)

    assert isinstance(network.trunk, nn.Sequential)
    assert [type(layer) for layer in network.trunk] == [nn.Conv2d, nn.ReLU] * 3 + [nn.MaxPool2d]
    assert network.dense.in_features == 16 * 16 * 32
    assert len(network.output.weight) == 2


@pytest.mark.parametrize("name", ["inception_v3_dense", "vgg16_dense"])
def test_images_that_are_too_small_for_a_network_are_refused(name: str) -> None:
    with pytest.raises(ArchitectureArgumentsError, match="image_size 16"):
        network_of(name, image_size=16)


@pytest.mark.parametrize("widths", [[], [0], "ab"])
def test_widths_that_do_not_fit_are_refused(widths: Any) -> None:
    with pytest.raises(ArchitectureArgumentsError, match="document_cnn"):
        network_of("document_cnn", image_size=32, widths=widths)


# --- trunks from torchvision ----------------------------------------------------------------

CLASSIFIERS = {
    "convnext_tiny": ("convnext_tiny", {}),
    "densenet121": ("densenet121", {}),
    "inception_v3": ("inception_v3_dense", {"image_size": 128}),
    "mobilenet_v2": ("mobilenet_v2", {}),
    "resnet18": ("resnet18", {}),
    "resnet34": ("resnet34", {}),
    "resnet50": ("resnet50", {}),
    "vgg16": ("vgg16_dense", {"image_size": 64}),
}


def trunk_of(model_name: str) -> TorchvisionTrunk:
    name, arguments = CLASSIFIERS[model_name]
    trunk = network_of(name, **arguments).eval().get_submodule("trunk")
    assert isinstance(trunk, TorchvisionTrunk)
    return trunk


def options(model_name: str) -> dict[str, bool]:
    """Return the arguments with which torchvision loads the network's published weights."""
    return {"transform_input": True, "init_weights": False} if model_name == "inception_v3" else {}


@pytest.mark.parametrize("model_name", CLASSIFIERS)
def test_the_tensors_of_a_trunk_are_called_as_torchvision_calls_them(model_name: str) -> None:
    with torch.device("meta"):
        published = models.get_model(model_name, weights=None, **options(model_name)).state_dict()
    trunk = trunk_of(model_name)

    assert trunk.model_name == model_name
    for key, tensor in trunk.state_dict().items():
        assert tensor.shape == published[key].shape


@pytest.mark.parametrize("model_name", sorted(set(CLASSIFIERS) - {"convnext_tiny", "vgg16"}))
def test_a_trunk_sees_what_torchvisions_network_sees(model_name: str) -> None:
    trunk = trunk_of(model_name)
    theirs = models.get_model(model_name, weights=None, **options(model_name)).eval()
    theirs.load_state_dict(trunk.state_dict(), strict=False)
    seen: list[Tensor] = []
    last = [module for module in theirs.modules() if isinstance(module, nn.Linear)][-1]
    last.register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[0]))
    images = torch.randn(2, 3, 128, 128, generator=torch.Generator().manual_seed(1))

    with torch.inference_mode():
        theirs(images)
        ours = trunk(images).mean((2, 3))

    assert torch.allclose(ours, seen[0], rtol=1e-4, atol=1e-5)


# --- noise residuals ------------------------------------------------------------------------


def test_the_high_pass_filters_answer_nothing_to_even_and_to_slanting_grey() -> None:
    row, column = torch.meshgrid(torch.arange(5.0), torch.arange(5.0), indexing="ij")

    for plane in (torch.ones(5, 5), row, column):
        answers = (high_pass_filters()[:, 0] * plane).sum((1, 2))
        assert torch.allclose(answers, torch.zeros(3), atol=1e-5)


def test_the_block_cosines_are_orthonormal() -> None:
    rows = block_cosines().flatten(1)

    assert torch.allclose(rows @ rows.T, torch.eye(64), atol=1e-5)


def test_a_size_that_is_no_whole_number_of_blocks_is_refused() -> None:
    with pytest.raises(ValueError, match="multiple of 8, got 60"):
        network_of("noise_residual")(torch.zeros(1, 3, 60, 60))


# --- patches --------------------------------------------------------------------------------


def test_the_order_of_the_patches_does_not_change_the_answer_but_moves_the_evidence() -> None:
    network = network_of("patch_mil", patch_size=32).eval()
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    rolled = images.roll(32, dims=3)

    with torch.inference_mode():
        before, after = network(images), network(rolled)

    assert torch.allclose(before.logits, after.logits, atol=1e-5)
    assert torch.allclose(before.evidence.flip(2), after.evidence, atol=1e-4)


def test_patches_are_cut_from_where_their_cells_lie() -> None:
    network = network_of("patch_mil", patch_size=32)
    assert isinstance(network, PatchMIL)
    images = torch.zeros(1, 3, 64, 96)
    images[0, :, 32:, 64:] = 1

    patches = network.patches(images)

    assert patches.shape == (1, 2, 3, 3, 32, 32)
    assert patches.mean((3, 4, 5)).tolist() == [[[0, 0, 0], [0, 0, 1]]]


def test_a_size_that_is_no_whole_number_of_patches_is_refused() -> None:
    with pytest.raises(ValueError, match="multiple of 32, got 80"):
        network_of("patch_mil", patch_size=32)(torch.zeros(1, 3, 80, 80))
    with pytest.raises(ArchitectureArgumentsError, match="patch_size must be 1"):
        network_of("patch_mil", patch_size=0)

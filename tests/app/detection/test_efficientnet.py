import copy
from typing import Any

import pytest
import torch
from efficientnet_pytorch import EfficientNet
from torch import nn
from torch.nn import functional

from app.detection.architectures import Detector, build
from app.detection.architectures.efficientnet import COARSE, STEM, AdaptedConv2d, EfficientNetB4
from app.detection.card import ArchitectureSpec
from app.errors import ArchitectureArgumentsError
from tests.app.detection.inputs import images


def efficientnet(**changes: Any) -> Detector:
    torch.manual_seed(0)
    arguments = {"image_size": 64, **changes}
    return build(ArchitectureSpec(name="efficientnet_b4", arguments=arguments))


def paddings(network: Detector) -> list[tuple[str, str]]:
    """Return every padding that the package has fixed at construction."""
    return [
        (name, repr(module))
        for name, module in network.named_modules()
        if name.endswith(("static_padding", "before", "_depthwise_conv"))
    ]


@pytest.mark.parametrize("image_size", [96, 224, 256, 384, 512])
def test_the_padding_is_the_same_for_all_multiples_of_32(image_size: int) -> None:
    here = paddings(efficientnet(image_size=image_size))

    assert len(here) > 30
    assert here == paddings(efficientnet(image_size=64))


def test_the_trunk_computes_what_the_package_computes() -> None:
    network = efficientnet(image_size=96).eval()
    assert isinstance(network, EfficientNetB4)
    packaged = EfficientNet.from_name("efficientnet-b4", image_size=96, include_top=False).eval()
    packaged.load_state_dict(network.trunk.state_dict())

    here = network.trunk.extract_endpoints(images(2, 96))
    there = packaged.extract_endpoints(images(2, 96))
    for endpoints in (here, there):
        endpoints["reduction_5"].square().mean().backward()

    assert here.keys() == there.keys()
    for name, features in there.items():
        assert torch.allclose(here[name], features, atol=1e-4), name
    gradients = {name: p.grad for name, p in packaged.named_parameters()}
    for name, parameter in network.trunk.named_parameters():
        if "_depthwise_conv" in name and gradients[name] is not None:
            assert torch.allclose(parameter.grad, gradients[name], rtol=1e-3, atol=1e-7), name


def test_depthwise_convolutions_keep_single_precision_where_a_cpu_would_take_half() -> None:
    network = efficientnet()
    seen: dict[str, set[torch.dtype]] = {"depthwise": set(), "other": set()}
    for name, module in network.named_modules():
        if isinstance(module, torch.nn.Conv2d):
            kind = "depthwise" if name.endswith("_depthwise_conv") else "other"
            module.register_forward_hook(lambda _, __, out, kind=kind: seen[kind].add(out.dtype))

    with torch.autocast("cpu", torch.bfloat16):
        network(images())

    assert seen == {"depthwise": {torch.float32}, "other": {torch.bfloat16}}


def test_a_network_made_for_crops_judges_whole_scans_alike() -> None:
    for_crops = efficientnet(image_size=64).eval()
    for_scans = efficientnet(image_size=128).eval()

    with torch.inference_mode():
        assert torch.equal(for_crops(images(1, 128)).logits, for_scans(images(1, 128)).logits)


@pytest.mark.parametrize("image_size", [380, 0, -32, 33])
def test_a_size_that_is_no_multiple_of_32_is_refused(image_size: int) -> None:
    with pytest.raises(ArchitectureArgumentsError, match="multiple of 32"):
        efficientnet(image_size=image_size)


def test_a_stem_that_halves_nothing_has_the_same_parameters_and_cells_half_as_wide() -> None:
    usual, whole = efficientnet(), efficientnet(stem_stride=1)
    whole.load_state_dict(usual.state_dict())

    assert usual(images()).evidence.shape == (2, 4, 4)
    assert whole(images()).evidence.shape == (2, 8, 8)
    assert [n for n, _ in whole.named_parameters()] == [n for n, _ in usual.named_parameters()]


def test_a_stem_that_halves_nothing_is_applied_at_every_pixel() -> None:
    usual = efficientnet().get_submodule(f"trunk.{STEM}")
    whole = efficientnet(stem_stride=1).get_submodule(f"trunk.{STEM}")

    with torch.inference_mode():
        dense = whole(images())
        assert dense.shape[-2:] == (64, 64)
        # The usual stem pads at the end alone, so its windows begin at the first pixel.
        assert torch.allclose(dense[..., 1::2, 1::2], usual(images()), atol=1e-5)


def both_looks() -> EfficientNetB4:
    network = efficientnet(stem_stride=[1, 2], sharpness=1.0).eval()
    assert isinstance(network, EfficientNetB4)
    return network


def test_the_logit_of_two_looks_is_the_mean_of_theirs_and_raises_all_cells_alike() -> None:
    network, fine = both_looks(), efficientnet(stem_stride=1, sharpness=1.0).eval()
    coarse = network.coarse
    assert coarse is not None
    fine.load_state_dict({k: v for k, v in network.state_dict().items() if COARSE not in k})

    with torch.inference_mode():
        seen, near, far = network(images()), fine(images()), coarse(images())
    assert torch.allclose(seen.logits, (near.logits + far.logits) / 2, atol=1e-5)
    assert torch.allclose(seen.logits, network.pool(seen.evidence), atol=1e-5)
    wide = functional.interpolate(far.evidence[:, None], size=(8, 8), mode="bilinear")[:, 0]
    raised = seen.evidence - (near.evidence + wide) / 2
    assert torch.allclose(raised, raised[:, :1, :1].expand_as(raised), atol=1e-5)


def test_the_second_look_has_its_own_filters_and_a_small_change_of_what_mixes_channels() -> None:
    network = both_looks()
    own = {n: t for n, t in network.state_dict().items() if n.startswith(f"{COARSE}.")}

    assert sum(t.numel() for t in own.values()) < 0.12 * 17.7e6
    assert f"{COARSE}.trunk._blocks.0._depthwise_conv.weight" in own
    assert f"{COARSE}.trunk._conv_head.weight" not in own
    network(images()).logits.sum().backward()
    for name in (f"{COARSE}.trunk._conv_head.up", "trunk._conv_head.weight"):
        assert network.get_parameter(name).grad is not None


def test_a_copy_adapts_what_is_its_own() -> None:
    network, name = both_looks(), "trunk._conv_head"
    copied = copy.deepcopy(network)
    adapted = copied.get_submodule(f"{COARSE}.{name}")
    features = torch.ones(1, 448, 1, 1)

    with torch.inference_mode():
        nn.init.zeros_(network.get_parameter(f"{name}.weight"))
        assert adapted(features).any()
        nn.init.zeros_(copied.get_parameter(f"{name}.weight"))
        assert not adapted(features).any()


def test_a_second_look_begins_with_what_the_first_has_learned() -> None:
    network, learned = both_looks(), efficientnet(stem_stride=1).eval()
    usual = efficientnet().eval()
    usual.load_state_dict(learned.state_dict())

    network.load_state_dict(network.grown_from(learned.state_dict()))

    assert network.coarse is not None
    with torch.inference_mode():
        assert torch.allclose(
            network.coarse.evidence(images()), usual.evidence(images()), atol=1e-6
        )
    assert usual.grown_from(learned.state_dict()).keys() == learned.state_dict().keys()


def test_a_second_look_begins_as_another_network_as_far_as_its_rank_goes() -> None:
    network, first = both_looks(), efficientnet(stem_stride=1).state_dict()
    # Each weight was changed by one number, which is a change of rank 1.
    second = {k: v + 0.01 if v.is_floating_point() else v for k, v in first.items()}

    network.load_state_dict(network.grown_from(first, second))

    coarse = network.coarse
    assert coarse is not None
    adapted = {n: m for n, m in coarse.named_modules() if isinstance(m, AdaptedConv2d)}
    assert len(adapted) > 100
    for name, conv in adapted.items():
        change = (conv.up @ conv.down)[:, :, None, None]
        assert torch.allclose(first[f"{name}.weight"] + change, second[f"{name}.weight"], atol=1e-5)
    weights = network.state_dict()
    assert all(torch.equal(weights[name], tensor) for name, tensor in first.items())
    own = {name: t for name, t in coarse.state_dict().items() if name in second}
    assert all(torch.equal(second[name], tensor) for name, tensor in own.items())


def test_a_network_that_looks_once_takes_no_second_look() -> None:
    weights = efficientnet().state_dict()

    with pytest.raises(ValueError, match="looks once"):
        efficientnet().grown_from(weights, weights)


@pytest.mark.parametrize("stem_stride", [0, 3, -1, 1.5, None, [2, 1], [], [1, 2, 3]])
def test_another_stem_is_refused(stem_stride: Any) -> None:
    with pytest.raises(ArchitectureArgumentsError, match=r"stem_stride must be 1, 2 or \[1, 2\]"):
        efficientnet(stem_stride=stem_stride)


def test_the_evidence_is_linear_in_the_features_of_the_head() -> None:
    network = efficientnet().eval()
    assert isinstance(network, EfficientNetB4)

    with torch.inference_mode():
        before = network.evidence(images())
        network.fine_head.weight *= 2
        network.deep_head.weight *= 2
        bias = network.deep_head.bias
        assert bias is not None
        bias *= 2
        after = network.evidence(images())

    assert torch.allclose(after, 2 * before, atol=1e-5)

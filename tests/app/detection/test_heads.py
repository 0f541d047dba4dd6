"""The heads alone, on features given as images: the trunk passes them through."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from app.detection.architectures.heads import DenseHead, DenseHeadDetector, LinearHeadDetector

SIDE = 6


def features(count: int = 4) -> Tensor:
    return torch.randn(count, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(1))


def dense(*, flatten: bool, **changes: Any) -> DenseHeadDetector:
    torch.manual_seed(0)
    head = DenseHead(**{"hidden": 16, "dropout": 0.0} | changes)
    return DenseHeadDetector(nn.Identity(), head, flatten_for=SIDE if flatten else None)


def as_printed(network: DenseHeadDetector) -> nn.Sequential:
    """Return the same layers in the usual form: read, dropout, dense, ReLU, dropout, output."""
    reading = [nn.AdaptiveAvgPool2d(1)] if network.flatten_for is None else []
    return nn.Sequential(
        *reading, nn.Flatten(), network.dense, nn.ReLU(), network.dropout, network.output
    )


def learned(network: nn.Module, logits: Tensor) -> tuple[Tensor, Tensor]:
    """Return the logits and every parameter's gradient of a loss on them."""
    gradients = torch.autograd.grad(functional.softplus(logits).sum(), list(network.parameters()))
    return logits, torch.cat([gradient.flatten() for gradient in gradients])


@pytest.mark.parametrize("flatten", [True, False])
@pytest.mark.parametrize("training", [True, False])
def test_a_dense_head_answers_and_learns_as_the_layers_in_their_usual_form(
    flatten: bool, training: bool
) -> None:
    network = dense(flatten=flatten, dropout=0.5).train(training)
    usual = as_printed(network)

    torch.manual_seed(2)
    logits, gradients = learned(network, network(features()).logits)
    torch.manual_seed(2)
    usual_logits, usual_gradients = learned(network, usual(features())[:, 0])

    assert torch.allclose(logits, usual_logits, atol=1e-5)
    assert torch.allclose(gradients, usual_gradients, atol=1e-4)


def test_dropout_of_averaged_features_zeroes_whole_channels() -> None:
    network = dense(flatten=False, dropout_before=0.5).train()

    kept = network.dropout_before(torch.ones(8, 3, SIDE, SIDE)).flatten(2)

    assert (kept == kept[..., :1]).all()
    assert set(kept.flatten().tolist()) == {0.0, 2.0}


def test_what_a_cell_adds_is_what_the_logit_loses_without_it() -> None:
    network = dense(flatten=True).eval()
    with torch.no_grad():
        network.dense.bias.fill_(1e3)  # keeps all units on, so that nothing else changes
        whole = network(features())
        without = features()
        without[:, :, 2, 3] = 0
        less = network(without)

    lost = whole.logits - less.logits
    emptied = less.evidence[:, 2, 3]
    assert torch.allclose((whole.evidence[:, 2, 3] - emptied) / SIDE**2, lost, atol=1e-3)


def test_a_cell_of_a_linear_head_does_not_know_the_others_and_one_of_a_dense_head_does() -> None:
    changed = features()
    changed[:, :, 0, 0] += 5
    linear = LinearHeadDetector(nn.Identity()).eval()

    with torch.inference_mode():
        for network in (linear, dense(flatten=True).eval()):
            before, after = (network.evidence(x)[:, 1:, 1:] for x in (features(), changed))
            assert torch.equal(before, after) == network.cells_judge_alone


@pytest.mark.parametrize("flatten", [True, False])
def test_a_softmax_over_two_classes_is_the_sigmoid_of_their_difference(flatten: bool) -> None:
    network = dense(flatten=flatten, outputs=2).eval()
    labels = torch.tensor([1, 0, 0, 1])

    with torch.inference_mode():
        scores = as_printed(network)(features())
        logits = network(features()).logits

    categorical = functional.cross_entropy(scores, labels)
    binary = functional.binary_cross_entropy_with_logits(logits, labels.float())
    assert torch.allclose(scores.softmax(1)[:, 1], logits.sigmoid(), atol=1e-6)
    assert torch.allclose(categorical, binary, atol=1e-6)


def test_a_linear_head_with_two_outputs_gives_their_difference_too() -> None:
    network = LinearHeadDetector(nn.Identity(), outputs=2).eval()

    with torch.inference_mode():
        scores = network.output(features())
        assert torch.equal(network.evidence(features()), scores[:, 1] - scores[:, 0])


def test_averages_are_read_at_any_size_and_flattened_features_at_one() -> None:
    larger = torch.randn(1, 3, 9, 9)

    assert dense(flatten=False)(larger).evidence.shape == (1, 9, 9)
    with pytest.raises(ValueError, match="images of 6 pixels; these gave a map of 9 by 9"):
        dense(flatten=True)(larger)


@pytest.mark.parametrize(
    "changes", [{"hidden": 0}, {"outputs": 3}, {"dropout": 1.5}, {"dropout_before": -0.1}]
)
def test_a_head_that_cannot_be_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"must be|has to be"):
        dense(flatten=True, **changes)


def test_shares_that_cancel_each_other_out_keep_their_sum_in_half_precision() -> None:
    network = dense(flatten=True).eval()
    large = 1000 * features()

    with torch.inference_mode():
        usual = as_printed(network)(large)[:, 0]
        with torch.autocast("cpu", torch.bfloat16):
            logits = network(large).logits

    assert torch.allclose(logits, usual, rtol=1e-4)

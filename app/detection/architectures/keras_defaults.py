"""Keras's defaults, with which the source documents' own networks were made."""

from torch import nn


def batch_norm(channels: int) -> nn.BatchNorm2d:
    """Return a batch norm layer with Keras's constants."""
    # Keras states the share of the old statistics that is kept, 0.99; PyTorch that of the new ones.
    return nn.BatchNorm2d(channels, eps=1e-3, momentum=0.01)


def initialise_as_keras(layer: nn.Linear | nn.Conv2d) -> None:
    """Draw the weights as Glorot and Bengio (AISTATS 2010) do; biases begin at zero."""
    nn.init.xavier_uniform_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)

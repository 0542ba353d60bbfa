"""Builds the networks of networks.py as PyTorch modules that compute what Keras computes.

Batch norm has Keras's epsilon 1e-3 and momentum 0.99 (PyTorch's 0.01), Flatten the NHWC order of Keras (so Dense
kernels mean the same), "same" padding at stride 1 is k // 2 on each side. The module returns logits.
"""

from dataclasses import dataclass
from typing import Callable

import torch
from torch import nn

from networks import INPUT_SHAPE, NETWORKS


@dataclass
class Tensor:
    """One tensor of the network in Keras layer order: `from_keras` maps Keras's layout to PyTorch's."""

    value: torch.Tensor
    kind: str
    keras_shape: tuple
    l2: float = 0.0
    from_keras: Callable = lambda array: array
    to_keras: Callable = lambda array: array
    reduced: int = 0  # values per channel and image a moving variance averages over, 1 for a dense layer


class FlattenNhwc(nn.Module):
    def forward(self, x):
        return x.permute(0, 2, 3, 1).flatten(1)


class GlobalAveragePool(nn.Module):
    def forward(self, x):
        return x.mean((2, 3))


class Residual(nn.Module):
    def __init__(self, body):
        super().__init__()
        self.body = nn.Sequential(*body)

    def forward(self, x):
        return x + self.body(x)


class TorchBuilder:
    def __init__(self, dropout, inplace):
        height, width, channels = INPUT_SHAPE
        self.shape = (channels, height, width)
        self.steps, self.tensors = [], []
        self._dropout, self._inplace = dropout, inplace

    def _apply(self, step, shape=None):
        self.steps.append(step)
        self.shape = shape or self.shape
        return self

    def _convolve(self, module, k, padding, kernel, keras_shape, to_torch, to_keras, l2=0.0):
        self.tensors.append(Tensor(module.weight, kernel, keras_shape, l2, lambda a: a.transpose(to_torch),
                                   lambda a: a.transpose(to_keras)))
        lost = 0 if padding == "same" else k - 1
        return self._apply(module, (module.out_channels, self.shape[1] - lost, self.shape[2] - lost))

    def _bias(self, module):
        self.tensors.append(Tensor(module.bias, "bias", tuple(module.bias.shape)))
        return self

    def conv(self, filters, k, l2=0.0, padding="same"):
        channels = self.shape[0]
        module = nn.Conv2d(channels, filters, k, padding=k // 2 if padding == "same" else 0)
        hwio = (k, k, channels, filters)
        return self._convolve(module, k, padding, "kernel", hwio, (3, 2, 0, 1), (2, 3, 1, 0), l2)._bias(module)

    def separable_conv(self, filters, k, l2=0.0, padding="same"):
        del l2  # Keras's SeparableConv2D applies no `kernel_regularizer`
        channels = self.shape[0]
        depthwise = nn.Conv2d(channels, channels, k, padding=k // 2 if padding == "same" else 0, groups=channels,
                              bias=False)
        self._convolve(depthwise, k, padding, "kernel", (k, k, channels, 1), (2, 3, 0, 1), (2, 3, 0, 1))
        return self.conv(filters, 1)

    def relu(self):
        return self._apply(nn.ReLU(inplace=self._inplace))

    def batch_norm(self):
        dense = len(self.shape) == 1
        module = (nn.BatchNorm1d if dense else nn.BatchNorm2d)(self.shape[0], eps=1e-3, momentum=0.01)
        reduced = 1 if dense else self.shape[1] * self.shape[2]
        for kind, value in (("gamma", module.weight), ("beta", module.bias), ("moving_mean", module.running_mean),
                            ("moving_variance", module.running_var)):
            self.tensors.append(Tensor(value, kind, tuple(value.shape), reduced=reduced))
        return self._apply(module)

    def pool(self):
        channels, height, width = self.shape
        return self._apply(nn.MaxPool2d(2), (channels, height // 2, width // 2))

    def dropout(self, rate):
        return self._apply(nn.Dropout(rate)) if self._dropout else self

    def flatten(self):
        channels, height, width = self.shape
        return self._apply(FlattenNhwc(), (channels * height * width,))

    def global_average_pool(self):
        return self._apply(GlobalAveragePool(), self.shape[:1])

    def dense(self, units):
        module = nn.Linear(self.shape[0], units)
        self.tensors.append(Tensor(module.weight, "kernel", (self.shape[0], units), 0.0, lambda a: a.T,
                                   lambda a: a.T))
        return self._apply(module, (units,))._bias(module)

    def softmax(self):
        return self  # the loss takes logits

    def here(self):
        return len(self.steps)

    def add(self, skip):
        self.steps[skip:] = [Residual(self.steps[skip:])]
        return self


def build(name, dropout=False, inplace=False):
    """Returns (module giving logits, tensors in Keras layer order)."""
    net = TorchBuilder(dropout, inplace)
    NETWORKS[name](net)
    return nn.Sequential(*net.steps), net.tensors

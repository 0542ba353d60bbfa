"""Builds the networks of networks.py as Keras 2.15 models, dropout at rate zero, weights by formula."""

from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf
from keras import layers

import formula
from networks import CLASS_COUNT, INPUT_SHAPE, NETWORKS


class KerasBuilder:
    def __init__(self):
        self.input = self.output = layers.Input(INPUT_SHAPE)

    def _apply(self, layer):
        self.output = layer(self.output)
        return self

    def conv(self, filters, k, l2=0.0, padding="same"):
        return self._apply(layers.Conv2D(filters, k, padding=padding, kernel_regularizer=_regularizer(l2)))

    def separable_conv(self, filters, k, l2=0.0, padding="same"):
        # As in the notebook: the layer takes `kernel_regularizer` and applies it to nothing (checked in build()).
        return self._apply(layers.SeparableConv2D(filters, k, padding=padding, kernel_regularizer=_regularizer(l2)))

    def relu(self):
        return self._apply(layers.Activation("relu"))

    def batch_norm(self):
        return self._apply(layers.BatchNormalization())

    def pool(self):
        return self._apply(layers.MaxPooling2D((2, 2)))

    def dropout(self, rate):
        del rate
        return self._apply(layers.Dropout(0.0))

    def flatten(self):
        return self._apply(layers.Flatten())

    def global_average_pool(self):
        return self._apply(layers.GlobalAveragePooling2D())

    def dense(self, units):
        return self._apply(layers.Dense(units))

    def softmax(self):
        return self._apply(layers.Activation("softmax"))

    def here(self):
        return self.output

    def add(self, skip):
        self.output = layers.Add()([self.output, skip])
        return self


@dataclass
class Tensor:
    """One variable of a model and what the formula needs to know of it."""

    variable: tf.Variable
    layer: keras.layers.Layer
    kind: str
    l2: float
    bessel: float = 1.0  # N / (N - 1) for the moving variance of a 4-D batch norm, else 1
    zero_gradient: bool = False  # a bias whose only reader is a batch norm: its gradient is rounding noise

    @property
    def shape(self):
        return tuple(self.variable.shape)

    @property
    def trainable(self):
        return self.variable.trainable


def _regularizer(l2):
    return keras.regularizers.L2(l2) if l2 else None


def _kind(variable):
    name = variable.name.split("/")[-1].split(":")[0]
    return "kernel" if name.endswith("kernel") else name


def _reads_only(layer, kind):
    readers = [node.layer for node in layer._outbound_nodes]
    return len(readers) == 1 and isinstance(readers[0], kind)


def build(name, dtype):
    """Returns (model, tensors in layer order); `dtype` is float32 or float64."""
    keras.backend.clear_session()
    keras.backend.set_floatx(dtype)
    net = KerasBuilder()
    NETWORKS[name](net)
    assert net.output.shape[-1] == CLASS_COUNT
    model = keras.Model(net.input, net.output, name=name)

    tensors = []
    for layer in model.layers:
        for variable in layer.weights:
            tensor = Tensor(variable, layer, _kind(variable), 0.0)
            regularizer = getattr(layer, "kernel_regularizer", None)
            if tensor.kind == "kernel" and regularizer and not isinstance(layer, layers.SeparableConv2D):
                tensor.l2 = float(regularizer.l2)
            if tensor.kind == "moving_variance" and len(layer.input.shape) == 4:
                reduced = formula.BATCH * layer.input.shape[1] * layer.input.shape[2]
                tensor.bessel = reduced / (reduced - 1)
            tensor.zero_gradient = tensor.kind == "bias" and _reads_only(layer, layers.BatchNormalization)
            tensors.append(tensor)
    assert len(model.losses) == sum(tensor.l2 > 0 for tensor in tensors), "SeparableConv2D applied its regularizer"
    return model, tensors


def set_weights(tensors, values):
    for tensor, value in zip(tensors, values, strict=True):
        tensor.variable.assign(value.astype(np.dtype(tensor.variable.dtype.as_numpy_dtype)))

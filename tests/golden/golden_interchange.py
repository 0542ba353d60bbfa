#!/usr/bin/env python3
"""Writes small random Keras models and what they compute, for `fer import`.

    keras/bin/python tests/golden/golden_interchange.py --count 200 --folder FOLDER     # all kinds, random
    keras/bin/python tests/golden/golden_interchange.py --committed                     # the few of the suite

Each model is NAME.h5 or NAME.keras beside NAME.safetensors with `images` and `outputs`.
"""

import argparse
import os
import pathlib
import warnings

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")

import h5py
import keras
import numpy as np
from keras import layers

import tensor_file

IMAGES = 3


class Dice:
    """Random choices of one model."""

    def __init__(self, seed):
        self.random = np.random.default_rng(seed)

    def one_of(self, *choices):
        return choices[self.random.integers(len(choices))]

    def chance(self, p):
        return self.random.random() < p

    def between(self, low, high):
        return int(self.random.integers(low, high + 1))


def _pad(dice):
    return dice.one_of(1, (1, 2), ((0, 1), (0, 1)), ((1, 0), (2, 1)))


def _batch_norm(dice):
    return layers.BatchNormalization(epsilon=dice.one_of(1e-3, 1.001e-5), scale=dice.chance(0.8),
                                     center=dice.chance(0.8))


def _activation(dice):
    return dice.one_of(layers.ReLU(), layers.ReLU(6.0), layers.Activation("relu"), layers.Activation("relu6"),
                       layers.Activation("linear"))


def _image_layer(dice, side):
    """A layer on images of at least `side` pixels."""
    kernel, stride = dice.one_of(1, 2, 3, 5), dice.one_of(1, 1, 2)
    padding = "same" if side < kernel + 2 else dice.one_of("same", "valid")
    options = dict(strides=stride, padding=padding, use_bias=dice.chance(0.7),
                   activation=dice.one_of(None, None, "relu", "relu6"))
    filters = dice.between(2, 5)
    choice = dice.between(0, 9)
    if choice <= 3:
        regularizer = keras.regularizers.L2(0.01) if dice.chance(0.2) else None
        return layers.Conv2D(filters, kernel, kernel_regularizer=regularizer, **options)
    if choice == 4:
        return layers.SeparableConv2D(filters, kernel, **options)
    if choice == 5:
        return layers.DepthwiseConv2D(kernel, **options)
    if choice == 6:
        return _batch_norm(dice)
    if choice == 7:
        return layers.ZeroPadding2D(_pad(dice))
    if choice == 8 and side >= 6:
        pool = dice.one_of(layers.MaxPooling2D, layers.AveragePooling2D)
        return pool(dice.one_of(2, 3), strides=dice.one_of(None, 2), padding=dice.one_of("same", "valid"))
    return dice.one_of(layers.Dropout(0.3), _activation(dice))


def _residual(dice, x):
    channels = x.shape[-1]
    y = layers.Conv2D(channels, 3, padding="same", activation=dice.one_of(None, "relu"))(x)
    y = _batch_norm(dice)(y)
    inputs = [x, y] if dice.chance(0.5) else [y, x]
    if dice.chance(0.3):
        inputs.append(layers.DepthwiseConv2D(3, padding="same")(x))
    return _activation(dice)(layers.Add()(inputs))


def _body(dice, x, count):
    for _ in range(count):
        x = _residual(dice, x) if dice.chance(0.2) else _image_layer(dice, min(x.shape[1:3]))(x)
    return x


def _head(dice, x, classes):
    kind = dice.between(0, 3)
    if kind == 0:
        x = layers.GlobalAveragePooling2D(keepdims=True)(x)
        x = layers.Reshape((-1,))(x)
    elif kind == 1 and x.shape[1] == x.shape[2]:
        x = layers.GlobalMaxPooling2D()(x)
    elif kind == 2:
        x = layers.GlobalAveragePooling2D()(x)
        if dice.chance(0.3):
            x = layers.Reshape((1, 1, x.shape[-1]))(x)
            x = layers.Conv2D(4, 1, activation="relu")(x)
            x = layers.Flatten()(x)
    else:
        x = layers.Flatten()(x)
    if dice.chance(0.5):
        x = layers.Dense(dice.between(2, 6), activation=dice.one_of(None, "relu"))(x)
        if dice.chance(0.5):
            x = _batch_norm(dice)(x)
    end = dice.between(0, 3)
    if end == 0:
        return layers.Softmax()(layers.Dense(classes)(x))
    if end == 1:
        return layers.Activation("softmax")(layers.Dense(classes)(x))
    return layers.Dense(classes, activation="softmax" if end == 2 else None)(x)


def _sequential(dice, shape, classes):
    """The same kinds of layers without branches."""
    model = keras.Sequential([layers.Input(shape)] if dice.chance(0.7) else [layers.Conv2D(3, 3, input_shape=shape)])
    for _ in range(dice.between(2, 5)):
        side = min(model.output_shape[1:3]) if model.layers else min(shape[:2])
        model.add(_image_layer(dice, side))
    model.add(layers.Flatten())
    model.add(layers.Dense(classes, activation="softmax"))
    return model


def random_model(seed):
    dice = Dice(seed)
    keras.backend.clear_session()
    side = dice.between(8, 14)
    shape = (side, side if dice.chance(0.6) else dice.between(8, 14), dice.one_of(1, 3))
    classes = dice.between(3, 7)
    if dice.chance(0.25):
        return _sequential(dice, shape, classes), dice
    inputs = layers.Input(shape)
    x = layers.Rescaling(1 / 127.5, offset=-1.0)(inputs) if dice.chance(0.2) else inputs
    if dice.chance(0.35):
        inner_in = layers.Input(x.shape[1:])
        inner = keras.Model(inner_in, _body(dice, inner_in, dice.between(1, 4)), name="trunk")
        if dice.chance(0.4):
            for layer in inner.layers[: len(inner.layers) // 2]:
                layer.trainable = False
        x = inner(x, training=False) if dice.chance(0.3) else inner(x)
    x = _body(dice, x, dice.between(1, 5))
    return keras.Model(inputs, _head(dice, x, classes)), dice


def fill(model, random):
    for variable in model.weights:
        name = variable.name.split("/")[-1]
        shape = tuple(variable.shape)
        if "moving_variance" in name:
            value = random.uniform(0.5, 2.0, shape)
        elif "gamma" in name:
            value = random.uniform(0.7, 1.3, shape)
        elif len(shape) == 1:
            value = random.uniform(-0.2, 0.2, shape)
        else:
            fan = np.prod(shape[:-1]) if "depthwise" not in name else np.prod(shape[:2])
            value = random.normal(0, 1.3 / np.sqrt(fan), shape)
        variable.assign(value.astype(np.float32))


def fixed_length_attributes(path):
    """What h5py 2 wrote: arrays of fixed-length strings."""
    with h5py.File(path, "r+") as file:
        groups = [file["model_weights"], *file["model_weights"].values()]
        for group in groups:
            for name in ("layer_names", "weight_names"):
                if name in group.attrs and len(group.attrs[name]) > 0:
                    text = [t.encode() if isinstance(t, str) else t for t in group.attrs[name]]
                    del group.attrs[name]
                    group.attrs[name] = np.array(text)


def split_attributes(path):
    """Lists above 64 KiB come in pieces; here shorter ones do too."""
    with h5py.File(path, "r+") as file:
        weights = file["model_weights"]
        names = list(weights.attrs["layer_names"])
        del weights.attrs["layer_names"]
        for piece in range(0, (len(names) + 2) // 3):
            weights.attrs[f"layer_names{piece}"] = names[3 * piece : 3 * piece + 3]


def write(folder, name, model, dice, suffix):
    fill(model, dice.random)
    images = dice.random.uniform(0, 1, (IMAGES, *model.input_shape[1:])).astype(np.float32)
    if any(isinstance(layer, layers.Rescaling) for layer in model.layers):
        images *= 255
    outputs = model(images, training=False).numpy()
    path = folder / f"{name}{suffix}"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.save(path)
    tensor_file.write(folder / f"{name}.safetensors", {"images": images, "outputs": outputs}, {"model": path.name})
    return path


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=pathlib.Path)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--committed", action="store_true")
    arguments = parser.parse_args()
    folder = arguments.folder or pathlib.Path(__file__).parent / "interchange"
    folder.mkdir(parents=True, exist_ok=True)
    seeds = (3, 5, 8, 13, 16, 21) if arguments.committed else range(arguments.count)
    for i, seed in enumerate(seeds):
        model, dice = random_model(seed)
        suffix = ".keras" if i % 2 else ".h5"
        path = write(folder, f"random_{seed:03}", model, dice, suffix)
        if suffix == ".h5" and i % 4 == 2:
            fixed_length_attributes(path)
        if suffix == ".h5" and i % 8 == 4:
            split_attributes(path)


if __name__ == "__main__":
    main()

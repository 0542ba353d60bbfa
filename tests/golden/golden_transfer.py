#!/usr/bin/env python3
"""Networks in real Keras: logits, and the gradients of one training step.

    keras/bin/python tests/golden/golden_transfer.py --committed        # on trunks: narrow, small images, weights by formula
    keras/bin/python tests/golden/golden_transfer.py --folder FOLDER    # all: full size, random weights, as .h5 of Keras
"""

import argparse
import math
import os
import pathlib
import zlib

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")

import keras
import numpy as np
import tensorflow as tf
from keras import layers
from keras.applications import mobilenet_v2, resnet50, resnet_v2, vgg16

import formula
import networks_keras
import tensor_file
from networks import NETWORKS, PARAMETER_COUNTS

CLASSES = 7
WIDTH, SIDE, BATCH = 0.0625, 40, 3
TRUNKS = {"vgg16_tl": 40_934_215, "resnet50v2_tl": 29_996_295, "mobilenetv2_tl": 3_576_903, "resnet50_tl": 23_850_887,
          "vgg16_fc_tl": 134_289_223}
TOTALS = {**{name: counts[0] for name, counts in PARAMETER_COUNTS.items()}, **TRUNKS}


class Narrow:
    """The trunks layer by layer, with every width multiplied."""

    def __init__(self, width):
        self.width = width

    def scaled(self, n):
        return max(1, math.floor(n * self.width + 0.5))

    def norm(self, x, name, mobile=False):
        options = dict(epsilon=1e-3, momentum=0.999) if mobile else dict(epsilon=1.001e-5)
        return layers.BatchNormalization(name=name, **options)(x)

    def vgg16(self, x):
        for block, (count, filters) in enumerate(((2, 64), (2, 128), (3, 256), (3, 512), (3, 512)), 1):
            for i in range(1, count + 1):
                x = layers.Conv2D(self.scaled(filters), 3, padding="same", activation="relu",
                                  name=f"block{block}_conv{i}")(x)
            x = layers.MaxPooling2D(2, 2, name=f"block{block}_pool")(x)
        return x

    def stem(self, x, preact):
        x = layers.ZeroPadding2D(3, name="conv1_pad")(x)
        x = layers.Conv2D(self.scaled(64), 7, strides=2, name="conv1_conv")(x)
        if not preact:
            x = layers.Activation("relu", name="conv1_relu")(self.norm(x, "conv1_bn"))
        x = layers.ZeroPadding2D(1, name="pool1_pad")(x)
        return layers.MaxPooling2D(3, strides=2, name="pool1_pool")(x)

    def resnet50(self, x):
        x = self.stem(x, False)
        for stack, (filters, blocks) in enumerate(((64, 3), (128, 4), (256, 6), (512, 3)), 2):
            for block in range(1, blocks + 1):
                name = f"conv{stack}_block{block}"
                stride = 2 if block == 1 and stack > 2 else 1
                shortcut = x
                if block == 1:
                    shortcut = layers.Conv2D(self.scaled(4 * filters), 1, strides=stride, name=name + "_0_conv")(x)
                    shortcut = self.norm(shortcut, name + "_0_bn")
                y = layers.Conv2D(self.scaled(filters), 1, strides=stride, name=name + "_1_conv")(x)
                y = layers.Activation("relu", name=name + "_1_relu")(self.norm(y, name + "_1_bn"))
                y = layers.Conv2D(self.scaled(filters), 3, padding="same", name=name + "_2_conv")(y)
                y = layers.Activation("relu", name=name + "_2_relu")(self.norm(y, name + "_2_bn"))
                y = self.norm(layers.Conv2D(self.scaled(4 * filters), 1, name=name + "_3_conv")(y), name + "_3_bn")
                x = layers.Activation("relu", name=name + "_out")(layers.Add(name=name + "_add")([shortcut, y]))
        return x

    def resnet50v2(self, x):
        x = self.stem(x, True)
        for stack, (filters, blocks) in enumerate(((64, 3), (128, 4), (256, 6), (512, 3)), 2):
            for block in range(1, blocks + 1):
                name = f"conv{stack}_block{block}"
                stride = 2 if block == blocks and stack < 5 else 1
                active = layers.Activation("relu", name=name + "_preact_relu")(self.norm(x, name + "_preact_bn"))
                if block == 1:
                    x = layers.Conv2D(self.scaled(4 * filters), 1, strides=stride, name=name + "_0_conv")(active)
                elif stride > 1:
                    x = layers.MaxPooling2D(1, strides=stride)(x)
                y = layers.Conv2D(self.scaled(filters), 1, use_bias=False, name=name + "_1_conv")(active)
                y = layers.Activation("relu", name=name + "_1_relu")(self.norm(y, name + "_1_bn"))
                y = layers.ZeroPadding2D(1, name=name + "_2_pad")(y)
                y = layers.Conv2D(self.scaled(filters), 3, strides=stride, use_bias=False, name=name + "_2_conv")(y)
                y = layers.Activation("relu", name=name + "_2_relu")(self.norm(y, name + "_2_bn"))
                y = layers.Conv2D(self.scaled(4 * filters), 1, name=name + "_3_conv")(y)
                x = layers.Add(name=name + "_out")([x, y])
        return layers.Activation("relu", name="post_relu")(self.norm(x, "post_bn"))

    def mobilenet_v2(self, x):
        relu6 = lambda v, name: layers.ReLU(6.0, name=name)(v)
        x = layers.Conv2D(self.scaled(32), 3, strides=2, padding="same", use_bias=False, name="Conv1")(x)
        x = relu6(self.norm(x, "bn_Conv1", True), "Conv1_relu")
        number = 0
        for expansion, filters, count, stride in ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2),
                                                  (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)):
            for i in range(count):
                p = f"block_{number}_" if number else "expanded_conv_"
                step, entry, channels = stride if i == 0 else 1, x, x.shape[-1]
                if number:
                    x = layers.Conv2D(expansion * channels, 1, use_bias=False, name=p + "expand")(x)
                    x = relu6(self.norm(x, p + "expand_BN", True), p + "expand_relu")
                if step == 2:
                    odd = [1 - side % 2 for side in x.shape[1:3]]
                    x = layers.ZeroPadding2D(((1 - odd[0], 1), (1 - odd[1], 1)), name=p + "pad")(x)
                x = layers.DepthwiseConv2D(3, strides=step, padding="same" if step == 1 else "valid", use_bias=False,
                                           name=p + "depthwise")(x)
                x = relu6(self.norm(x, p + "depthwise_BN", True), p + "depthwise_relu")
                x = self.norm(layers.Conv2D(self.scaled(filters), 1, use_bias=False, name=p + "project")(x),
                              p + "project_BN", True)
                if step == 1 and channels == x.shape[-1]:
                    x = layers.Add(name=p + "add")([entry, x])
                number += 1
        x = layers.Conv2D(self.scaled(1280), 1, use_bias=False, name="Conv_1")(x)
        return relu6(self.norm(x, "Conv_1_bn", True), "out_relu")


def full_trunk(name, shape):
    make = {"vgg16": vgg16.VGG16, "resnet50": resnet50.ResNet50, "resnet50v2": resnet_v2.ResNet50V2,
            "mobilenet_v2": mobilenet_v2.MobileNetV2}[name]
    return make(include_top=False, weights=None, input_shape=shape)


def shape_of(name):
    return (224, 224, 3) if name in TRUNKS else (48, 48, 1)


def network(name, narrow, shape):
    """The model without its softmax; dropout is left out, as its masks are nobody's."""
    if name in NETWORKS:
        model, _ = networks_keras.build(name, keras.backend.floatx())
        return keras.Model(model.input, model.layers[-1].input, name=name)
    keras.backend.clear_session()
    scaled = narrow.scaled if narrow else lambda n: n
    trunk = {"vgg16_tl": "vgg16", "vgg16_fc_tl": "vgg16", "resnet50v2_tl": "resnet50v2", "resnet50_tl": "resnet50",
             "mobilenetv2_tl": "mobilenet_v2"}[name]
    if narrow:
        inputs = layers.Input(shape)
        base = keras.Model(inputs, getattr(narrow, trunk)(inputs))
    else:
        base = full_trunk(trunk, shape)
    trained = {"vgg16_tl": 3, "resnet50v2_tl": 50}.get(name, 0)
    for layer in base.layers[: len(base.layers) - trained]:
        layer.trainable = False
    x = base.output
    dense = lambda units, **options: layers.Dense(units, **options)
    if name == "vgg16_tl":
        x = layers.Flatten()(x)
        x = dense(scaled(1024), activation="relu")(x)
        x = dense(scaled(512), activation="relu")(x)
    elif name == "resnet50v2_tl":
        x = layers.Flatten()(layers.BatchNormalization()(x))
        x = layers.BatchNormalization()(dense(scaled(64), activation="relu")(x))
    elif name == "mobilenetv2_tl":
        x = dense(scaled(1024), activation="relu")(layers.GlobalAveragePooling2D()(x))
    elif name == "resnet50_tl":
        x = dense(scaled(128), activation="relu")(layers.GlobalAveragePooling2D()(x))
    else:
        x = layers.Flatten(name="flatten")(x)
        for fc in ("fc1", "fc2"):
            layer = dense(scaled(4096), activation="relu", name=fc)
            layer.trainable = False
            x = layer(x)
    return keras.Model(base.input, dense(CLASSES)(x), name=name)


def name_of(layer, variable):
    return f"{layer.name}/{variable.name.split('/')[-1].split(':')[0]}"


def variables(model):
    return [(name_of(layer, v), v) for layer in model.layers for v in layer.weights]


def fill_by_formula(model):
    for name, variable in variables(model):
        kind = name.split("/")[-1]
        kind = "kernel" if kind.endswith("kernel") else kind
        variable.assign(formula.tensor(kind, zlib.crc32(name.encode()) & 0x7FFFFFFF, tuple(variable.shape)))


def fill_randomly(model, seed):
    """As after some training: He-scaled kernels, statistics away from zero and one."""
    random = np.random.default_rng(seed)
    for name, variable in variables(model):
        shape, kind = tuple(variable.shape), name.split("/")[-1]
        if kind == "moving_variance":
            value = random.uniform(0.5, 1.5, shape)
        elif kind == "gamma":
            value = random.uniform(0.8, 1.2, shape)
        elif len(shape) == 1:
            value = random.uniform(-0.1, 0.1, shape)
        else:
            fan = np.prod(shape[:2]) if "depthwise" in kind else np.prod(shape[:-1])
            value = random.standard_normal(shape, dtype=np.float32) * np.sqrt(2.0 / fan)
        variable.assign(np.asarray(value, np.float32))


def calibrate(model, images):
    """Moving statistics of what passes, as training leaves them: activations stay near one at any depth."""
    norms = [layer for layer in model.layers if isinstance(layer, layers.BatchNormalization)]
    before = [(layer.trainable, layer.momentum) for layer in norms]
    for layer in norms:
        layer.trainable, layer.momentum = True, 0.0
    for _ in range(2):
        model(images, training=True)
    for layer, (trainable, momentum) in zip(norms, before, strict=True):
        layer.trainable, layer.momentum = trainable, momentum


def distance(a, b):
    return formula.nmse(np.concatenate([a[n].reshape(-1) for n in a]), np.concatenate([b[n].reshape(-1) for n in a]))


def full_size(name, folder, labels):
    """A file of Keras, and what float64 computes from it. `keras_float32` tells how far Keras's own float32 is from that: a
    ReLU or a maximum near its kink falls on one side or the other, and batch norms over three images carry it on."""
    shape = shape_of(name)
    images = images_of(shape)
    keras.backend.set_floatx("float32")
    model = network(name, None, shape)
    fill_randomly(model, sum(name.encode()))
    calibrate(model, images)
    model.save_weights(folder / f"{name}.h5")
    weights, total = model.get_weights(), model.count_params()  # before a training pass moves the statistics
    logits_single, single = compute(model, images, labels)
    keras.backend.set_floatx("float64")
    double_model = network(name, None, shape)
    double_model.set_weights(weights)
    logits, gradients = compute(double_model, images.astype(np.float64), labels)
    own = distance(single, gradients)
    own_logits = float(np.max(np.abs(logits_single - logits)))
    print(f"{name}: {total:,} parameters, Keras in float32: logits {own_logits:.2g}, gradients {own:.2g}",
          flush=True)
    keras.backend.set_floatx("float32")
    assert total == TOTALS[name], (name, total)
    tensor_file.write(folder / f"{name}.safetensors",
                      {"logits": logits.astype(np.float32),
                       **{f"gradient/{n}": g.astype(np.float32) for n, g in gradients.items()}}, {"keras_float32": own, "keras_float32_logits": own_logits})


def compute(model, images, labels):
    """Logits in inference, and the gradients of the mean cross-entropy in training."""
    logits = model(images, training=False).numpy()
    trainable = [(n, v) for n, v in variables(model) if any(v is t for t in model.trainable_variables)]
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, model(images, training=True)))
    gradients = tape.gradient(loss, [v for _, v in trainable])
    return logits, {n: g.numpy() for (n, _), g in zip(trainable, gradients, strict=True)}


def sixteen(values):
    """The whole tensor up to 16 elements, else elements floor(k * count / 16)."""
    flat = np.asarray(values, np.float32).reshape(-1)
    return flat if flat.size <= 16 else flat[np.arange(16) * flat.size // 16]


def images_of(shape):
    """In [-1, 1), by formula; each image with half the contrast of the one before it, or batch norms over images that are all
    alike would divide by next to nothing."""
    values = formula.uniform(formula.IMAGE_STREAM, BATCH * math.prod(shape))
    signed = (np.float32(2) * values - np.float32(1)).reshape(BATCH, *shape)
    return signed * np.float32(0.5) ** np.arange(BATCH, dtype=np.float32)[:, None, None, None]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=pathlib.Path)
    parser.add_argument("--committed", action="store_true")
    parser.add_argument("--network", action="append", choices=TOTALS)
    arguments = parser.parse_args()
    labels = np.arange(BATCH) * 3 % CLASSES
    if arguments.committed:
        tensors = {}
        for name in TRUNKS:
            model = network(name, Narrow(WIDTH), (SIDE, SIDE, 3))
            fill_by_formula(model)
            logits, gradients = compute(model, images_of((SIDE, SIDE, 3)), labels)
            tensors[f"{name}/logits"] = logits
            for variable, gradient in gradients.items():
                tensors[f"{name}/gradient/{variable}"] = sixteen(gradient)
        tensor_file.write(pathlib.Path(__file__).parent / "interchange" / "transfer.safetensors", tensors,
                          {"width": WIDTH, "side": SIDE, "batch": BATCH})
        return
    arguments.folder.mkdir(parents=True, exist_ok=True)
    for name in arguments.network or TOTALS:
        if name in TRUNKS:
            model = network(name, None, shape_of(name))
            own = network(name, Narrow(1), shape_of(name))
            assert [n for n, _ in variables(own)] == [n for n, _ in variables(model)], name
            assert [tuple(v.shape) for _, v in variables(own)] == [tuple(v.shape) for _, v in variables(model)], name
        full_size(name, arguments.folder, labels)


if __name__ == "__main__":
    main()

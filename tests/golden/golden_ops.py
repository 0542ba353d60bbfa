"""Goldens of single ops: forward results and gradients of tiny tensors whose inputs are formulas.

Convolutions, dense layers and max pools take small integers: every partial sum is exact in float32, so the results
compare bit for bit in any order of summation. The rest is float64.
"""

import itertools
import math

import keras
import numpy as np
import tensorflow as tf
from keras import layers

import formula
import tensor_file

FIRST_STREAM = 2000
STREAMS_PER_CASE = 8
ODD_AND_EVEN = ((8, 7), (7, 8))  # height, width: no square, so that a transposed index shows
# (n, k): the stride-2 "same" paddings that are easy to get wrong, as a tall narrow image
SAME_PADDING_TABLE = ((48, 3), (47, 3), (48, 5), (48, 7), (48, 2), (47, 2), (3, 3))
BALANCED_WEIGHTS = [1.0266046844, 9.4066186107, 1.0010460616, 0.5684387684, 0.8260394188, 0.8491274771, 1.2933729783]


def fill(spec):
    """An input from its description; the C++ side does the same."""
    shape, stream = spec["shape"], spec["stream"]
    match spec["fill"]:
        case "integers":
            return formula.small_integers(stream, shape)
        case "signed":
            return np.float32(spec.get("offset", 0)) + np.float32(spec.get("scale", 1)) * formula.signed(stream, shape)
    return formula.tensor(spec["fill"], stream, shape)


class Cases:
    """Collects the cases: descriptions for the metadata, results for the tensors."""

    def __init__(self):
        self.descriptions, self.tensors = [], {}

    def inputs(self, **specs):
        """Numbers the streams of a new case and returns (descriptions, arrays in double)."""
        base = FIRST_STREAM + STREAMS_PER_CASE * len(self.descriptions)
        described = {
            name: {"stream": base + i, "fill": kind, "shape": list(shape), **extra}
            for i, (name, (kind, shape, *rest)) in enumerate(specs.items())
            for extra in [rest[0] if rest else {}]
        }
        return described, {name: fill(spec).astype(np.float64) for name, spec in described.items()}

    def add(self, op, name, inputs, results, exact, **attributes):
        name = f"{op}/{name}"
        assert all(description["name"] != name for description in self.descriptions), name
        self.descriptions.append({"op": op, "name": name, **attributes, "exact": exact, "inputs": inputs})
        for key, value in results.items():
            value = np.asarray(value)
            if exact:
                assert np.array_equal(value, value.astype(np.float32)), f"{name}/{key} is not exact in float32"
                value = value.astype(np.float32)
            self.tensors[f"{name}/{key}"] = value


def backward(layer, weights, x, dy, training=None):
    """(y, dx, gradients of the layer's trainable weights) of a Keras layer in double."""
    x = tf.constant(x)
    layer.build(x.shape)
    layer.set_weights(weights)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = layer(x) if training is None else layer(x, training=training)
        gradients = tape.gradient(y, [x, *layer.trainable_weights], output_gradients=None if dy is None else dy)
    return [t.numpy() for t in (y, *gradients)]


def out_extent(n, k, stride, padding):
    return -(-n // stride) if padding == "same" else (n - k) // stride + 1


def pads(n, k, stride, padding):
    total = max((out_extent(n, k, stride, padding) - 1) * stride + k - n, 0) if padding == "same" else 0
    return [total // 2, total - total // 2]


def convolution(cases, h, w, k, stride, padding, n=2, c_in=3, c_out=4, depthwise=False):
    out = (n, out_extent(h, k, stride, padding), out_extent(w, k, stride, padding), c_in if depthwise else c_out)
    kernel = (k, k, c_in, 1 if depthwise else c_out)
    inputs, a = cases.inputs(x=("integers", (n, h, w, c_in)), kernel=("integers", kernel),
                             bias=("integers", out[-1:]), dy=("integers", out))
    options = {"strides": stride, "padding": padding, "dtype": "float64"}
    layer = layers.DepthwiseConv2D(k, **options) if depthwise else layers.Conv2D(c_out, k, **options)
    y, dx, dkernel, dbias = backward(layer, [a["kernel"], a["bias"]], a["x"], a["dy"])
    pad_h, pad_w = pads(h, k, stride, padding), pads(w, k, stride, padding)
    convolve = tf.nn.depthwise_conv2d if depthwise else tf.nn.conv2d
    explicit = convolve(np.pad(a["x"], ((0, 0), pad_h, pad_w, (0, 0))), a["kernel"], [1, stride, stride, 1], "VALID")
    assert np.array_equal(explicit + a["bias"], y), "the padding rule is not Keras's"
    cases.add("depthwise_conv" if depthwise else "conv2d", f"h{h}w{w}c{c_in}k{k}s{stride}_{padding}", inputs,
              {"y": y, "dx": dx, "dkernel": dkernel, "dbias": dbias}, exact=True, k=k, stride=stride, padding=padding,
              pad=[*pad_h, *pad_w])


def convolutions(cases):
    for k, stride, padding, (h, w) in itertools.product((1, 2, 3, 5, 7), (1, 2), ("same", "valid"), ODD_AND_EVEN):
        convolution(cases, h, w, k, stride, padding)
    for n, k in SAME_PADDING_TABLE:
        convolution(cases, n, 4, k, 2, "same", n=1, c_in=1, c_out=2)
    for k, stride, padding, (h, w) in itertools.product((3, 5), (1, 2), ("same", "valid"), ODD_AND_EVEN):
        convolution(cases, h, w, k, stride, padding, depthwise=True)


def dense(cases):
    inputs, a = cases.inputs(x=("integers", (3, 5)), kernel=("integers", (5, 4)), bias=("integers", (4,)),
                             dy=("integers", (3, 4)))
    y, dx, dkernel, dbias = backward(layers.Dense(4, dtype="float64"), [a["kernel"], a["bias"]], a["x"], a["dy"])
    cases.add("dense", "n3i5o4", inputs, {"y": y, "dx": dx, "dkernel": dkernel, "dbias": dbias}, exact=True)


def regularized(cases):
    """0.01 * sum(w^2) joins the loss, 0.02 * w the gradient of the kernel: in a whole network too small to see."""
    l2 = 0.01
    for op, x, kernel, dy in (("dense", (3, 5), (5, 4), (3, 4)), ("conv2d", (2, 5, 4, 3), (3, 3, 3, 4), (2, 5, 4, 4))):
        inputs, a = cases.inputs(x=("signed", x), kernel=("kernel", kernel), bias=("bias", kernel[-1:]),
                                 dy=("signed", dy, {"scale": 0.01}))
        options = {"kernel_regularizer": keras.regularizers.L2(l2), "dtype": "float64"}
        layer = layers.Dense(4, **options) if op == "dense" else layers.Conv2D(4, 3, padding="same", **options)
        layer.build(x)
        layer.set_weights([a["kernel"], a["bias"]])
        with tf.GradientTape() as tape:
            penalty = tf.add_n(layer.losses)
            loss = tf.reduce_sum(layer(tf.constant(a["x"])) * a["dy"]) + penalty
        dkernel, dbias = tape.gradient(loss, layer.trainable_weights)
        attributes = {"k": 3, "stride": 1, "padding": "same", "pad": [1, 1, 1, 1]} if op == "conv2d" else {}
        results = {"penalty": penalty.numpy(), "dkernel": dkernel.numpy(), "dbias": dbias.numpy()}
        cases.add(f"{op}_l2", "l2_0.01", inputs, results, exact=False, l2=l2, **attributes)


def pools(cases):
    shapes = ((8, 7), (7, 6), (5, 5))
    for (k, stride), padding, (h, w), ties in itertools.product(((2, 2), (3, 2), (3, 1)), ("same", "valid"), shapes,
                                                                (False, True)):
        out = (2, out_extent(h, k, stride, padding), out_extent(w, k, stride, padding), 3)
        attributes = {"k": k, "stride": stride, "padding": padding,
                      "pad": [*pads(h, k, stride, padding), *pads(w, k, stride, padding)]}
        name = f"h{h}w{w}k{k}s{stride}_{padding}"
        inputs, a = cases.inputs(x=("integers" if ties else "signed", (2, h, w, 3)), dy=("integers", out))
        y, dx = backward(layers.MaxPooling2D(k, stride, padding, dtype="float64"), [], a["x"], a["dy"])
        cases.add("max_pool", name + ("_ties" if ties else ""), inputs, {"y": y, "dx": dx}, exact=True, ties=ties,
                  **attributes)
        if ties:
            continue
        inputs, a = cases.inputs(x=("signed", (2, h, w, 3)), dy=("signed", out))
        y, dx = backward(layers.AveragePooling2D(k, stride, padding, dtype="float64"), [], a["x"], a["dy"])
        cases.add("average_pool", name, inputs, {"y": y, "dx": dx}, exact=False, **attributes)
    inputs, a = cases.inputs(x=("signed", (2, 5, 4, 3)), dy=("signed", (2, 3)))
    y, dx = backward(layers.GlobalAveragePooling2D(dtype="float64"), [], a["x"], a["dy"])
    cases.add("global_average_pool", "h5w4", inputs, {"y": y, "dx": dx}, exact=False)


def batch_norm(cases, name, shape, **x):
    """y and gradients from Keras in double; moving statistics with the correction of its fused float32 layer."""
    c = shape[-1:]
    inputs, a = cases.inputs(x=("signed", shape, x), gamma=("gamma", c), beta=("beta", c),
                             moving_mean=("moving_mean", c), moving_variance=("moving_variance", c),
                             dy=("signed", shape))
    weights = [a[key] for key in ("gamma", "beta", "moving_mean", "moving_variance")]
    double, single = layers.BatchNormalization(dtype="float64"), layers.BatchNormalization(dtype="float32")
    y, dx, dgamma, dbeta = backward(double, weights, a["x"], a["dy"], training=True)
    _, _, mean, variance = double.get_weights()
    count = math.prod(shape[:-1])
    if len(shape) == 4:
        decayed = formula.KERAS_MOMENTUM * a["moving_variance"]
        variance = decayed + (variance - decayed) * count / max(count - 1, 1)
    backward(single, weights, a["x"].astype(np.float32), a["dy"].astype(np.float32), training=True)
    assert single.fused == (len(shape) == 4)
    for ours, keras_float32 in zip((mean, variance), single.get_weights()[2:]):
        np.testing.assert_allclose(keras_float32, ours, rtol=3e-7, atol=1e-8, err_msg=name)
    results = {"y": y, "dx": dx, "dgamma": dgamma, "dbeta": dbeta, "moving_mean": mean, "moving_variance": variance}
    fixed = {"epsilon": 1e-3, "momentum": 0.99}
    cases.add("batch_norm", f"{name}_training", inputs, results, exact=False, mode="training",
              unbiased_moving_variance=len(shape) == 4, **fixed)

    y, dx, dgamma, dbeta = backward(layers.BatchNormalization(dtype="float64"), weights, a["x"], a["dy"],
                                    training=False)
    cases.add("batch_norm", f"{name}_inference", inputs, {"y": y, "dx": dx, "dgamma": dgamma, "dbeta": dbeta},
              exact=False, mode="inference", **fixed)


def batch_norms(cases):
    batch_norm(cases, "n2h1w1c3", (2, 1, 1, 3))  # two values: the unbiased variance is twice the biased one
    batch_norm(cases, "n1h1w1c3", (1, 1, 1, 3))  # one value: variance 0, no division by zero
    batch_norm(cases, "n2h3w2c4", (2, 3, 2, 4))
    batch_norm(cases, "n2h4w4c2_mean100", (2, 4, 4, 2), offset=100, scale=0.1)
    batch_norm(cases, "n2c5", (2, 5))  # 2-D: the moving variance averages the biased one
    batch_norm(cases, "n7c3", (7, 3))


def softmax_xent(cases, name, n, scale, class_weight=None, label_smoothing=0.0):
    inputs, a = cases.inputs(logits=("signed", (n, 7), {"scale": scale}))
    labels = 3 * np.arange(n) % 7
    one_hot = np.eye(7)[labels]
    weights = None if class_weight is None else np.asarray(class_weight)[labels]
    loss_of = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=label_smoothing)
    logits = tf.constant(a["logits"])
    with tf.GradientTape() as tape:
        tape.watch(logits)
        loss = loss_of(one_hot, logits, sample_weight=weights)
    dlogits = tape.gradient(loss, logits).numpy()

    # The same through fit's own path: a softmax model, class_weight by dictionary.
    inner = layers.Dense(7, "softmax", use_bias=False, kernel_initializer="identity")
    model = keras.Sequential([layers.Input(7), inner])
    model.compile(keras.optimizers.SGD(0.0), keras.losses.CategoricalCrossentropy(label_smoothing=label_smoothing))
    fitted = model.train_on_batch(a["logits"], one_hot,
                                  class_weight=None if class_weight is None else dict(enumerate(class_weight)))
    np.testing.assert_allclose(fitted, loss.numpy(), rtol=1e-6, err_msg=name)
    cases.add("softmax_xent", name, inputs,
              {"probabilities": tf.nn.softmax(logits).numpy(), "loss": np.float64(loss), "dlogits": dlogits},
              exact=False, labels=labels.tolist(), class_weight=class_weight, label_smoothing=label_smoothing)


def losses(cases):
    softmax_xent(cases, "plain", 5, 8)
    softmax_xent(cases, "class_weight", 9, 4, class_weight=BALANCED_WEIGHTS)
    softmax_xent(cases, "label_smoothing", 5, 4, label_smoothing=0.1)
    softmax_xent(cases, "both", 9, 4, class_weight=BALANCED_WEIGHTS, label_smoothing=0.2)
    softmax_xent(cases, "large_logits", 7, 1000)  # exp overflows unless the maximum is subtracted


def generate(folder):
    keras.backend.set_floatx("float64")
    cases = Cases()
    for group in (convolutions, dense, regularized, pools, batch_norms, losses):
        group(cases)
    metadata = {"keras": keras.__version__, "tensorflow": tf.__version__, "seed": str(formula.SEED),
                "cases": cases.descriptions}
    tensor_file.write(folder / "ops.safetensors", cases.tensors, metadata)
    print(f"ops: {len(cases.descriptions)} cases, {len(cases.tensors)} tensors")

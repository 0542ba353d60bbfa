"""Goldens of whole networks: probabilities, loss, gradients, moving statistics, weights after three Adam steps."""

from dataclasses import dataclass, field

import keras
import numpy as np
import tensorflow as tf

import formula
import networks_keras
import tensor_file
from networks import CLASS_COUNT, INPUT_SHAPE, L2, PARAMETER_COUNTS

ADAM_STEPS = 3
LEARNING_RATE = 1e-3


@dataclass
class Run:
    """What one model gives: everything the file stores, whole tensors still."""

    probabilities: np.ndarray
    loss: float
    training_probabilities: np.ndarray = None
    training_loss: float = 0.0
    gradients: dict = field(default_factory=dict)  # tensor index -> array
    moving: dict = field(default_factory=dict)
    weights: list = field(default_factory=list)


def _counts(tensors):
    trainable = sum(np.prod(t.shape, dtype=int) for t in tensors if t.trainable)
    fixed = sum(np.prod(t.shape, dtype=int) for t in tensors if not t.trainable)
    return int(trainable + fixed), int(trainable), int(fixed)


def _with_bessel(tensor, start, now, steps):
    """Keras's fused float32 batch norm folds the unbiased variance into the moving one, its float64 path the biased:
    every step adds (1 - momentum) * variance to a decayed value, so the correction scales what was added."""
    decayed = formula.KERAS_MOMENTUM**steps * start.astype(np.float64)
    return decayed + (now - decayed) * tensor.bessel


def _adam(dtype):
    optimizer = keras.optimizers.Adam(LEARNING_RATE)
    if dtype == "float64":
        # Keras's bias correction casts the betas through float32 (6.7e-6 of the first step); a double oracle must not.
        optimizer.beta_1 = tf.constant(optimizer.beta_1, tf.float64)
        optimizer.beta_2 = tf.constant(optimizer.beta_2, tf.float64)
    return optimizer


def run(name, dtype, initial, images, labels):
    model, tensors = networks_keras.build(name, dtype)
    networks_keras.set_weights(tensors, initial)
    images, labels = tf.constant(images.astype(dtype)), tf.constant(labels.astype(dtype))
    crossentropy = keras.losses.CategoricalCrossentropy()
    optimizer = _adam(dtype)
    trainable = [t.variable for t in tensors if t.trainable]

    def total_loss(probabilities):
        # Keras finds the logits behind the softmax and uses the fused form: nothing is clipped.
        return tf.add_n([crossentropy(labels, probabilities), *model.losses])

    @tf.function
    def infer():
        probabilities = model(images, training=False)
        return probabilities, total_loss(probabilities)

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            probabilities = model(images, training=True)
            loss = total_loss(probabilities)
        gradients = tape.gradient(loss, trainable)
        optimizer.apply_gradients(zip(gradients, trainable))
        return probabilities, loss, gradients

    probabilities, loss = infer()
    result = Run(probabilities.numpy(), float(loss))
    fused = dtype == "float32"

    def moving(index, steps):
        tensor = tensors[index]
        value = tensor.variable.numpy()
        if fused or tensor.kind != "moving_variance":
            return value
        return _with_bessel(tensor, initial[index], value, steps)

    for done in range(ADAM_STEPS):
        probabilities, loss, gradients = step()
        if done == 0:
            result.training_probabilities, result.training_loss = probabilities.numpy(), float(loss)
            indices = [i for i, t in enumerate(tensors) if t.trainable]
            result.gradients = {i: g.numpy() for i, g in zip(indices, gradients, strict=True)}
            result.moving = {i: moving(i, 1) for i, t in enumerate(tensors) if t.kind.startswith("moving_")}
    result.weights = [moving(i, ADAM_STEPS) for i in range(len(tensors))]
    return result, tensors


def _describe(tensors, initial, single, double):
    rows = []
    for i, tensor in enumerate(tensors):
        row = {"name": tensor.variable.name.split(":")[0], "layer": type(tensor.layer).__name__, "kind": tensor.kind,
               "shape": list(tensor.shape), "trainable": bool(tensor.trainable), "l2": tensor.l2}
        if tensor.trainable:
            row["zero_gradient"] = tensor.zero_gradient
            row["gradient_nmse"] = formula.nmse(single.gradients[i], double.gradients[i])
        moved = formula.moved(double.gradients[i]) if tensor.trainable else slice(None)
        row["update_nmse"] = formula.nmse((single.weights[i].astype(np.float64) - initial[i])[moved],
                                          (double.weights[i] - initial[i])[moved])
        rows.append(row)
    return rows


def _summary(rows, single, double):
    real = [i for i, row in enumerate(rows) if row["trainable"] and not row["zero_gradient"]]
    together = lambda r: np.concatenate([r.gradients[i].reshape(-1) for i in real])
    return {
        "probabilities_max_error": float(np.max(np.abs(single.probabilities - double.probabilities))),
        "training_probabilities_max_error":
            float(np.max(np.abs(single.training_probabilities - double.training_probabilities))),
        "loss_relative_error": abs(single.loss / double.loss - 1),
        "training_loss_relative_error": abs(single.training_loss / double.training_loss - 1),
        "gradient_nmse": formula.nmse(together(single), together(double)),
        "gradient_nmse_worst_tensor": max(rows[i]["gradient_nmse"] for i in real),
        "moving_nmse_worst_tensor": max(formula.nmse(single.moving[i], double.moving[i]) for i in double.moving),
        "update_nmse_worst_tensor": max(rows[i]["update_nmse"] for i in real),
    }


def generate_one(name, folder):
    images, labels = formula.batch(INPUT_SHAPE, CLASS_COUNT)
    _, tensors = networks_keras.build(name, "float32")
    counts = _counts(tensors)
    assert counts == PARAMETER_COUNTS[name], f"{name} has {counts} parameters, not {PARAMETER_COUNTS[name]}"
    initial = [formula.tensor(t.kind, i, t.shape) for i, t in enumerate(tensors)]

    single, _ = run(name, "float32", initial, images, labels)
    double, tensors = run(name, "float64", initial, images, labels)
    rows = _describe(tensors, initial, single, double)
    summary = _summary(rows, single, double)
    # The float32 run is the real fused layer: it confirms the Bessel correction of the float64 moving variances.
    assert summary["moving_nmse_worst_tensor"] < 1e-12, summary

    stored = {
        "probabilities": double.probabilities,
        "loss": np.float64(double.loss),
        "training/probabilities": double.training_probabilities,
        "training/loss": np.float64(double.training_loss),
    }
    for i, gradient in double.gradients.items():
        stored[f"gradient/{i}"] = formula.sample(gradient)
        stored[f"gradient_norm/{i}"] = np.float64(np.linalg.norm(gradient.reshape(-1)))
    for i, value in double.moving.items():
        stored[f"moving/{i}"] = formula.sample(value)
    for i in range(len(tensors)):
        stored[f"weights/{i}"] = formula.sample(single.weights[i])
        stored[f"weights64/{i}"] = formula.sample(double.weights[i])
    metadata = {
        "network": name,
        "keras": keras.__version__,
        "tensorflow": tf.__version__,
        "seed": str(formula.SEED),
        "image_stream": str(formula.IMAGE_STREAM),
        "l2": str(L2),
        "adam": {"learning_rate": LEARNING_RATE, "steps": ADAM_STEPS},
        "parameters": dict(zip(("total", "trainable", "non_trainable"), counts)),
        "float32_against_float64": summary,
        "tensors": rows,
    }
    tensor_file.write(folder / f"{name}.safetensors", stored, metadata)
    return summary


def generate(folder, names):
    folder = folder / "networks"
    folder.mkdir(exist_ok=True)
    print("Keras float32 against Keras float64:")
    print(f"{'network':<14} {'probabilities':>13} {'loss':>8} {'gradients':>10} {'worst':>8} {'moving':>8}"
          f" {'update':>8}")
    for name in names:
        s = generate_one(name, folder)
        print(f"{name:<14} {max(s['probabilities_max_error'], s['training_probabilities_max_error']):>13.1e}"
              f" {max(s['loss_relative_error'], s['training_loss_relative_error']):>8.1e}"
              f" {s['gradient_nmse']:>10.1e} {s['gradient_nmse_worst_tensor']:>8.1e}"
              f" {s['moving_nmse_worst_tensor']:>8.1e} {s['update_nmse_worst_tensor']:>8.1e}", flush=True)

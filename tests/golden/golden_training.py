"""Goldens of the training loop: optimizers step by step, EarlyStopping and ReduceLROnPlateau epoch by epoch."""

import keras
import numpy as np
import tensorflow as tf
from keras import callbacks

import formula
from text_file import encode, write

STEPS = 6
WEIGHTS = np.float32([1.0, -0.5, 0.25, -0.125, 0.75])
SCALES = (1.0, 1e-3, 1e-6, 1e-9)
OPTIMIZER_STREAM = 3000

OPTIMIZERS = [
    ("Adam", {}),
    ("Adam", {"learning_rate": 1e-4}),
    ("Adam", {"learning_rate": 0.1, "beta_1": 0.8, "beta_2": 0.99, "epsilon": 1e-3}),
    ("Adam", {"weight_decay": 0.1}),
    ("Adam", {"clipnorm": 0.5}),
    ("Adam", {"global_clipnorm": 0.5}),
    ("Adam", {"clipvalue": 0.01}),
    ("SGD", {}),
    ("SGD", {"momentum": 0.9}),
    ("SGD", {"momentum": 0.9, "nesterov": True}),
    ("SGD", {"learning_rate": 0.1, "momentum": 0.5, "weight_decay": 0.01}),
    ("RMSprop", {}),
    ("RMSprop", {"momentum": 0.9}),
    ("RMSprop", {"centered": True}),
    ("RMSprop", {"centered": True, "momentum": 0.9, "rho": 0.8}),
]
# Keras casts these through float32 even in float64; as double tensors they stay what they are.
CAST_HYPERPARAMETERS = {"Adam": ("beta_1", "beta_2"), "SGD": ("momentum",), "RMSprop": ()}


def gradients():
    """(steps, 5): one column per size of gradient, then one that goes through all of them; changing signs."""
    u = formula.uniform(OPTIMIZER_STREAM, STEPS * WEIGHTS.size).reshape(STEPS, WEIGHTS.size)
    sign = np.where(u * 8 % 1 < 0.7, 1, -1)
    scale = np.array([[*SCALES, SCALES[step % len(SCALES)]] for step in range(STEPS)])
    return (sign * (0.5 + u) * scale).astype(np.float32)


def run_optimizer(name, config, dtype):
    keras.backend.set_floatx(dtype)
    optimizer = getattr(keras.optimizers, name)(**config)
    variable = tf.Variable(WEIGHTS.astype(dtype))
    optimizer.build([variable])
    if dtype == "float64":
        casts = CAST_HYPERPARAMETERS[name] + (("weight_decay",) if "weight_decay" in config else ())
        for key in casts:
            setattr(optimizer, key, tf.constant(getattr(optimizer, key), tf.float64))
    steps = []
    for gradient in gradients():
        optimizer.apply_gradients([(tf.constant(gradient.astype(dtype)), variable)])
        steps.append(variable.numpy())
    # "Adam/m/Variable:0" -> "m"; the step count and the learning rate are scalars
    slots = {slot.name.split("/")[-2]: slot.numpy() for slot in optimizer.variables if slot.shape == variable.shape}
    return steps, slots


def optimizers(folder):
    cases = []
    for name, config in OPTIMIZERS:
        steps, slots = run_optimizer(name, config, "float32")
        steps64, _ = run_optimizer(name, config, "float64")
        defaults = getattr(keras.optimizers, name)(**config).get_config()
        unused = ("name", "jit_compile", "is_legacy_optimizer", "use_ema", "ema_momentum", "ema_overwrite_frequency")
        assert not defaults.get("amsgrad")
        full = {key: value for key, value in defaults.items() if key not in (*unused, "amsgrad")}
        full["learning_rate"] = config.get("learning_rate", 0.01 if name == "SGD" else 0.001)
        cases.append({"optimizer": name, "config": encode(full), "weights": encode(steps), "weights64": encode(steps64),
                      "slots": encode(slots)})
    write(folder / "optimizers.json", {
        "keras": keras.__version__, "initial": encode(WEIGHTS), "gradients": encode(gradients()), "cases": cases})
    print(f"optimizers: {len(cases)} cases of {STEPS} steps")


class Model:
    """What the callbacks touch. The weights are the number of the epoch that made them."""

    def __init__(self, learning_rate):
        self.stop_training = False
        self.weights = [np.array([-1])]
        self.optimizer = self
        self.lr = tf.Variable(learning_rate, dtype=tf.float32)

    def get_weights(self):
        return [weight.copy() for weight in self.weights]

    def set_weights(self, weights):
        self.weights = [weight.copy() for weight in weights]


NAN, INF = float("nan"), float("inf")
FALLING = [1.0, 0.9, 0.8, 0.85, 0.81, 0.79, 0.8, 0.82, 0.83, 0.84, 0.85, 0.86, 0.87, 0.88]
NOISY = [1.0, 0.9, 0.95, 0.91, 0.90005, 0.9, 0.89, 0.9, 0.9, 0.88, 0.9, 0.9, 0.9, 0.9]
RISING = [0.2, 0.3, 0.3, 0.29, 0.35, 0.34, 0.33, 0.36, 0.36, 0.36, 0.36]
FLAT = [1.0] * 9

EARLY_STOPPING = [
    *((values, {"patience": patience, "restore_best_weights": True})
      for patience in (0, 1, 3, 7) for values in (FALLING, NOISY, FLAT)),
    (FALLING, {"patience": 3}),  # stops without restoring
    (FALLING[:6], {"patience": 7, "restore_best_weights": True}),  # never stops: nothing is restored
    (NOISY, {"patience": 3, "min_delta": 0.02, "restore_best_weights": True}),
    (NOISY, {"patience": 3, "min_delta": -0.02, "restore_best_weights": True}),  # its absolute value counts
    (FALLING, {"patience": 3, "baseline": 0.5, "restore_best_weights": True}),  # never beaten
    (FALLING, {"patience": 3, "baseline": 0.85, "restore_best_weights": True}),
    (FALLING, {"patience": 2, "baseline": 0.85, "min_delta": 0.01, "restore_best_weights": True}),
    (FLAT, {"patience": 2, "start_from_epoch": 3, "restore_best_weights": True}),
    (FALLING, {"patience": 1, "start_from_epoch": 6, "restore_best_weights": True}),
    (FALLING, {"patience": 0, "start_from_epoch": 20, "restore_best_weights": True}),
    ([NAN, 0.9, 0.8, NAN, NAN, NAN], {"patience": 2, "restore_best_weights": True}),
    ([NAN] * 5, {"patience": 3, "restore_best_weights": True}),
    ([1.0, INF, INF, 0.5, INF, INF, INF], {"patience": 2, "restore_best_weights": True}),
    ([1.0, None, 0.9, None, 0.95, None, 0.95, 0.95], {"patience": 2, "restore_best_weights": True}),  # not logged
    *((RISING, {"monitor": "val_accuracy", "patience": patience, "restore_best_weights": True})
      for patience in (1, 3, 7)),
    (RISING, {"monitor": "val_score", "mode": "max", "patience": 2, "min_delta": 0.01, "restore_best_weights": True}),
    (RISING, {"monitor": "val_accuracy", "baseline": 0.34, "patience": 4, "restore_best_weights": True}),
    (RISING, {"monitor": "val_accuracy", "mode": "min", "patience": 3, "restore_best_weights": True}),
    ([0.5, NAN, 0.6, NAN, NAN], {"monitor": "val_accuracy", "patience": 2, "restore_best_weights": True}),
]

REDUCE_LR = [
    (NOISY, {"patience": 2, "factor": 0.2, "min_lr": 1e-5}),
    (FLAT, {"patience": 2, "factor": 0.1, "cooldown": 2}),
    (FLAT, {"patience": 1, "factor": 0.5}),
    (FLAT, {"patience": 0, "factor": 0.5}),
    (FLAT, {"patience": 1, "factor": 0.5, "cooldown": 1}),
    ([*FLAT, *FLAT], {"patience": 2, "factor": 0.1, "min_lr": 1e-5}),  # the last cut is clipped, then none
    (FALLING, {"patience": 3, "factor": 0.2}),
    (FALLING, {"patience": 6, "factor": 0.2}),
    (NOISY, {"patience": 2, "factor": 0.2, "min_delta": 0.0}),
    (NOISY, {"patience": 2, "factor": 0.2, "min_delta": 0.05}),
    (NOISY, {"patience": 1, "factor": 0.3, "min_delta": 0.05, "cooldown": 3, "min_lr": 5e-5}),
    (RISING, {"monitor": "val_accuracy", "patience": 2, "factor": 0.2}),
    (RISING, {"monitor": "val_score", "mode": "max", "patience": 1, "factor": 0.2, "cooldown": 1}),
    ([1.0, NAN, NAN, NAN, 0.5, NAN], {"patience": 2, "factor": 0.2}),
    ([1.0, None, 1.0, None, 1.0, 1.0], {"patience": 2, "factor": 0.2}),
]


def replay(kind, values, config, learning_rate=1e-3):
    model, callback = Model(learning_rate), getattr(callbacks, kind)(**config)
    callback.set_model(model)
    callback.on_train_begin()
    epochs = []
    for epoch, value in enumerate(values):
        model.set_weights([np.array([epoch])])
        callback.on_epoch_end(epoch, {} if value is None else {callback.monitor: value})
        row = {"value": encode(value), "wait": callback.wait, "best": encode(float(callback.best))}
        if kind == "EarlyStopping":
            row |= {"best_epoch": callback.best_epoch, "stopped": model.stop_training}
        else:
            row |= {"cooldown_counter": callback.cooldown_counter, "lr": float(model.lr.numpy())}
        epochs.append(row)
        if model.stop_training:
            break
    callback.on_train_end()
    case = {"callback": kind, "config": {"monitor": "val_loss", **config}, "epochs": epochs}
    if kind == "EarlyStopping":
        case["weights_of_epoch"] = int(model.weights[0][0])
    else:
        case["initial_lr"] = learning_rate
    return case


def run_callbacks(folder):
    cases = [replay("EarlyStopping", *case) for case in EARLY_STOPPING]
    cases += [replay("ReduceLROnPlateau", *case) for case in REDUCE_LR]
    write(folder / "callbacks.json", {"keras": keras.__version__, "cases": cases})
    print(f"callbacks: {len(cases)} cases")


def generate(folder):
    optimizers(folder)
    run_callbacks(folder)

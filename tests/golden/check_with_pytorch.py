#!/usr/bin/env python3
"""Second witness: the goldens of whole networks and of single ops against PyTorch in float64, from the same formulas.

    python -m venv pytorch && pytorch/bin/pip install torch numpy
    pytorch/bin/python tests/golden/check_with_pytorch.py [network ...]

Fails if a probability, loss, gradient, moving statistic or updated weight differs by more than its bound. Two
implementations in double that agree this closely leave no room for a difference of definition. With --float32 nothing
can fail: the table then shows what single precision costs, for choosing the engine's tolerances.
"""

import argparse
import json
import math
import pathlib
import sys

import numpy as np
import torch
from torch.nn import functional

import formula
import networks_pytorch
import ops_pytorch
import tensor_file
from networks import CLASS_COUNT, INPUT_SHAPE, NETWORKS, PARAMETER_COUNTS

BatchNorm = (torch.nn.BatchNorm1d, torch.nn.BatchNorm2d)

# Measured: up to 1.0e-12, 3.3e-14, 1.3e-24, 2.3e-29 and 3.3e-12, all of them residual_cnn's.
PROBABILITY_BOUND = 1e-11  # absolute
LOSS_BOUND = 1e-12  # relative
NMSE_BOUND = 1e-22  # squared: 1e-11 of a tensor's own size
UPDATE_BOUND = 1e-10  # absolute, of weights that move by up to 3e-3
OPS_BOUND = 1e-12  # of the largest element; measured 1e-13, in batch norm of values around 100


class Adam:
    """Keras's rule: epsilon joins the root of v before bias correction, unlike torch.optim.Adam."""

    def __init__(self, parameters, learning_rate=1e-3):
        self.parameters, self.learning_rate, self.t = parameters, learning_rate, 0
        self.m = [torch.zeros_like(p) for p in parameters]
        self.v = [torch.zeros_like(p) for p in parameters]

    @torch.no_grad()
    def step(self):
        self.t += 1
        alpha = self.learning_rate * (1 - 0.999**self.t) ** 0.5 / (1 - 0.9**self.t)
        for p, m, v in zip(self.parameters, self.m, self.v):
            m += (p.grad - m) * (1 - 0.9)
            v += (p.grad**2 - v) * (1 - 0.999)
            p -= alpha * m / (v.sqrt() + 1e-7)


def to_keras(tensor, value):
    return formula.sample(tensor.to_keras(value.detach().numpy()))


def moving_statistic(tensor, start, steps):
    """PyTorch always averages the unbiased variance; Keras only that of 4-D inputs."""
    value = tensor.value.numpy()
    if tensor.kind == "moving_variance" and tensor.reduced == 1:
        decayed = formula.KERAS_MOMENTUM**steps * start
        value = decayed + (value - decayed) * (formula.BATCH - 1) / formula.BATCH
    return formula.sample(value)


def check(name, folder, dtype):
    golden, metadata = tensor_file.read(folder / f"{name}.safetensors")
    rows = json.loads(metadata["tensors"])
    module, tensors = networks_pytorch.build(name)
    module.to(dtype)
    for layer in module.modules():
        if isinstance(layer, BatchNorm):
            layer.momentum = 1 - formula.KERAS_MOMENTUM
    for parameter in module.parameters():
        parameter.requires_grad_(True)
    assert [list(t.keras_shape) for t in tensors] == [row["shape"] for row in rows]
    assert sum(int(np.prod(t.keras_shape)) for t in tensors) == PARAMETER_COUNTS[name][0]
    # Module.to() replaced the buffers and the data of the parameters: take both again, in the same order.
    initial = []
    for i, (tensor, current) in enumerate(zip(tensors, current_tensors(module), strict=True)):
        initial.append(formula.tensor(tensor.kind, i, tensor.keras_shape).astype(np.float64))
        tensor.value = current
        with torch.no_grad():
            current.copy_(torch.from_numpy(np.ascontiguousarray(tensor.from_keras(initial[i]))))

    images, labels = formula.batch(INPUT_SHAPE, CLASS_COUNT)
    images = torch.from_numpy(images.transpose(0, 3, 1, 2).copy()).to(dtype)
    labels = torch.from_numpy(labels.argmax(axis=1))
    errors = dict.fromkeys(("probabilities", "loss", "gradients", "moving", "update"), 0.0)
    gradient_nmse = []

    def forward():
        logits = module(images)
        penalty = sum((t.l2 * (t.value**2).sum() for t in tensors if t.l2), torch.zeros((), dtype=dtype))
        return torch.softmax(logits, 1), functional.cross_entropy(logits, labels) + penalty

    def note(what, error):
        errors[what] = max(errors[what], float(error)) if np.isfinite(error) else float("inf")

    def note_forward(prefix, probabilities, loss):
        note("probabilities", np.abs(probabilities.detach().numpy() - golden[f"{prefix}probabilities"]).max())
        note("loss", abs(loss.item() / golden[f"{prefix}loss"] - 1))

    module.eval()
    with torch.no_grad():
        note_forward("", *forward())

    module.train()
    adam = Adam([t.value for t in tensors if t.value.requires_grad])
    for done in range(3):
        module.zero_grad()
        probabilities, loss = forward()
        loss.backward()
        if done == 0:
            note_forward("training/", probabilities, loss)
            for i, (tensor, row) in enumerate(zip(tensors, rows)):
                if row["trainable"]:
                    gradient, size = to_keras(tensor, tensor.value.grad), golden[f"gradient_norm/{i}"]
                    if row["zero_gradient"]:
                        note("gradients", np.sum(gradient**2) if dtype == torch.float64 else 0)
                        continue
                    gradient_nmse.append(formula.nmse(gradient, golden[f"gradient/{i}"]))
                    note("gradients", gradient_nmse[-1])
                    note("gradients", (torch.linalg.vector_norm(tensor.value.grad).item() / size - 1) ** 2)
                else:
                    note("moving", formula.nmse(moving_statistic(tensor, initial[i], 1), golden[f"moving/{i}"]))
        adam.step()
    for i, (tensor, row) in enumerate(zip(tensors, rows)):
        if row["trainable"] and not row["zero_gradient"]:
            moved = formula.moved(golden[f"gradient/{i}"], golden[f"gradient_norm/{i}"], math.prod(row["shape"]))
            note("update", np.max(np.abs(to_keras(tensor, tensor.value) - golden[f"weights64/{i}"])[moved], initial=0))

    bounds = {"probabilities": PROBABILITY_BOUND, "loss": LOSS_BOUND, "gradients": NMSE_BOUND, "moving": NMSE_BOUND,
              "update": UPDATE_BOUND}
    failed = [what for what, bound in bounds.items() if dtype == torch.float64 and not errors[what] <= bound]
    verdict = "FAILED " + ", ".join(failed) if failed else "ok" if dtype == torch.float64 else ""
    print(f"{name:<14}" + "".join(f" {errors[what]:>13.1e}" for what in errors),
          f"{np.median(gradient_nmse):>13.1e}", verdict, flush=True)
    return not failed


def current_tensors(module):
    for layer in module.modules():
        if isinstance(layer, (torch.nn.Conv2d, torch.nn.Linear)):
            yield from (p for p in (layer.weight, layer.bias) if p is not None)
        elif isinstance(layer, BatchNorm):
            yield from (layer.weight, layer.bias, layer.running_mean, layer.running_var)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", choices=[[], *NETWORKS], metavar="network", help="default: all seven")
    parser.add_argument("--float32", action="store_true", help="measure single precision instead of checking")
    arguments = parser.parse_args()
    dtype = torch.float32 if arguments.float32 else torch.float64
    formula.check_known_answers()
    print(f"PyTorch {torch.__version__} {dtype} against Keras float64: largest difference of probabilities, relative of"
          " the loss,\nworst tensor's NMSE of gradients and moving statistics, largest difference of updated weights,"
          "\nmedian tensor's NMSE of gradients")
    columns = ("probabilities", "loss", "gradients", "moving", "update", "median grad.")
    print(f"{'network':<14}" + "".join(f" {column:>13}" for column in columns))
    folder = pathlib.Path(__file__).parent
    passed = [check(name, folder / "networks", dtype) for name in arguments.names or NETWORKS]
    ops = ops_pytorch.check(folder / "ops.safetensors", dtype)
    print("ops, largest relative error: " + ", ".join(f"{op} {error:.0e}" for op, error in ops.items() if error)
          + "; the others agree to the bit")
    passed.append(dtype == torch.float32 or max(ops.values()) <= OPS_BOUND)
    return 0 if all(passed) else 1


if __name__ == "__main__":
    sys.exit(main())

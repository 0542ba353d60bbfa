"""Recomputes the cases of ops.safetensors with PyTorch, from their descriptions alone.

Every op is written as a formula rather than as PyTorch's layer where the two could share a convention with Keras.
"""

import json

import numpy as np
import torch
from torch.nn import functional

import formula
import tensor_file

TO_NCHW, TO_NHWC = (0, 3, 1, 2), (0, 2, 3, 1)


def _input(spec, dtype):
    if spec["fill"] == "integers":
        value = formula.small_integers(spec["stream"], spec["shape"])
    elif spec["fill"] == "signed":
        value = formula.signed(spec["stream"], spec["shape"])
        value = np.float32(spec.get("offset", 0)) + np.float32(spec.get("scale", 1)) * value
    else:
        value = formula.tensor(spec["fill"], spec["stream"], spec["shape"])
    return torch.from_numpy(np.ascontiguousarray(value)).to(dtype).requires_grad_(True)


def _pad(x, pad, value):
    top, bottom, left, right = pad
    return functional.pad(x.permute(TO_NCHW), (left, right, top, bottom), value=value)


def _gradients(y, a, *names):
    y.backward(a["dy"])
    return {"y": y, **{f"d{name}": a[name].grad for name in names}}


def _convolve(case, a):
    depthwise = case["op"] == "depthwise_conv"
    kernel = a["kernel"].permute((2, 3, 0, 1) if depthwise else (3, 2, 0, 1))
    groups = kernel.shape[0] if depthwise else 1
    return functional.conv2d(_pad(a["x"], case["pad"], 0.0), kernel, a["bias"], case["stride"],
                             groups=groups).permute(TO_NHWC)


def conv2d(case, a):
    return _gradients(_convolve(case, a), a, "x", "kernel", "bias")


def dense(case, a):
    del case
    return _gradients(a["x"] @ a["kernel"] + a["bias"], a, "x", "kernel", "bias")


def _with_l2(y, case, a):
    penalty = case["l2"] * (a["kernel"] ** 2).sum()
    ((y * a["dy"]).sum() + penalty).backward()
    return {"penalty": penalty, "dkernel": a["kernel"].grad, "dbias": a["bias"].grad}


def conv2d_l2(case, a):
    return _with_l2(_convolve(case, a), case, a)


def dense_l2(case, a):
    return _with_l2(a["x"] @ a["kernel"] + a["bias"], case, a)


def max_pool(case, a):
    y = functional.max_pool2d(_pad(a["x"], case["pad"], -1e30), case["k"], case["stride"])
    return _gradients(y.permute(TO_NHWC), a, "x")


def average_pool(case, a):
    def mean(x):
        return functional.avg_pool2d(_pad(x, case["pad"], 0.0), case["k"], case["stride"])

    inside = mean(torch.ones_like(a["x"]))  # the share of each window that is not padding
    return _gradients((mean(a["x"]) / inside).permute(TO_NHWC), a, "x")


def global_average_pool(case, a):
    del case
    return _gradients(a["x"].mean((1, 2)), a, "x")


def batch_norm(case, a):
    x, moved = a["x"], {}
    mean, variance = a["moving_mean"], a["moving_variance"]
    if case["mode"] == "training":
        axes = tuple(range(x.dim() - 1))
        mean = x.mean(axes)
        variance = ((x - mean) ** 2).mean(axes)
        count = x.numel() // x.shape[-1]
        factor = count / max(count - 1, 1) if case["unbiased_moving_variance"] else 1.0
        for name, value in (("moving_mean", mean), ("moving_variance", variance * factor)):
            moved[name] = formula.KERAS_MOMENTUM * a[name] + (1 - formula.KERAS_MOMENTUM) * value
    y = (x - mean) / torch.sqrt(variance + case["epsilon"]) * a["gamma"] + a["beta"]
    return _gradients(y, a, "x", "gamma", "beta") | moved


def softmax_xent(case, a):
    logits, labels, smoothing = a["logits"], case["labels"], case["label_smoothing"]
    target = torch.eye(7, dtype=logits.dtype)[labels] * (1 - smoothing) + smoothing / 7
    weights = torch.tensor(case["class_weight"] or [1.0] * 7, dtype=logits.dtype)[labels]
    loss = -(weights * (target * torch.log_softmax(logits, 1)).sum(1)).sum() / len(labels)
    loss.backward()
    return {"loss": loss, "probabilities": torch.softmax(logits, 1), "dlogits": logits.grad}


OPS = {function.__name__: function for function in (
    conv2d, conv2d_l2, dense, dense_l2, max_pool, average_pool, global_average_pool, batch_norm, softmax_xent)}
OPS["depthwise_conv"] = conv2d


def check(path, dtype):
    """Returns {op: largest error, relative to the largest element of its tensor}; exact cases must have none."""
    golden, metadata = tensor_file.read(path)
    worst = {}
    for case in json.loads(metadata["cases"]):
        arrays = {name: _input(spec, dtype) for name, spec in case["inputs"].items()}
        results = OPS[case["op"]](case, arrays)
        stored = {name.rsplit("/", 1)[1] for name in golden if name.rsplit("/", 1)[0] == case["name"]}
        assert stored == set(results), f"{case['name']} stores {stored}, recomputed {set(results)}"
        for name, value in results.items():
            got, want = value.detach().double().numpy(), golden[f"{case['name']}/{name}"]
            assert got.shape == want.shape, f"{case['name']}/{name}"
            error = float(np.max(np.abs(got - want)) / max(np.max(np.abs(want)), 1e-30))
            assert error == 0 or not case["exact"], f"{case['name']}/{name} differs by {error}"
            worst[case["op"]] = max(worst.get(case["op"], 0.0), error if np.isfinite(error) else float("inf"))
    return worst

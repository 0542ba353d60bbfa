#!/usr/bin/env python3
"""Logits of torchvision's resnet50, mobilenet_v2 and vgg16 in PyTorch, weights by formula under torchvision's names.

    pytorch/bin/python tests/golden/golden_torch.py

The networks are written out here from their papers' tables; torchvision is not needed.
"""

import pathlib
import zlib

import numpy as np
import torch
import torch.nn.functional as F

import formula
import tensor_file

CLASSES = 7


class State:
    """Tensors by name, made when they are asked for."""

    def __init__(self):
        self.tensors = {}

    def get(self, name, kind, shape):
        self.tensors[name] = kind
        values = formula.tensor(kind, zlib.crc32(name.encode()) & 0x7FFFFFFF, shape)
        if kind == "kernel":
            values = values.transpose(3, 2, 0, 1) if len(shape) == 4 else values.T
        return torch.from_numpy(np.ascontiguousarray(values)).double()

    def conv(self, x, name, out, k, stride=1, bias=False, groups=1):
        if groups == 1:
            kernel = self.get(name + ".weight", "kernel", (k, k, x.shape[1], out))
        else:  # Keras's (k, k, c, 1), whose fans count the channels
            shape = (k, k, out, 1)
            values = formula.tensor("kernel", zlib.crc32((name + ".weight").encode()) & 0x7FFFFFFF, shape)
            kernel = torch.from_numpy(np.ascontiguousarray(values.transpose(2, 3, 0, 1))).double()
        b = self.get(name + ".bias", "bias", (out,)) if bias else None
        return F.conv2d(x, kernel, b, stride=stride, padding=k // 2, groups=groups)

    def norm(self, x, name):
        c = (x.shape[1],)
        return F.batch_norm(x, self.get(name + ".running_mean", "moving_mean", c),
                            self.get(name + ".running_var", "moving_variance", c), self.get(name + ".weight", "gamma", c),
                            self.get(name + ".bias", "beta", c), eps=1e-5)

    def linear(self, x, name, out):
        return F.linear(x, self.get(name + ".weight", "kernel", (x.shape[1], out)),
                        self.get(name + ".bias", "bias", (out,)))


def resnet50(s, x):
    x = F.max_pool2d(F.relu(s.norm(s.conv(x, "conv1", 64, 7, 2), "bn1")), 3, 2, 1)
    for stack, blocks in enumerate((3, 4, 6, 3)):
        for block in range(blocks):
            p, filters = f"layer{stack + 1}.{block}", 64 << stack
            stride, shortcut = (2 if block == 0 and stack else 1), x
            y = F.relu(s.norm(s.conv(x, p + ".conv1", filters, 1), p + ".bn1"))
            y = F.relu(s.norm(s.conv(y, p + ".conv2", filters, 3, stride), p + ".bn2"))
            y = s.norm(s.conv(y, p + ".conv3", 4 * filters, 1), p + ".bn3")
            if block == 0:
                shortcut = s.norm(s.conv(x, p + ".downsample.0", 4 * filters, 1, stride), p + ".downsample.1")
            x = F.relu(y + shortcut)
    return s.linear(x.mean((2, 3)), "fc", CLASSES)


def mobilenet_v2(s, x):
    x = F.relu6(s.norm(s.conv(x, "features.0.0", 32, 3, 2), "features.0.1"))
    index = 1
    for t, c, n, stride in ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2),
                            (6, 320, 1, 1)):
        for i in range(n):
            p, entry, wide, at = f"features.{index}.conv", x, x.shape[1] * t, 0
            if t > 1:
                x, at = F.relu6(s.norm(s.conv(x, p + ".0.0", wide, 1), p + ".0.1")), 1
            x = s.conv(x, f"{p}.{at}.0", wide, 3, stride if i == 0 else 1, groups=wide)
            x = F.relu6(s.norm(x, f"{p}.{at}.1"))
            x = s.norm(s.conv(x, f"{p}.{at + 1}", c, 1), f"{p}.{at + 2}")
            x = x + entry if x.shape == entry.shape else x
            index += 1
    x = F.relu6(s.norm(s.conv(x, "features.18.0", 1280, 1), "features.18.1"))
    return s.linear(x.mean((2, 3)), "classifier.1", CLASSES)


def vgg16(s, x):
    module = 0
    for count, filters in ((2, 64), (2, 128), (3, 256), (3, 512), (3, 512)):
        for _ in range(count):
            x = F.relu(s.conv(x, f"features.{module}", filters, 3, bias=True))
            module += 2
        x = F.max_pool2d(x, 2)
        module += 1
    x = F.relu(s.linear(x.flatten(1), "classifier.0", 4096))
    return s.linear(F.relu(s.linear(x, "classifier.3", 4096)), "classifier.6", CLASSES)


def main():
    pixels = formula.uniform(formula.IMAGE_STREAM, 224 * 224 * 3).reshape(1, 224, 224, 3)
    mean, deviation = (np.array(v) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    images = torch.from_numpy(((pixels - mean) / deviation).transpose(0, 3, 1, 2).copy()).double()
    tensors = {}
    for network in (resnet50, mobilenet_v2, vgg16):
        with torch.no_grad():
            tensors[network.__name__] = network(State(), images).numpy().astype(np.float32)
        print(network.__name__, tensors[network.__name__])
    tensor_file.write(pathlib.Path(__file__).parent / "interchange" / "pytorch.safetensors", tensors, {})


if __name__ == "__main__":
    main()

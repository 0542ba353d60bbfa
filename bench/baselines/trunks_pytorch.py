"""Two of the transfer-learning networks as PyTorch modules, for their speed: layers, strides and widths of
models/trunks and models/transfer.cpp, weights as PyTorch draws them. Modules return logits.
"""

import torch
from torch import nn
from torch.nn import functional

SIDE, CHANNELS, CLASSES = 224, 3, 7


def norm_relu(channels, epsilon):
    return [nn.BatchNorm2d(channels, eps=epsilon), nn.ReLU(inplace=True)]


class PreactivationBlock(nn.Module):
    """He et al., "Identity Mappings in Deep Residual Networks" (2016), as keras.applications has it."""

    def __init__(self, inputs, filters, stride, shortcut):
        super().__init__()
        self.preact = nn.Sequential(*norm_relu(inputs, 1.001e-5))
        self.shortcut = nn.Conv2d(inputs, 4 * filters, 1, stride) if shortcut else None
        self.pool = nn.MaxPool2d(1, stride) if stride > 1 else nn.Identity()
        self.body = nn.Sequential(
            nn.Conv2d(inputs, filters, 1, bias=False), *norm_relu(filters, 1.001e-5),
            nn.Conv2d(filters, filters, 3, stride, padding=1, bias=False), *norm_relu(filters, 1.001e-5),
            nn.Conv2d(filters, 4 * filters, 1))

    def forward(self, x):
        y = self.preact(x)
        return self.body(y) + (self.pool(x) if self.shortcut is None else self.shortcut(y))


def resnet50v2_tl():
    layers = [nn.Conv2d(CHANNELS, 64, 7, 2, padding=3), nn.ZeroPad2d(1), nn.MaxPool2d(3, 2)]
    channels = 64
    for filters, blocks, stride in ((64, 3, 2), (128, 4, 2), (256, 6, 2), (512, 3, 1)):
        for block in range(blocks):
            last = block == blocks - 1
            layers.append(PreactivationBlock(channels, filters, stride if last else 1, block == 0))
            channels = 4 * filters
    layers += norm_relu(channels, 1.001e-5)
    features = channels * (SIDE // 32) ** 2
    return nn.Sequential(*layers, nn.BatchNorm2d(channels), nn.Flatten(), nn.Linear(features, 64), nn.ReLU(),
                         nn.BatchNorm1d(64), nn.Linear(64, CLASSES))


class InvertedResidual(nn.Module):
    def __init__(self, inputs, expansion, filters, stride):
        super().__init__()
        width = expansion * inputs
        expand = [nn.Conv2d(inputs, width, 1, bias=False), nn.BatchNorm2d(width, 1e-3), nn.ReLU6(inplace=True)]
        self.body = nn.Sequential(
            *(expand if expansion > 1 else []), nn.ZeroPad2d((0, 1, 0, 1)) if stride == 2 else nn.Identity(),
            nn.Conv2d(width, width, 3, stride, padding=0 if stride == 2 else 1, groups=width, bias=False),
            nn.BatchNorm2d(width, 1e-3), nn.ReLU6(inplace=True),
            nn.Conv2d(width, filters, 1, bias=False), nn.BatchNorm2d(filters, 1e-3))
        self.adds = stride == 1 and inputs == filters

    def forward(self, x):
        return x + self.body(x) if self.adds else self.body(x)


class GlobalAverage(nn.Module):
    def forward(self, x):
        return functional.adaptive_avg_pool2d(x, 1).flatten(1)


def mobilenetv2_tl():
    layers = [nn.ZeroPad2d((0, 1, 0, 1)), nn.Conv2d(CHANNELS, 32, 3, 2, bias=False), nn.BatchNorm2d(32, 1e-3),
              nn.ReLU6(inplace=True)]
    channels = 32
    for expansion, filters, blocks, stride in ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1),
                                               (6, 160, 3, 2), (6, 320, 1, 1)):
        for block in range(blocks):
            layers.append(InvertedResidual(channels, expansion, filters, stride if block == 0 else 1))
            channels = filters
    layers += [nn.Conv2d(channels, 1280, 1, bias=False), nn.BatchNorm2d(1280, 1e-3), nn.ReLU6(inplace=True)]
    return nn.Sequential(*layers, GlobalAverage(), nn.Linear(1280, 1024), nn.ReLU(), nn.Linear(1024, CLASSES))


TRUNKS = {"resnet50v2_tl": resnet50v2_tl, "mobilenetv2_tl": mobilenetv2_tl}


def build(name):
    return TRUNKS[name]()


if __name__ == "__main__":
    for network, make in TRUNKS.items():
        module = make()
        count = sum(p.numel() for p in module.parameters()) + sum(b.numel() for n, b in module.named_buffers()
                                                                  if "running" in n)
        print(network, f"{count:,}", tuple(module.eval()(torch.rand(1, CHANNELS, SIDE, SIDE)).shape))

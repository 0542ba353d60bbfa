"""The five transfer networks as PyTorch modules, frozen as ours: padding, epsilons, momenta and biases are Keras's.

Parameter counts are held against Keras's by build().
"""

import torch
from torch import nn
from torch.nn import functional

TOTALS = {"vgg16_tl": (40_934_215, 30_939_143), "resnet50v2_tl": (29_996_295, 22_779_527),
          "mobilenetv2_tl": (3_576_903, 1_318_919), "resnet50_tl": (23_850_887, 263_175),
          "vgg16_fc_tl": (134_289_223, 28_679)}


class PadBehind(nn.Module):
    """Keras pads an even side behind only, before a 3x3 window of stride 2."""

    def forward(self, x):
        return functional.pad(x, (0, 1, 0, 1) if x.shape[-1] % 2 == 0 else (1, 1, 1, 1))


class Sum(nn.Module):
    """Two ways from one input, added."""

    def __init__(self, first, second):
        super().__init__()
        self.first, self.second = first, second

    def forward(self, x):
        return self.first(x) + self.second(x)


def norm(channels, epsilon=1.001e-5, momentum=0.01):
    return nn.BatchNorm2d(channels, eps=epsilon, momentum=momentum)


def relu():
    return nn.ReLU(inplace=True)


def vgg16():
    parts, channels = [], 3
    for count, filters in ((2, 64), (2, 128), (3, 256), (3, 512), (3, 512)):
        for _ in range(count):
            parts += [nn.Conv2d(channels, filters, 3, padding=1), relu()]
            channels = filters
        parts.append(nn.MaxPool2d(2))
    return parts


STACKS = ((64, 3), (128, 4), (256, 6), (512, 3))


def resnet50():
    parts = [nn.Conv2d(3, 64, 7, 2, padding=3), norm(64), relu(), nn.MaxPool2d(3, 2, padding=1)]
    channels = 64
    for stack, (filters, blocks) in enumerate(STACKS):
        for block in range(blocks):
            stride = 2 if block == 0 and stack > 0 else 1
            body = nn.Sequential(nn.Conv2d(channels, filters, 1, stride), norm(filters), relu(),
                                 nn.Conv2d(filters, filters, 3, padding=1), norm(filters), relu(),
                                 nn.Conv2d(filters, 4 * filters, 1), norm(4 * filters))
            skip = nn.Sequential(nn.Conv2d(channels, 4 * filters, 1, stride), norm(4 * filters)) if block == 0 else nn.Identity()
            parts += [Sum(skip, body), relu()]
            channels = 4 * filters
    return parts


def resnet50v2():
    """A list of blocks: the last 50 layers of Keras begin at a convolution inside of one, see freeze()."""
    parts = [nn.Conv2d(3, 64, 7, 2, padding=3), nn.MaxPool2d(3, 2, padding=1)]
    channels = 64
    for stack, (filters, blocks) in enumerate(STACKS):
        for block in range(blocks):
            stride = 2 if block == blocks - 1 and stack < 3 else 1
            entry = nn.Sequential(norm(channels), nn.ReLU())
            body = nn.Sequential(nn.Conv2d(channels, filters, 1, bias=False), norm(filters), relu(),
                                 nn.Conv2d(filters, filters, 3, stride, padding=1, bias=False), norm(filters), relu(),
                                 nn.Conv2d(filters, 4 * filters, 1))
            if block == 0:
                parts += [entry, Sum(nn.Conv2d(channels, 4 * filters, 1, stride), body)]
            else:
                skip = nn.MaxPool2d(1, stride) if stride > 1 else nn.Identity()
                parts.append(Sum(skip, nn.Sequential(entry, *body)))
            channels = 4 * filters
    return parts + [norm(channels), relu()]


def mobilenet_v2():
    mobile = lambda channels: norm(channels, 1e-3, 0.001)
    parts = [PadBehind(), nn.Conv2d(3, 32, 3, 2, bias=False), mobile(32), nn.ReLU6(inplace=True)]
    channels = 32
    for expansion, filters, count, first_stride in ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2),
                                                    (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)):
        for i in range(count):
            stride, wide = first_stride if i == 0 else 1, expansion * channels
            body = [nn.Conv2d(channels, wide, 1, bias=False), mobile(wide), nn.ReLU6(inplace=True)] if expansion > 1 else []
            body += [PadBehind()] if stride == 2 else []
            body += [nn.Conv2d(wide, wide, 3, stride, padding=0 if stride == 2 else 1, groups=wide, bias=False),
                     mobile(wide), nn.ReLU6(inplace=True), nn.Conv2d(wide, filters, 1, bias=False), mobile(filters)]
            block = nn.Sequential(*body)
            parts.append(Sum(nn.Identity(), block) if stride == 1 and channels == filters else block)
            channels = filters
    return parts + [nn.Conv2d(channels, 1280, 1, bias=False), mobile(1280), nn.ReLU6(inplace=True)]


class GlobalAveragePool(nn.Module):
    def forward(self, x):
        return x.mean((2, 3))


HEADS = {
    "vgg16_tl": lambda: [nn.Flatten(), nn.Linear(25088, 1024), relu(), nn.Dropout(0.5), nn.Linear(1024, 512), relu(),
                         nn.Dropout(0.5), nn.Linear(512, 7)],
    "resnet50v2_tl": lambda: [nn.Dropout(0.25), nn.BatchNorm2d(2048, 1e-3, 0.01), nn.Flatten(), nn.Linear(100352, 64),
                              relu(), nn.BatchNorm1d(64, 1e-3, 0.01), nn.Dropout(0.5), nn.Linear(64, 7)],
    "mobilenetv2_tl": lambda: [GlobalAveragePool(), nn.Linear(1280, 1024), relu(), nn.Linear(1024, 7)],
    "resnet50_tl": lambda: [GlobalAveragePool(), nn.Linear(2048, 128), relu(), nn.Dropout(0.5), nn.Linear(128, 7)],
    "vgg16_fc_tl": lambda: [nn.Linear(4096, 7)],
}
TRUNKS = {"vgg16_tl": vgg16, "vgg16_fc_tl": vgg16, "resnet50v2_tl": resnet50v2, "resnet50_tl": resnet50,
          "mobilenetv2_tl": mobilenet_v2}


class FrozenThenTrained(nn.Module):
    """Batch norms of the frozen part stay in inference mode, and nothing of it is remembered for a gradient."""

    def __init__(self, trunk, trained, head):
        super().__init__()
        self.trunk, self.trained, self.head = nn.Sequential(*trunk), nn.Sequential(*trained), nn.Sequential(*head)
        self.trunk.requires_grad_(False)

    def train(self, mode=True):
        super().train(mode)
        self.trunk.eval()
        for module in self.trained.modules():  # a batch norm may lie in front of where training begins
            if isinstance(module, nn.BatchNorm2d) and not module.weight.requires_grad:
                module.eval()
        return self

    def forward(self, x):
        with torch.no_grad():
            x = self.trunk(x)
        return self.head(self.trained(x))


def build(name):
    trunk, trained, head = TRUNKS[name](), [], HEADS[name]()
    if name == "vgg16_fc_tl":
        trunk += [nn.Flatten(), nn.Linear(25088, 4096), relu(), nn.Linear(4096, 4096), relu()]
    if name == "vgg16_tl":  # block5_conv2, block5_conv3 and the pool
        trunk, trained = trunk[:-5], trunk[-5:]
    if name == "resnet50v2_tl":  # from conv4_block5_3_conv on
        trunk, trained = trunk[:-8], trunk[-8:]
        block = trained[0].second
        block.requires_grad_(False)
        block[-1].requires_grad_(True)
    module = FrozenThenTrained(trunk, trained, head)
    total = sum(p.numel() for p in module.parameters())
    total += sum(b.numel() for key, b in module.named_buffers() if "num_batches" not in key)
    trainable = sum(p.numel() for p in module.parameters() if p.requires_grad)
    if (total, trainable) != TOTALS[name]:
        raise AssertionError(f"{name} has {total} parameters, {trainable} trained; wanted {TOTALS[name]}")
    return module

"""The seven 48x48 networks, described once for any builder.

A builder offers conv, separable_conv, relu, batch_norm, pool, dropout, flatten, global_average_pool, dense, softmax,
here and add; each but `here` returns the builder. `networks_keras.py` builds Keras models, `networks_pytorch.py`
PyTorch modules. Kernels are k x k, stride 1, with bias; `l2` adds l2 * sum(w^2) of the kernel to the loss.
"""

L2 = 0.01
INPUT_SHAPE = (48, 48, 1)
CLASS_COUNT = 7


def _custom_stack(net, conv):
    """The convolutions of custom_cnn, with `conv` or `separable_conv`: 48x48x1 -> 5x5x512."""
    conv(32, 3).relu()
    conv(64, 3).relu()
    net.batch_norm().pool().dropout(0.25)
    conv(128, 3, l2=L2).relu()
    conv(256, 3, l2=L2, padding="valid").relu()
    net.batch_norm().pool().dropout(0.25)
    conv(512, 3, l2=L2).relu()
    conv(512, 3, l2=L2).relu()
    net.batch_norm().pool().dropout(0.25)


def _head(net, width):
    net.dense(width).relu().dropout(0.5).dense(CLASS_COUNT).softmax()


def custom_cnn(net):
    _custom_stack(net, net.conv)
    net.flatten()
    _head(net, 1024)


def simpler_cnn(net):
    net.conv(32, 3).relu().conv(64, 3).relu().batch_norm().pool().dropout(0.25)
    net.conv(128, 3, l2=L2).relu().batch_norm().pool().dropout(0.25)
    net.flatten()
    _head(net, 512)


def deeper_cnn(net):
    _custom_stack(net, net.conv)
    net.conv(512, 3, l2=L2).relu().conv(512, 3, l2=L2).relu().batch_norm().pool().dropout(0.25)
    net.flatten()
    _head(net, 2048)


def residual_cnn(net):
    def blocks(filters):
        for _ in range(2):
            skip = net.here()
            net.conv(filters, 3, l2=L2).relu().batch_norm().conv(filters, 3, l2=L2).batch_norm().add(skip).relu()

    net.conv(32, 3).relu()
    blocks(32)
    net.conv(64, 3).relu().batch_norm().pool().dropout(0.25)
    blocks(64)
    net.conv(128, 3, l2=L2).relu().batch_norm().pool().dropout(0.25)
    blocks(128)
    net.conv(256, 3, l2=L2).relu().batch_norm().pool().dropout(0.25)
    blocks(256)
    net.flatten()
    _head(net, 1024)


def separable_cnn(net):
    _custom_stack(net, net.separable_conv)
    net.flatten()
    _head(net, 1024)


def gap_cnn(net):
    _custom_stack(net, net.conv)
    net.global_average_pool()
    _head(net, 1024)


def new_model(net):
    for filters, k in ((64, 3), (128, 5), (512, 3), (512, 3)):
        net.conv(filters, k).batch_norm().relu().pool().dropout(0.25)
    net.flatten()
    for width in (256, 512):
        net.dense(width).batch_norm().relu().dropout(0.25)
    net.dense(CLASS_COUNT).softmax()


NETWORKS = {
    network.__name__: network
    for network in (custom_cnn, simpler_cnn, deeper_cnn, residual_cnn, separable_cnn, gap_cnn, new_model)
}

# total, trainable, non-trainable
PARAMETER_COUNTS = {
    "custom_cnn": (17_046_535, 17_044_871, 1_664),
    "simpler_cnn": (9_534_727, 9_534_343, 384),
    "deeper_cnn": (12_863_495, 12_860_807, 2_688),
    "residual_cnn": (12_978_055, 12_973_319, 4_736),
    "separable_cnn": (13_565_424, 13_563_760, 1_664),
    "gap_cnn": (4_463_623, 4_461_959, 1_664),
    "new_model": (4_478_727, 4_474_759, 3_968),
}

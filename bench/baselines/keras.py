#!/usr/bin/env python3
"""The networks in Keras 2.15 (TensorFlow), measured as fer-bench measures ours: the same steps, batches, the same rows.

    python3.11 -m venv keras && keras/bin/pip install tensorflow-cpu==2.15.1 h5py
    keras/bin/python bench/baselines/keras.py --models simpler_cnn --batch 64 --duration 3 --json keras.json

The models are those that tests/golden holds ours against, with dropout, built for whole-step tf.functions: gather from
uint8 images on the device, rescale, forward, loss with L2 terms, gradients, Adam (epsilon 1e-7). --mode compiled adds XLA.
On cuda bf16 is Keras's policy mixed_bfloat16. Augmentation is left out: Keras does it image by image on the host.
"""

import importlib.metadata
import json
import os
import sys
import time

import measuring

# This file has the name of the package it measures.
sys.path[:] = [folder for folder in sys.path if os.path.abspath(folder) != os.path.dirname(os.path.abspath(__file__))]
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# Those who compute goldens want neither; they set only what is not set.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "0")
BATCHES = 4


def model_of(name, keras):
    """Ends in logits."""
    sys.path.insert(0, str(measuring.GOLDEN))
    if name in measuring.TRANSFER:
        import golden_transfer
        return with_dropout(golden_transfer.network(name, None, (224, 224, 3)), name, keras)
    import networks
    import networks_keras

    class Builder(networks_keras.KerasBuilder):
        def dropout(self, rate):
            return self._apply(keras.layers.Dropout(rate))

        def softmax(self):
            return self  # the loss takes logits

    net = Builder()
    networks.NETWORKS[name](net)
    return keras.Model(net.input, net.output, name=name)


# Of which layer from the end which rate stands before it.
DROPOUTS = {"vgg16_tl": {-2: 0.5, -1: 0.5}, "resnet50v2_tl": {-5: 0.25, -1: 0.5}, "resnet50_tl": {-1: 0.5}}


def with_dropout(model, name, keras):
    """The golden networks have none, as masks are nobody's: put back where the networks have it."""
    rates = DROPOUTS.get(name, {})
    if not rates:
        return model
    first = min(rates)
    x = model.layers[first - 1].output
    for place in range(first, 0):
        x = keras.layers.Dropout(rates[place])(x) if place in rates else x
        x = model.layers[place](x)
    return keras.Model(model.input, x, name=name)


def measure(arguments):
    """One case in this process: prints its rows."""
    import tensorflow as tf
    from tensorflow import keras
    model, phase, batch = arguments.models[0], arguments.phase[0], arguments.batch[0]
    tf.config.threading.set_intra_op_parallelism_threads(arguments.threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    tf.random.set_seed(1)
    start = time.perf_counter()
    if arguments.precision == "bf16":
        keras.mixed_precision.set_global_policy("mixed_bfloat16")
    network = model_of(model, keras)
    size, channels = measuring.side(model)
    images = tf.cast(tf.random.uniform((BATCHES * batch, 48, 48, 1), 0, 256, tf.int32), tf.uint8)
    labels = tf.random.uniform((BATCHES * batch,), 0, measuring.CLASSES, tf.int32)
    optimizer = keras.optimizers.Adam(1e-4, epsilon=1e-7)
    optimizer.build(network.trainable_variables)
    cursor = tf.Variable(0, dtype=tf.int32)

    def gathered():
        index = tf.range(cursor, cursor + batch)
        cursor.assign((cursor + batch) % (BATCHES * batch))
        x = tf.cast(tf.gather(images, index), tf.float32) / 255
        if size != 48:
            x = tf.image.resize(x, (size, size))
        return tf.tile(x, (1, 1, 1, channels)) if channels > 1 else x, tf.gather(labels, index)

    def train():
        x, y = gathered()
        with tf.GradientTape() as tape:
            logits = tf.cast(network(x, training=True), tf.float32)
            loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(y, logits))
            loss += tf.add_n(network.losses) if network.losses else 0.0
        optimizer.apply_gradients(zip(tape.gradient(loss, network.trainable_variables), network.trainable_variables))
        return loss

    def infer():
        return tf.nn.softmax(tf.cast(network(gathered()[0], training=False), tf.float32))

    run = tf.function(train if phase == "train" else infer, jit_compile=arguments.measure == "compiled")
    last = [None]

    def step():
        last[0] = run()

    def wait():
        last[0].numpy()

    step()
    wait()
    cold = time.perf_counter() - start
    found = measuring.repetitions(step, wait, arguments)
    case = {"model": model, "phase": phase, "batch": batch, "precision": arguments.precision,
            "device_name": arguments.device, "device": arguments.device_description}
    peak = measuring.peak_resident_bytes()
    if arguments.device == "cuda":
        peak = tf.config.experimental.get_memory_info("GPU:0")["peak"]
    more = {"threads": arguments.threads, "peak_memory_bytes": peak, "mode": arguments.measure}
    framework = f"Keras {importlib.metadata.version('keras')}, {arguments.measure}"
    print(json.dumps(measuring.rows(found, cold, framework, case, more)))


def main():
    options = measuring.parser(__doc__.splitlines()[0])
    options.add_argument("--mode", choices=("graph", "compiled"), default="graph")
    arguments = options.parse_args()
    measuring.settle(options, arguments)
    if arguments.measure:
        return measure(arguments)
    all_rows = []
    for model in arguments.models:
        for phase in arguments.phase:
            for batch in arguments.batch:
                found = measuring.apart(__file__, arguments, model, phase, batch, arguments.mode, {})
                measuring.print_row(found)
                all_rows += found
    if arguments.json:
        import tensorflow as tf
        environment = {"tensorflow": tf.__version__, "python": sys.version.split()[0], "threads": arguments.threads}
        measuring.write(arguments.json, environment, all_rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())

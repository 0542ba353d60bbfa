"""Inputs both sides compute: Philox4x32-10 numbers and the tensors made of them (engine/core/random.hpp).

Counter = (element // 4, stream, step low, step high), key = (seed low, seed high); element takes word element % 4 of
the block; u = (word >> 8) * 2^-24. Every value is computed in float32, one rounding per operation (no fused
multiply-add: only gamma, with two roundings, could tell).
"""

import math

import numpy as np

SEED = 2026
IMAGE_STREAM = 1000
BATCH = 6
SAMPLES = 256
# Batch norm's 0.99: Keras computes 1 - 0.99 and rounds that to float32, in its float64 path too.
KERAS_MOMENTUM = 1 - float(np.float32(1 - 0.99))


def philox(counter, key):
    """Ten rounds on four uint64 arrays that hold 32-bit words."""
    c = [np.asarray(word, dtype=np.uint64) for word in counter]
    k0, k1 = key
    low32, shift = np.uint64(0xFFFFFFFF), np.uint64(32)
    for _ in range(10):
        a = np.uint64(0xD2511F53) * c[0]
        b = np.uint64(0xCD9E8D57) * c[2]
        c = [(b >> shift) ^ c[1] ^ np.uint64(k0), b & low32, (a >> shift) ^ c[3] ^ np.uint64(k1), a & low32]
        k0 = (k0 + 0x9E3779B9) & 0xFFFFFFFF
        k1 = (k1 + 0xBB67AE85) & 0xFFFFFFFF
    return c


def uniform(stream, count, seed=SEED, step=0):
    """Elements 0 .. count-1 of a stream, float32 in [0, 1)."""
    blocks = np.arange((count + 3) // 4, dtype=np.uint64)
    counter = (blocks, np.uint64(stream), np.uint64(step & 0xFFFFFFFF), np.uint64(step >> 32))
    words = philox(np.broadcast_arrays(*counter), (seed & 0xFFFFFFFF, seed >> 32))
    words = np.stack(words, axis=1).reshape(-1)[:count]
    return (words >> np.uint64(8)).astype(np.float32) * np.float32(2.0**-24)


def signed(stream, shape):
    """2u - 1: exact in float32."""
    return np.float32(2) * uniform(stream, math.prod(shape)).reshape(shape) - np.float32(1)


def small_integers(stream, shape):
    """floor(9u) - 4, integers of [-4, 4]: float32 holds every sum of their products, so outputs compare exactly."""
    return np.floor(np.float32(9) * uniform(stream, math.prod(shape))).reshape(shape) - np.float32(4)


def glorot_limit(shape):
    """Keras's rule for every kernel, depthwise (kh, kw, in, 1) included: fans are the last two extents by kh * kw."""
    receptive = math.prod(shape[:-2])
    return np.float32(math.sqrt(6.0 / (shape[-2] * receptive + shape[-1] * receptive)))


def tensor(kind, stream, shape):
    """The weight tensor of a network whose index in layer order is `stream`."""
    s = signed(stream, shape)
    match kind:
        case "kernel":
            return s * glorot_limit(shape)
        case "bias" | "beta" | "moving_mean":
            return np.float32(0.1) * s
        case "gamma":
            return np.float32(1) + np.float32(0.2) * s
        case "moving_variance":
            return np.float32(1) + np.float32(0.5) * uniform(stream, math.prod(shape)).reshape(shape)
    raise ValueError(f"unknown kind of tensor: {kind}")


def batch(image_shape, class_count):
    """Six images in [0, 1) and their one-hot labels 0, 3, 6, 2, 5, 1."""
    shape = (BATCH, *image_shape)
    images = uniform(IMAGE_STREAM, math.prod(shape)).reshape(shape)
    labels = np.eye(class_count, dtype=np.float32)[3 * np.arange(BATCH) % class_count]
    return images, labels


def sample(values):
    """The whole flattened tensor up to 256 elements, else elements floor(k * count / 256)."""
    flat = np.asarray(values).reshape(-1)
    if flat.size <= SAMPLES:
        return flat
    return flat[np.arange(SAMPLES, dtype=np.int64) * flat.size // SAMPLES]


def moved(gradient, norm=None, count=None):
    """Which elements Adam moves by more than noise: it divides a gradient by its own size, so an element whose gradient
    is rounding error (a bias in front of batch norm, a unit that is always on) takes a step of unknown sign."""
    norm = np.linalg.norm(gradient.reshape(-1)) if norm is None else norm
    count = gradient.size if count is None else count
    return np.abs(gradient) > 1e-4 * norm / math.sqrt(count)


def nmse(got, want):
    """Squared error over squared magnitude, in double."""
    got, want = np.asarray(got, dtype=np.float64), np.asarray(want, dtype=np.float64)
    error, size = np.sum((got - want) ** 2), np.sum(want**2)
    return float(error / size) if size > 0 else float(error)


def check_known_answers():
    """Vectors of the Random123 distribution (kat_vectors, philox4x32 10)."""
    for counter, key, want in (
        ((0, 0, 0, 0), (0, 0), "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
        ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, "408f276d 41c83b0e a20bc7c6 6d5451fd"),
        ((0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344), (0xA4093822, 0x299F31D0),
         "d16cfe09 94fdcceb 5001e420 24126ea1"),
    ):
        got = " ".join(f"{int(word):08x}" for word in philox(counter, key))
        if got != want:
            raise AssertionError(f"philox({counter}, {key}) is {got}, not {want}")

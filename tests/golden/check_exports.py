#!/usr/bin/env python3
"""Exported files in ONNX Runtime and Keras: `fer export` of one model must give the same outputs in both.

    onnx/bin/python tests/golden/check_exports.py onnx MODEL.onnx OUT.npz     # needs onnx, onnxruntime
    keras/bin/python tests/golden/check_exports.py keras MODEL.h5 OUT.npz     # compares with OUT.npz; Keras 2.15
    keras/bin/python tests/golden/check_exports.py keras MODEL.keras OUT.npz  # Keras 2.15 or Keras 3
"""

import sys

import numpy as np

TOLERANCE = 1e-5


def run_onnx(path, out):
    import onnx
    import onnxruntime

    onnx.checker.check_model(onnx.load(path), full_check=True)
    session = onnxruntime.InferenceSession(path)
    value = session.get_inputs()[0]
    images = np.random.default_rng(2026).random((5, *value.shape[1:]), np.float32)
    np.savez(out, images=images, outputs=session.run(None, {value.name: images})[0])


def run_keras(path, out):
    import keras

    stored = np.load(out)
    outputs = np.asarray(keras.models.load_model(path, compile=False)(stored["images"], training=False))
    difference = float(np.max(np.abs(outputs - stored["outputs"])))
    print(f"{path}: largest difference {difference:.3g}, Keras {keras.__version__}")
    if not difference <= TOLERANCE:
        sys.exit(7)


if __name__ == "__main__":
    {"onnx": run_onnx, "keras": run_keras}[sys.argv[1]](*sys.argv[2:4])

#!/usr/bin/env python3
"""Writes the golden files of this folder with Keras 2.15; README.md says what each one holds.

    python3.11 -m venv keras
    keras/bin/pip install tensorflow-cpu==2.15.1 scikit-learn==1.9.1 pillow scipy
    keras/bin/python tests/golden/make_goldens.py [networks ops training data] [--network custom_cnn]

Takes a minute on two cores and 4 GB of memory, most of it custom_cnn in float64.
"""

import argparse
import os
import pathlib

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")  # the plain kernels: the same sums on every processor

import keras
import tensorflow as tf

import formula
import golden_data
import golden_networks
import golden_ops
import golden_training
from networks import NETWORKS

PARTS = {"networks": golden_networks, "ops": golden_ops, "training": golden_training, "data": golden_data}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", choices=[[], *PARTS], metavar="part", help=f"{', '.join(PARTS)}; all")
    parser.add_argument("--network", action="append", choices=NETWORKS, help="only this one; may be repeated")
    parser.add_argument("--folder", type=pathlib.Path, default=pathlib.Path(__file__).parent)
    arguments = parser.parse_args()
    if not keras.__version__.startswith("2.15."):
        parser.error(f"Keras 2.15 is the reference, this is {keras.__version__}")
    tf.get_logger().setLevel("ERROR")
    formula.check_known_answers()
    for part in arguments.parts or PARTS:
        if part == "networks":
            golden_networks.generate(arguments.folder, arguments.network or NETWORKS)
        else:
            PARTS[part].generate(arguments.folder)


if __name__ == "__main__":
    main()

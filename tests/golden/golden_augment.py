"""Augmented images as Keras 2.15's ImageDataGenerator makes them from the engine's own random draws.

    golden_augment.py                             writes augment.safetensors, the few images that are committed
    golden_augment.py --images 10000 --out FILE   as many parameter sets; FER_AUGMENT_GOLDEN=FILE test_golden
                                                  --gtest_filter='Augment*' compares them all

Parameters are drawn here as the engine draws them: image i takes elements 16 i + 0 .. 8 of its stream, in the order
theta, tx, ty, shear, zx, zy, horizontal flip, vertical flip, brightness (engine/run/cpu/reference/image.cpp).
"""

import argparse
import pathlib

import numpy as np
from keras.preprocessing.image import ImageDataGenerator

import formula
import tensor_file

SEED, STEP, STREAM, IMAGE_STREAM = 2026, 3, 77, 4000
DRAWS = 16
CASES = [
    {"rotation": 40, "height_shift": 0.2, "width_shift": 0.2, "shear": 0.2, "zoom": 0.2, "horizontal_flip": True},
    {"rotation": 10, "height_shift": 0.1, "width_shift": 0.1, "zoom": 0.2, "horizontal_flip": True},
    {"rotation": 180, "shear": 60, "zoom": 0.5, "fill": "constant", "fill_value": 77.0},
    {"rotation": 90, "height_shift": 0.9, "width_shift": 0.6, "fill": "reflect", "vertical_flip": True},
    {"shear": 30, "zoom": 0.9, "fill": "reflect", "horizontal_flip": True, "vertical_flip": True},
    {"height_shift": 0.5, "zoom": 0.1, "fill": "constant"},
    {"brightness_low": 0.3, "brightness_high": 1.9, "horizontal_flip": True},
]


def draws(count):
    return formula.uniform(STREAM, count * DRAWS, seed=SEED, step=STEP).reshape(count, DRAWS)


def between(u, low, high):
    """In float32, one rounding per operation."""
    low, high = np.float32(low), np.float32(high)
    return float(np.float32(low + np.float32(np.float32(high - low) * u)))


def parameters(case, u, height, width):
    def symmetric(k, name):
        return between(u[k], -case.get(name, 0), case.get(name, 0))

    zoom = np.float32(case.get("zoom", 0))
    low, high = np.float32(1) - zoom, np.float32(1) + zoom
    p = {"theta": symmetric(0, "rotation"), "tx": symmetric(1, "height_shift") * height,
         "ty": symmetric(2, "width_shift") * width, "shear": symmetric(3, "shear"),
         "zx": between(u[4], low, high), "zy": between(u[5], low, high),
         "flip_horizontal": case.get("horizontal_flip", False) and u[6] < 0.5,
         "flip_vertical": case.get("vertical_flip", False) and u[7] < 0.5}
    if "brightness_low" in case:
        p["brightness"] = between(u[8], case["brightness_low"], case["brightness_high"])
    return p


def augment(case, images):
    generator = ImageDataGenerator(fill_mode=case.get("fill", "nearest"), cval=case.get("fill_value", 0.0))
    _, height, width, _ = images.shape
    return np.stack([generator.apply_transform(image, parameters(case, u, height, width))
                     for image, u in zip(images, draws(len(images)))])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=0)
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path(__file__).parent / "augment.safetensors")
    options = parser.parse_args()
    shapes = [(48, 48)] if options.images else [(16, 16), (11, 14)]
    count = -(-options.images // len(CASES)) if options.images else 3
    cases, tensors = [], {}
    for case in CASES:
        for height, width in shapes:
            shape = (count, height, width, 1)
            pixels = np.floor(formula.uniform(IMAGE_STREAM, int(np.prod(shape))) * np.float32(256)).reshape(shape)
            name = f"case{len(cases)}"
            tensors[name] = augment(case, pixels.astype(np.float32)).astype(np.float32)
            cases.append({"name": name, "attributes": case})
    tensor_file.write(options.out, tensors, {
        "cases": cases, "seed": SEED, "step": STEP, "stream": STREAM, "image_stream": IMAGE_STREAM})
    print(f"{options.out}: {len(cases)} cases of {count} images")


if __name__ == "__main__":
    main()

"""Goldens of the edges of training: which files a directory split takes, and what a classification report prints."""

import contextlib
import io
import pathlib
import tempfile
import warnings

import keras
import numpy as np
import sklearn
from keras.preprocessing.image import ImageDataGenerator
from sklearn.metrics import accuracy_score, classification_report

from text_file import encode, write

TREE = {
    "angry": [f"im{i}.png" for i in (*range(13), 100, 101)],  # im10 sorts before im2
    "Zebra": ["a.PNG", "B.png", "b.png", "A.Jpeg", "c.JPG"],  # capitals come before small letters
    "disgust class": [" leading space.png", "a b.png", "a-b.png", "a.b.png", "a_b.png", "ab.png", "aB.png"],
    "émotion": ["à.png", "z.png", "Z.png", "zé.jpg", "日本.bmp", "\U0001f600.png", "\uff5e.png"],
    "nested": ["z.png", "sub/1.png", "sub/10.png", "sub/2.png", "sub dir/0.png", "sub-dir/0.png", "sub/deep/x.png",
               "Sub/1.png", "a/b/c/d.tiff"],
    "mixed": ["01.png", "1.png", "02.jpg", "2.jpeg", "3.bmp", "4.ppm", "5.tif", "6.tiff", "7.gif", "8.webp", "9.txt",
              "10.png.txt", "11.gif.png", "README", "12.png~", ".hidden.png", "nodotpng"],
    "one": ["only.png"],
    "empty": [],
    "only_gif": ["a.gif", "b.GIF"],
    "ten": [f"{i}.png" for i in range(10)],
}
STRAY = ["stray.png", "labels.csv"]  # beside the class folders: never read


def directory_split(folder):
    with tempfile.TemporaryDirectory() as scratch:
        root = pathlib.Path(scratch)
        for name in STRAY:
            (root / name).touch()
        for category, files in TREE.items():
            (root / category).mkdir()
            for name in files:
                path = root / category / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.touch()
        cases = []
        for fraction in (0.0, 0.2, 0.25, 0.33, 0.5):
            for subset in ("training", "validation") if fraction else (None,):
                with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
                    warnings.simplefilter("ignore")  # the one about .tiff
                    flow = ImageDataGenerator(validation_split=fraction).flow_from_directory(
                        root, subset=subset, shuffle=False, class_mode="categorical")
                cases.append({"validation_split": fraction, "subset": subset, "filenames": flow.filenames,
                              "classes": flow.classes.tolist()})
        indices = flow.class_indices
    listing = sorted([*STRAY, *(f"{category}/{name}" for category, files in TREE.items() for name in files)])
    write(folder / "directory_split.json", {
        "keras": keras.__version__, "folders": sorted(TREE), "files": listing, "class_indices": indices,
        "cases": cases})
    print(f"directory split: {len(listing)} files, {len(cases)} cases")


EMOTIONS = ["angry", "disgust", "fear", "happy", "neutral", "sad", "surprise"]


def matrices():
    """(class names, confusion matrix): rows true, columns predicted."""
    random = np.random.default_rng(2026)
    for case in range(24):
        names = EMOTIONS if case % 3 else [f"c{i}" for i in range(int(random.integers(2, 12)))]
        scale = int(random.choice([2, 10, 100, 2000]))
        matrix = random.integers(0, scale, (len(names), len(names)))
        matrix += np.diag(random.integers(0, 3 * scale, len(names)))
        match case % 6:
            case 1:
                matrix[int(random.integers(len(names)))] = 0  # a class without true samples
            case 2:
                matrix[:, int(random.integers(len(names)))] = 0  # a class never predicted
            case 3:
                empty = int(random.integers(len(names)))
                matrix[empty], matrix[:, empty] = 0, 0
        if matrix.sum() == 0:
            matrix[0, 0] = 1
        yield names, matrix
    majority = np.zeros((7, 7), int)
    majority[:, 3] = [958, 111, 1024, 1774, 1233, 1247, 831]  # everything called happy: a collapsed network
    yield EMOTIONS, majority
    yield EMOTIONS, np.diag([958, 111, 1024, 1774, 1233, 1247, 831])
    yield EMOTIONS, np.roll(np.diag([5, 6, 7, 8, 9, 10, 11]), 1, axis=1)  # nothing right
    yield ["a", "a rather long class name"], np.array([[3, 1], [2, 4]])
    yield ["exactly12chr", "thirteen char"], np.array([[3, 1], [2, 4]])
    yield ["dégoût", "joie"], np.array([[30, 1], [2, 45]])  # widths count characters, not bytes
    yield ["x", "y", "z"], np.array([[1234567, 1, 2], [3, 2345678, 4], [5, 6, 1]])
    # Values that end in 5 at the third decimal: 1/8, 3/8, 5/8, 7/8 are exact and round to even.
    yield ["a", "b"], np.array([[1, 7], [0, 0]])
    yield ["a", "b"], np.array([[3, 5], [5, 3]])
    yield ["a", "b"], np.array([[5, 3], [3, 5]])


def report(names, matrix):
    true, predicted = np.nonzero(matrix)
    counts = matrix[true, predicted]
    arguments = {"y_true": true, "y_pred": predicted, "sample_weight": None, "labels": range(len(names)),
                 "target_names": names, "digits": 2}
    arguments["y_true"], arguments["y_pred"] = np.repeat(true, counts), np.repeat(predicted, counts)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # undefined precision or recall: printed as 0
        text = classification_report(**arguments)
        values = classification_report(**arguments, output_dict=True)
    values.pop("accuracy", None)
    return {"classes": names, "matrix": matrix.tolist(),
            "accuracy": accuracy_score(arguments["y_true"], arguments["y_pred"]),
            "values": encode(values), "text": text}


def classification_reports(folder):
    cases = [report(names, matrix) for names, matrix in matrices()]
    write(folder / "classification_report.json", {"sklearn": sklearn.__version__, "digits": 2, "cases": cases})
    print(f"classification report: {len(cases)} cases")


def generate(folder):
    directory_split(folder)
    classification_reports(folder)

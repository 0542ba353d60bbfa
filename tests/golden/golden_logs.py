"""What Keras 2.15's CSVLogger and TensorBoard callbacks write.

    golden_logs.py              writes logs.json: a training.log byte for byte, and event records of TensorFlow
    golden_logs.py RUN_FOLDER   reads the event files of `fer train --tensorboard` with the real TensorBoard and compares
                                every value with the run's results.csv
"""

import csv
import pathlib
import sys
import tempfile

import numpy as np
import tensorflow as tf
from keras import callbacks

from text_file import write

WALL_TIME = 1700000000.25
# Losses as float32 metrics give them, exact ends, and rates on both sides of where NumPy turns scientific.
ROWS = [
    {"loss": 1.94591009616852, "accuracy": 0.1, "val_loss": 2.5, "val_accuracy": 0.0, "lr": 1e-3},
    {"loss": 0.6085410118103027, "accuracy": 0.625, "val_loss": 1e-5, "val_accuracy": 1.0, "lr": 2e-4},
    {"loss": 9.313225746154785e-10, "accuracy": 0.3333333432674408, "val_loss": 0.0001, "val_accuracy": 0.5, "lr": 1e-4},
    {"loss": 123456.7890625, "accuracy": 0.25, "val_loss": 1e16, "val_accuracy": 0.75, "lr": 2e-5},
    {"loss": 100.0, "accuracy": 0.0, "val_loss": 12345678.0, "val_accuracy": 0.0, "lr": 1e-10},
    {"loss": float("nan"), "accuracy": 0.0, "val_loss": float("inf"), "val_accuracy": 0.0, "lr": 1.0},
]


def training_log(with_lr):
    path = pathlib.Path(tempfile.mkdtemp()) / "training.log"
    logger = callbacks.CSVLogger(str(path))
    logger.set_model(type("Model", (), {"stop_training": False})())
    logger.on_train_begin()
    for epoch, row in enumerate(ROWS):
        logs = {key: value for key, value in row.items() if key != "lr"}
        if with_lr:
            logs["lr"] = np.float32(row["lr"])  # as ReduceLROnPlateau puts it there
        logger.on_epoch_end(epoch, logs)
    logger.on_train_end()
    return path.read_bytes().decode()


def record(event):
    path = pathlib.Path(tempfile.mkdtemp()) / "record"
    with tf.io.TFRecordWriter(str(path)) as writer:
        writer.write(event.SerializeToString())
    return path.read_bytes().hex()


def written_by_tensorflow():
    """Scalars and an image as the summary writer of TensorFlow 2 makes them, at a fixed time."""
    folder = tempfile.mkdtemp()
    writer = tf.summary.create_file_writer(folder)
    png = tf.io.encode_png(np.arange(6, dtype=np.uint8).reshape(2, 3, 1)).numpy()
    with writer.as_default():
        tf.summary.scalar("epoch_loss", 0.5, step=0)
        tf.summary.scalar("epoch_learning_rate", 1e-4, step=300)
        tf.summary.image("augmented", np.arange(6, dtype=np.uint8).reshape(1, 2, 3, 1), step=0)
    writer.close()
    records = []
    for data in tf.data.TFRecordDataset([str(next(pathlib.Path(folder).iterdir()))]):
        event = tf.compat.v1.Event.FromString(data.numpy())
        event.wall_time = WALL_TIME
        event.ClearField("source_metadata")
        records.append(record(event))
    stored = tf.compat.v1.Event.FromString(data.numpy()).summary.value[0].tensor.string_val[2]
    return {"wall_time": WALL_TIME, "png": (stored or png).hex(), "records": records}


def compare_with_tensorboard(run):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    rows = list(csv.DictReader((run / "results.csv").open()))
    train, validation = (EventAccumulator(str(run / "tensorboard" / part), size_guidance={"tensors": 0}).Reload()
                         for part in ("train", "validation"))

    def scalars(part, tag):
        return [(event.step, float(tf.make_ndarray(event.tensor_proto))) for event in part.Tensors(tag)]

    tags = set(train.Tags()["tensors"])
    rate = "epoch_lr" if "epoch_lr" in tags else "epoch_learning_rate"
    for part, tag, column in ((train, "epoch_loss", "loss"), (train, "epoch_accuracy", "accuracy"),
                              (train, rate, "learning_rate"), (validation, "epoch_loss", "val_loss"),
                              (validation, "epoch_accuracy", "val_accuracy")):
        want = [(int(row["epoch"]) - 1, float(np.float32(row[column]))) for row in rows]
        assert scalars(part, tag) == want, f"{tag}: {scalars(part, tag)} is not {want}"
    for tag, column in (("evaluation_loss_vs_iterations", "val_loss"),
                        ("evaluation_accuracy_vs_iterations", "val_accuracy")):
        assert [value for _, value in scalars(validation, tag)] == [float(np.float32(row[column])) for row in rows]
    if "augmented" in tags:
        image = tf.io.decode_png(tf.make_ndarray(train.Tensors("augmented")[0].tensor_proto)[2])
        print(f"image of {image.shape[1]}x{image.shape[0]}")
    print(f"{len(rows)} epochs agree: {', '.join(sorted(tags))}")


def main():
    if len(sys.argv) > 1:
        compare_with_tensorboard(pathlib.Path(sys.argv[1]))
        return
    rows = [{key: repr(value) for key, value in row.items()} for row in ROWS]
    write(pathlib.Path(__file__).parent / "logs.json", {
        "rows": rows, "training_log": training_log(False), "training_log_lr": training_log(True),
        "events": written_by_tensorflow()})


if __name__ == "__main__":
    main()

"""JSON files, one case per line: readable in a diff, and every number reads back as the value it was."""

import json
import math

import numpy as np


def encode(value):
    """Arrays to lists, float32 to its shortest text, numbers that JSON lacks to "nan", "inf" and "-inf"."""
    if isinstance(value, dict):
        return {key: encode(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, np.ndarray)):
        return [encode(item) for item in value]
    if isinstance(value, np.generic):
        # The shortest decimal that reads back as the same float32, not the longer one of the same double.
        value = float(str(value)) if value.dtype == np.float32 else value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value


def write(path, document):
    def line(item):
        return json.dumps(item, ensure_ascii=False, allow_nan=False)

    fields = []
    for key, value in document.items():
        if key == "cases":
            fields.append('  "cases": [\n' + ",\n".join(f"    {line(case)}" for case in value) + "\n  ]")
        else:
            fields.append(f"  {line(key)}: {line(value)}")
    path.write_text("{\n" + ",\n".join(fields) + "\n}\n", encoding="utf-8")

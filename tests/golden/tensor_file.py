"""Reads and writes safetensors files: u64 header length, JSON header padded to 8 bytes with spaces, raw data."""

import json
import struct

import numpy as np

_DTYPES = {"F64": np.dtype("<f8"), "F32": np.dtype("<f4"), "I64": np.dtype("<i8"), "I32": np.dtype("<i4")}
_NAMES = {dtype: name for name, dtype in _DTYPES.items()}


def write(path, tensors, metadata):
    """`tensors`: name -> array, kept in order. `metadata`: values that are not text are stored as JSON text."""
    header = {"__metadata__": {k: v if isinstance(v, str) else json.dumps(v) for k, v in metadata.items()}}
    chunks, offset = [], 0
    # The widest elements first, so that every tensor starts on a multiple of its element size.
    for name, value in sorted(tensors.items(), key=lambda item: -np.asarray(item[1]).itemsize):
        value = np.asarray(value)
        data = value.astype(value.dtype.newbyteorder("<")).tobytes()
        header[name] = {"dtype": _NAMES[value.dtype], "shape": list(value.shape),
                        "data_offsets": [offset, offset + len(data)]}
        chunks.append(data)
        offset += len(data)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(chunks))


def read(path):
    """Returns (tensors, metadata); metadata values stay text."""
    data = path.read_bytes()
    (length,) = struct.unpack_from("<Q", data)
    header = json.loads(data[8 : 8 + length])
    metadata = header.pop("__metadata__", {})
    body = data[8 + length :]
    tensors = {
        name: np.frombuffer(body[slice(*entry["data_offsets"])], _DTYPES[entry["dtype"]]).reshape(entry["shape"])
        for name, entry in header.items()
    }
    return tensors, metadata

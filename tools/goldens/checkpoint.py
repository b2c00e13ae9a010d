"""Writes tests/goldens/checkpoint with real TensorFlow: python tools/goldens/checkpoint.py

Checkpoints of every dtype, strings, zero-size tensors, partitions, merged shards, thousands of names (checksums only), the
`checkpoint` state file, and what TensorFlow says of damaged files. The messages that our own reader must give stand in
broken.json, which this script completes with TensorFlow's.
"""

import base64
import hashlib
import json
import os
import shutil
import sys
import tempfile

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import ml_dtypes
import numpy as np
import tensorflow as tf
from tensorflow.python.checkpoint import checkpoint_management as management

OUT = os.path.join(os.path.dirname(__file__), "..", "..", "tests", "goldens", "checkpoint")
raw = tf.raw_ops


def encoded(array):
    """A tensor for the manifest: bytes in base64, strings one by one."""
    array = np.asarray(array)
    if array.dtype == object:
        return {"strings": [base64.b64encode(s).decode() for s in array.ravel().tolist()]}
    return {"base64": base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()}


def save(prefix, tensors):
    """tensors: (name, dtype, array) or (name, dtype, array, spec)"""
    names = [t[0] for t in tensors]
    specs = [t[3] if len(t) > 3 else "" for t in tensors]
    values = [tf.constant(t[2], dtype=tf.dtypes.as_dtype(t[1])) for t in tensors]
    raw.SaveV2(prefix=prefix, tensor_names=names, shape_and_slices=specs, tensors=values)
    return [
        {"name": t[0], "dtype": t[1], "shape": list(np.shape(t[2])), "slice": s, **encoded(t[2])}
        for t, s in zip(tensors, specs)
    ]


def every_dtype():
    plain = {
        "float32": np.float32, "float64": np.float64, "float16": np.float16, "bfloat16": ml_dtypes.bfloat16,
        "int8": np.int8, "int16": np.int16, "int32": np.int32, "int64": np.int64,
        "uint8": np.uint8, "uint16": np.uint16, "uint32": np.uint32, "uint64": np.uint64,
        "complex64": np.complex64, "complex128": np.complex128,
        "float8_e5m2": ml_dtypes.float8_e5m2, "float8_e4m3fn": ml_dtypes.float8_e4m3fn,
        "float8_e4m3fnuz": ml_dtypes.float8_e4m3fnuz, "float8_e5m2fnuz": ml_dtypes.float8_e5m2fnuz,
        "float8_e4m3b11fnuz": ml_dtypes.float8_e4m3b11fnuz,
        "int4": ml_dtypes.int4, "uint4": ml_dtypes.uint4,
    }
    out = []
    for name, kind in plain.items():
        values = np.array([0, 1, 2, 3, 5, 7]) if name.startswith("u") else np.array([-3, -1, 0, 1, 2, 5])
        if name.startswith("complex"):
            values = values + 1j * np.arange(6)
        out.append((f"dtype/{name}", name, values.reshape(2, 3).astype(kind)))
    out.append(("dtype/bool", "bool", np.array([[True, False, True]])))
    for name in ["qint8", "quint8", "qint16", "quint16", "qint32"]:
        base = np.dtype(name[1:])
        out.append((f"dtype/{name}", name, np.array([1, 2, 100], base).view(tf.dtypes.as_dtype(name).as_numpy_dtype)))
    return out


def texts():
    long = b"x" * 300
    grid = np.array([[b"", b"a"], [b"\xff\x00\xfe", "\u00e9\u4e2d".encode()]], object)
    return [
        ("strings/grid", "string", grid),
        ("strings/scalar", "string", np.array(long, object)),
        ("strings/none", "string", np.zeros([0, 2], object)),
    ]


def shapes():
    return [
        ("z/scalar", "float32", np.float32(3.5)),
        ("A", "int64", np.array(-7, np.int64)),
        ("a", "float32", np.arange(4, dtype=np.float32)),
        ("a/b", "float32", np.zeros([0], np.float32)),
        ("a_b", "float32", np.zeros([3, 0, 2], np.float32)),
        ("a.b", "int32", np.ones([1, 1, 1, 1, 1, 1], np.int32)),
        ("\u00e9/\u4e2d", "float64", np.array([np.nan, np.inf, -np.inf, -0.0])),
    ]


def parts():
    table = np.arange(40, dtype=np.float32).reshape(10, 4)
    grid = np.arange(24, dtype=np.int64).reshape(4, 6)
    long = (np.arange(20_100) % 100).astype(np.int8)
    words = np.array([b"one", b"two", b"three", b"four"], object)
    return [
        ("emb", "float32", table[0:4], "10 4 0,4:0,4"),
        ("w", "float32", np.float32(1)),
        ("emb", "float32", table[4:7], "10 4 4,3:0,4"),
        ("emb", "float32", table[7:10], "10 4 7,3:-"),
        ("grid", "int64", grid[:, 0:3], "4 6 -:0,3"),
        ("grid", "int64", grid[:, 3:6], "4 6 -:3,3"),
        ("long", "int8", long[:63], "20100 0,63"),
        ("long", "int8", long[63:8_300], "20100 63,8237"),
        ("long", "int8", long[8_300:], "20100 8300,11800"),
        ("whole", "float32", table, "10 4 0,10:-"),
        ("words", "string", words[:1], "4 0,1"),
        ("words", "string", words[1:], "4 1,3"),
    ]


def many():
    """Two data blocks and more; tests/formats build the same by this rule."""
    return [
        (f"scope_{i % 97}/block{i // 97}/w", "float32", np.arange(i % 4, dtype=np.float32) + i) for i in range(6000)
    ]


def shards():
    """Sharded saves that are then merged: parts of one tensor in two of them."""
    table = np.arange(12, dtype=np.float32).reshape(6, 2)
    first = [("b", "float32", np.float32(2)), ("emb", "float32", table[:3], "6 2 0,3:0,2")]
    second = [("a", "int32", np.int32(1)), ("emb", "float32", table[3:], "6 2 3,3:0,2"), ("z", "float32", np.ones(2, np.float32))]
    third = [("c", "string", np.array([b"c"], object)), ("own", "float32", table[:1], "2 2 0,1:-"), ("own", "float32", table[1:2], "2 2 1,1:-")]
    return [first, second, third]


def checksums(prefix):
    out = {}
    for suffix in [".index", ".data-00000-of-00001"]:
        with open(prefix + suffix, "rb") as f:
            data = f.read()
        out[suffix] = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    return out


def states(folder):
    """Text of state files, by the arguments that made them."""
    cases = [
        ("relative", "m-2", ["m-1", "m-2"], [1.5, 1700000000.123], 1600000000.0, False),
        ("absolute", "/data/run/m-1", None, None, None, False),
        ("mixed", "m-2", ["/data/m-1", "m-2"], None, None, False),
        ("odd", "m \"q\" '\\ \u00e9\t", None, [12.0], None, False),
    ]
    out = []
    for case, latest, paths, times, preserved, relative in cases:
        os.makedirs(f"sub-{case}", exist_ok=True)
        in_dir = lambda p: p if os.path.isabs(p) else os.path.join(f"sub-{case}", p)
        management.update_checkpoint_state_internal(
            f"sub-{case}", in_dir(latest), [in_dir(p) for p in paths] if paths else None,
            save_relative_paths=relative, all_model_checkpoint_timestamps=times, last_preserved_timestamp=preserved)
        with open(f"sub-{case}/checkpoint") as f:
            text = f.read()
        out.append({"case": case, "latest": latest, "paths": paths, "timestamps": times, "preserved": preserved, "text": text})
    return out


def said_of(broken, folder):
    """What TensorFlow says when it reads every tensor of each damaged checkpoint."""
    for case in broken:
        prefix = os.path.join(folder, "broken", "m")
        shutil.rmtree(os.path.dirname(prefix), ignore_errors=True)
        os.makedirs(os.path.dirname(prefix))
        for suffix in [".index", ".data-00000-of-00001"]:
            shutil.copy(os.path.join(OUT, case["of"] + suffix), prefix + suffix)
        path = prefix + case["file"]
        with open(path, "rb") as f:
            data = bytearray(f.read())
        if "truncate" in case:
            data = data[: case["truncate"]]
        if "flip" in case:
            data[case["flip"]] ^= 0xFF
        if "garbage" in case:
            data = bytearray(b"garbage " * case["garbage"])
        with open(path, "wb") as f:
            f.write(data)
        if case.get("remove"):
            os.remove(path)
        try:
            reader = tf.train.load_checkpoint(prefix)
            for name in sorted(reader.get_variable_to_shape_map()):
                reader.get_tensor(name)
            case["tensorflow"] = "no error"
        except Exception as e:  # noqa: BLE001 - whatever it says is the datum
            case["tensorflow"] = f"{type(e).__name__}: {e}".replace(prefix, "m").split("\n")[0]
    return broken


def main():
    os.makedirs(OUT, exist_ok=True)
    folder = tempfile.mkdtemp()
    manifest = {"by": f"tensorflow {tf.__version__}", "command": "python tools/goldens/checkpoint.py", "checkpoints": {}}
    for name, tensors in {"dtypes": every_dtype(), "strings": texts(), "shapes": shapes(), "parts": parts()}.items():
        prefix = os.path.join(OUT, name)
        manifest["checkpoints"][name] = {"tensors": save(prefix, tensors)}
    save(os.path.join(folder, "many"), many())
    manifest["many"] = checksums(os.path.join(folder, "many"))
    saved = [save(os.path.join(folder, f"part{i}"), tensors) for i, tensors in enumerate(shards())]
    raw.MergeV2Checkpoints(
        checkpoint_prefixes=[os.path.join(folder, f"part{i}") for i in range(3)], destination_prefix=os.path.join(OUT, "merged"))
    manifest["merged"] = saved
    os.chdir(folder)
    manifest["states"] = states(folder)
    with open(os.path.join(OUT, "broken.json")) as f:
        broken = json.load(f)
    with open(os.path.join(OUT, "broken.json"), "w") as f:
        json.dump(said_of(broken, folder), f, indent=1, ensure_ascii=False)
        f.write("\n")
    with open(os.path.join(OUT, "manifest.json"), "w") as f:
        json.dump(manifest, f, indent=1, ensure_ascii=False)
        f.write("\n")
    shutil.rmtree(folder)


if __name__ == "__main__":
    OUT = os.path.abspath(OUT)
    sys.exit(main())

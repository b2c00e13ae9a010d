"""Golden values of tf.compat.v1.initializers: nodes and numbers for fixed seeds.

    python tools/goldens/initializers.py

Writes tests/goldens/initializers/: cases.json, per initializer (options as src/variables/initializers.ts takes them) the nodes
that it makes after two other random ops under graph seed 42, with and without an op seed, and the SHA-256 and first values
of what it gives. Needs tensorflow 2.21.
"""

import hashlib
import json
import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")

import numpy as np
import tensorflow as tf

sys.path.insert(0, str(Path(__file__).parent))
from ops import encode_node
from ops_encode import encode_tensor

OUT = Path(__file__).resolve().parents[2] / "tests" / "goldens" / "initializers"
v1 = tf.compat.v1
I = v1.initializers

CASES = [
    ("zeros", {}, [3, 4], "float32"),
    ("zeros", {}, [30, 50], "float32"),
    ("zeros", {}, [], "int64"),
    ("ones", {}, [3], "float64"),
    ("ones", {}, [1000], "float32"),
    ("constant", {"value": 0.3}, [2, 3], "float32"),
    ("constant", {"value": 0.3}, [40, 30], "float32"),
    ("constant", {"value": [1.5, 2, 3]}, [2, 3], "float32"),
    ("constant", {"value": [1, 2, 3, 4, 5, 6]}, [2, 3], "int32"),
    ("random_uniform", {}, [7, 5], "float32"),
    ("random_uniform", {"minval": -1, "maxval": 1}, [7, 5], "float32"),
    ("random_uniform", {"minval": -0.05, "maxval": 0.05, "seed": 9}, [64, 33], "float32"),
    ("random_uniform", {"minval": 0, "maxval": 3}, [7, 5], "float64"),
    ("random_uniform", {"minval": 0, "maxval": 10}, [7, 5], "int32"),
    ("random_uniform", {"minval": -1, "maxval": 1}, [7, 5], "float16"),
    ("random_normal", {}, [7, 5], "float32"),
    ("random_normal", {"mean": 1.5, "stddev": 0.02, "seed": 1}, [101, 11], "float32"),
    ("random_normal", {"stddev": 0.02}, [7, 5], "bfloat16"),
    ("truncated_normal", {"stddev": 0.02}, [3, 3, 3, 16], "float32"),
    ("truncated_normal", {"mean": 2.0, "seed": -4}, [10], "float32"),
    ("uniform_unit_scaling", {"factor": 1.43}, [5, 7], "float32"),
    ("variance_scaling", {}, [5, 7], "float32"),
    ("variance_scaling", {"scale": 3.0, "mode": "fan_out", "distribution": "untruncated_normal"}, [3, 3, 5, 7], "float32"),
    ("variance_scaling", {"scale": 0.5, "mode": "fan_avg", "distribution": "uniform", "seed": 3}, [9], "float32"),
    ("glorot_uniform", {}, [3, 3, 16, 32], "float32"),
    ("glorot_uniform", {"seed": 77}, [784, 10], "float32"),
    ("glorot_uniform", {}, [], "float32"),
    ("glorot_normal", {}, [20, 30], "float32"),
    ("he_uniform", {}, [20, 30], "float32"),
    ("he_normal", {"seed": 5}, [3, 3, 8, 16], "float32"),
    ("lecun_uniform", {}, [20, 30], "float32"),
    ("lecun_normal", {}, [20, 30], "float32"),
    ("orthogonal", {"gain": 1.5}, [6, 4], "float32"),
    ("orthogonal", {}, [3, 5], "float64"),
    ("orthogonal", {"seed": 2}, [2, 2, 3, 4], "float32"),
    ("identity", {"gain": 2.0}, [3, 3], "float32"),
    ("identity", {}, [2, 4], "float32"),
]


def make(name, options, dtype):
    if name == "constant" and isinstance(options["value"], list):
        return I.constant(np.array(options["value"], dtype))
    return getattr(I, name)(**options)


def golden(name, options, shape, dtype):
    with v1.Graph().as_default() as graph:
        v1.set_random_seed(42)
        v1.random_uniform([2])
        v1.random_normal([2])
        before = len(graph.get_operations())
        value = make(name, options, dtype)(shape, dtype=tf.as_dtype(dtype))
        nodes = [encode_node(op) for op in graph.get_operations()[before:]]
        with v1.Session(graph=graph) as session:
            array = session.run(value)
    data = np.ascontiguousarray(array).tobytes()
    few = np.asarray(array).reshape(-1)[:24]
    return {
        "initializer": name,
        "options": options,
        "shape": shape,
        "dtype": dtype,
        "nodes": nodes,
        "sha256": hashlib.sha256(data).hexdigest(),
        "first": encode_tensor(few, tf.as_dtype(dtype))["values"],
    }


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    rows = ",\n".join(json.dumps(golden(*case), separators=(",", ":")) for case in CASES)
    (OUT / "cases.json").write_text(f"[\n{rows}\n]\n")
    manifest = {"by": f"tensorflow {tf.__version__}", "command": "python tools/goldens/initializers.py"}
    (OUT / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n")


if __name__ == "__main__":
    main()

"""Golden values of random ops: TensorFlow's numbers for fixed seeds, run after run.

    python tools/goldens/random_ops.py [folder for raw values]

Writes tests/goldens/random/ops.json: per case the op, its attributes and inputs, and for each run of one session the
SHA-256 of the output's little-endian bytes with its first 16 bytes in hex. Also seeds.json: what
tf.compat.v1.random.get_seed gives. Needs tensorflow 2.21.
"""

import hashlib
import inspect
import json
import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf

OUT = Path(__file__).resolve().parents[2] / "tests" / "goldens" / "random"
v1 = tf.compat.v1

FLOATS = ["float16", "bfloat16", "float32", "float64"]
BIG = (1 << 40) + 12345


def stateful():
    for op in ["RandomUniform", "RandomStandardNormal", "TruncatedNormal"]:
        for dtype in FLOATS:
            yield op, {"seed": 87654321, "seed2": 7, "dtype": dtype}, {"shape": ("int32", [37, 3])}, 3
        yield op, {"seed": 1, "seed2": 0, "dtype": "float32"}, {"shape": ("int64", [1])}, 2
        yield op, {"seed": -5, "seed2": -BIG, "dtype": "float32"}, {"shape": ("int32", [0])}, 2
        yield op, {"seed": BIG, "seed2": 3, "dtype": "float32"}, {"shape": ("int32", [])}, 2
        yield op, {"seed": 11, "seed2": 22, "dtype": "float32"}, {"shape": ("int32", [200001])}, 1
        yield op, {"seed": 11, "seed2": 23, "dtype": "float32"}, {"shape": ("int32", [500, 400])}, 1
    bounds = {
        "int32": [(0, 10), (-7, 9), (-(2**31), 2**31 - 1)],
        "int64": [(0, 10), (-7, 9), (-(2**63), 2**63 - 1), (5, 2**40)],
    }
    for dtype, pairs in bounds.items():
        for low, high in pairs:
            inputs = {"shape": ("int32", [1003]), "minval": (dtype, low), "maxval": (dtype, high)}
            yield "RandomUniformInt", {"seed": 3, "seed2": 4, "Tout": dtype}, inputs, 2
    for shape in [[0], [1], [2], [1000], [7, 3], [1, 4], [5, 0], [4, 2, 3]]:
        value = np.arange(int(np.prod(shape))).reshape(shape).tolist()
        yield "RandomShuffle", {"seed": 9, "seed2": 8, "T": "int32"}, {"value": ("int32", value, shape)}, 3


def stateless():
    for op in ["StatelessRandomUniform", "StatelessRandomNormal", "StatelessTruncatedNormal"]:
        for dtype in FLOATS:
            inputs = {"shape": ("int32", [41, 5]), "seed": ("int64", [2, BIG])}
            yield op, {"dtype": dtype}, inputs, 1
            inputs = {
                "shape": ("int64", [41, 5]),
                "key": ("uint64", [2**64 - 9]),
                "counter": ("uint64", [2**64 - 2, 77]),
                "alg": ("int32", 1),
            }
            yield op + "V2", {"dtype": dtype}, inputs, 1
        yield op, {"dtype": "float32"}, {"shape": ("int32", [3]), "seed": ("int32", [-1, 7])}, 1
    for dtype in ["int32", "int64"]:
        inputs = {"shape": ("int32", [101]), "seed": ("int64", [2, 3]), "minval": (dtype, -3), "maxval": (dtype, 90)}
        yield "StatelessRandomUniformInt", {"dtype": dtype}, inputs, 1
    key = {"key": ("uint64", [1 << 60]), "counter": ("uint64", [5, 6]), "alg": ("int32", 3)}
    for dtype in ["int32", "int64", "uint32", "uint64"]:
        yield "StatelessRandomUniformFullInt", {"dtype": dtype}, {"shape": ("int32", [33]), "seed": ("int64", [2, 3])}, 1
        yield "StatelessRandomUniformFullIntV2", {"dtype": dtype}, {"shape": ("int32", [33]), **key}, 1
        if dtype.startswith("int"):
            bounds = {"minval": (dtype, 3), "maxval": (dtype, 2000000011)}
            yield "StatelessRandomUniformIntV2", {"dtype": dtype}, {"shape": ("int32", [33]), **key, **bounds}, 1
    for seed in [("int64", [1, 2]), ("int32", [-1, 2147483647]), ("int64", [-BIG, BIG])]:
        yield "StatelessRandomGetKeyCounter", {}, {"seed": seed}, 1
        yield "StatelessRandomGetKeyCounterAlg", {}, {"seed": seed}, 1
    yield "StatelessRandomGetAlg", {}, {}, 1


def encode(x):
    if isinstance(x, list):
        return [encode(v) for v in x]
    return x if abs(x) < 2**53 else str(x)


def run_case(i, op, attrs, inputs, runs, raw):
    with v1.Graph().as_default() as graph:
        args = {k: tf.constant(np.array(v[1], dtype=v[0]).reshape(v[2] if len(v) > 2 else np.shape(v[1]))) for k, v in inputs.items()}
        function = getattr(tf.raw_ops, op)
        # attributes that follow from inputs are no arguments there
        known = inspect.signature(function).parameters
        given = {k: tf.as_dtype(v) if isinstance(v, str) else v for k, v in attrs.items() if k in known}
        outputs = function(**args, **given)
        outputs = list(outputs) if isinstance(outputs, (tuple, list)) else [outputs]
        results = []
        with v1.Session(graph=graph) as session:
            for _ in range(runs):
                values = session.run(outputs)
                data = [np.ascontiguousarray(v).tobytes() for v in values]
                if raw is not None:
                    (raw / f"{i}-{len(results)}").write_bytes(b"".join(data))
                results.append([[hashlib.sha256(d).hexdigest(), d[:16].hex(), list(np.shape(v))] for d, v in zip(data, values)])
    listed = {k: {"dtype": v[0], "values": encode(v[1]), **({"shape": v[2]} if len(v) > 2 else {})} for k, v in inputs.items()}
    return {"op": op, "attrs": {k: encode(v) if isinstance(v, int) else v for k, v in attrs.items()}, "inputs": listed, "runs": results}


def seeds():
    """[graph seed, op seed, ops in the graph] -> [seed, seed2]"""
    rows = []
    for graph_seed in [None, 0, 7, -3, 2**31 + 5]:
        for op_seed in [None, 0, 5, -8, 2**31 + 1]:
            for ops in [0, 3]:
                with v1.Graph().as_default():
                    if graph_seed is not None:
                        v1.set_random_seed(graph_seed)
                    for _ in range(ops):
                        tf.constant(1)
                    rows.append([graph_seed, op_seed, ops, list(v1.random.get_seed(op_seed))])
    return rows


def main():
    raw = Path(sys.argv[1]) if len(sys.argv) > 1 else None
    if raw is not None:
        raw.mkdir(parents=True, exist_ok=True)
    OUT.mkdir(parents=True, exist_ok=True)
    cases = [run_case(i, *case, raw) for i, case in enumerate([*stateful(), *stateless()])]
    text = ",\n".join(json.dumps(c, separators=(",", ":")) for c in cases)
    (OUT / "ops.json").write_text(f"[\n{text}\n]\n")
    rows = ",\n".join(json.dumps(r) for r in seeds())
    (OUT / "seeds.json").write_text(f"[\n{rows}\n]\n")
    manifest = {"by": f"tensorflow {tf.__version__}", "command": "python tools/goldens/random_ops.py"}
    (OUT / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n")


if __name__ == "__main__":
    main()

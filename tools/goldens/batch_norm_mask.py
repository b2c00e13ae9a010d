"""Batch normalization with a mask, which Keras 3 alone has: results and moving statistics of training steps, then of inference.

Writes tests/goldens/batch-norm-mask/. Usage: python tools/goldens/batch_norm_mask.py
"""

import gzip
import json
import os
import pathlib
import re

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")

import keras
import numpy as np
import tensorflow as tf

OUT = pathlib.Path(__file__).resolve().parents[2] / "tests" / "goldens" / "batch-norm-mask"
RNG = np.random.RandomState(5)
MASK = [[True, True, False, False], [True, True, True, False]]


def case(shape, mask, steps=2, padding=None, **options):
    """Two steps of training with other data each, then inference of the last; `padding` stands where the mask is false."""
    layer = keras.layers.BatchNormalization(**options)
    layer.build((None, *shape[1:]))
    channels = layer.gamma.shape[0]
    layer.gamma.assign(np.linspace(0.5, 1.5, channels))
    layer.beta.assign(np.linspace(-0.25, 0.5, channels))
    kept, done = np.array(mask), []
    for _ in range(steps):
        x = (RNG.randn(*shape) * 2 + 1).round(3).astype(np.float32)
        if padding is not None:
            x[~kept.astype(bool)] = padding
        y = layer(x, training=True, mask=tf.constant(mask)).numpy()
        moving = {k: getattr(layer, f"moving_{k}").numpy().tolist() for k in ("mean", "variance")}
        done.append({"x": x.tolist(), "y": y.tolist(), **moving})
    inferred = layer(x, training=False, mask=tf.constant(mask)).numpy()
    return {"options": options, "mask": mask, "steps": done, "inferred": inferred.tolist()}


def error(shape, mask):
    try:
        keras.layers.BatchNormalization()(np.zeros(shape, np.float32), training=True, mask=tf.zeros(mask))
    except ValueError as e:
        return re.search(r"The mask .*\)", str(e))[0]


if __name__ == "__main__":
    OUT.mkdir(exist_ok=True)
    cases = {
        "sequence": case([2, 4, 3], MASK),
        "huge padding": case([2, 4, 3], MASK, padding=1e30),
        "all masked": case([2, 4, 3], [[False] * 4] * 2, steps=1),
        "none masked": case([2, 4, 3], [[True] * 4] * 2, steps=1),
        "matrix": case([4, 2], [True, False, True, True], momentum=0.5),
        "images": case([2, 2, 2, 3], [[[True, False], [True, True]], [[False, False], [True, True]]], epsilon=1e-5),
        "numbers": case([2, 4, 3], [[1.0, 2.0, 0.0, 0.5], [0.0, 1.0, 1.0, -1.0]]),
        "axis 1": case([2, 3, 4], [[True, True, False], [True, False, True]], axis=1),
        "renorm": case([2, 4, 3], MASK, renorm=True, renorm_clipping={"rmax": 1.5, "rmin": 0.5, "dmax": 0.5}),
    }
    errors = {"rank": error([2, 4, 3], [2]), "same rank": error([2, 4, 3], [2, 4, 3])}
    text = json.dumps({"cases": cases, "errors": errors}, allow_nan=False)
    (OUT / "cases.json.gz").write_bytes(gzip.compress(text.encode(), mtime=0))
    manifest = {"keras": keras.__version__, "tensorflow": tf.__version__, "command": "python tools/goldens/batch_norm_mask.py", "files": ["cases.json.gz"]}
    (OUT / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n")

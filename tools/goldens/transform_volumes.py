"""Foldings of batch normalization beside convolutions of volumes, and what TensorFlow computes with the graphs.

    python tools/goldens/transform_volumes.py

Writes tests/goldens/transform/NAME.pb and volumes.json, in the form of transform.py. Needs tensorflow 2.21 with oneDNN, whose kernels take
channels first and dilations.
"""

import json

import numpy as np
import transform
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2
from transform import OUT, encode, fused, loose, make, out, tf, tf2, their_folding, variable

CASES = {}


def case(fn):
    CASES[fn.__name__] = fn
    return fn


def volumes(channels=2):
    return tf.placeholder(tf.float32, [None, 3, 4, 4, channels], name="x")


def conv3d(x, filters, padding="SAME", size=2, strides=1, **more):
    first = more.get("data_format") == "NCDHW"
    w = variable("conv/kernel", [size, size, size, x.shape[1 if first else -1], filters])
    ones = [1, 1, 1, strides, strides] if first else [1, 1, strides, strides, 1]
    return tf.nn.conv3d(x, w, ones, padding, name="conv/Conv3D", **more)


@case
def conv3d_bn():
    out(fused(conv3d(volumes(), 3, strides=2), 3, data_format="NDHWC"))


@case
def conv3d_bias_bn():
    y = tf.nn.bias_add(conv3d(volumes(), 3, "VALID"), variable("conv/bias", [3]))
    out(fused(y, 3, data_format="NDHWC"))


@case
def conv3d_small_ops():
    out(loose(conv3d(volumes(), 3, dilations=[1, 2, 2, 1, 1]), 3))


@case
def conv3d_channels_first():
    x = tf.placeholder(tf.float32, [None, 2, 3, 4, 4], name="x")
    out(fused(conv3d(x, 3, data_format="NCDHW"), 3, data_format="NCDHW"))


@case
def conv3d_transpose_bn():
    x = tf.placeholder(tf.float32, [2, 2, 3, 3, 2], name="x")
    w = variable("up/kernel", [2, 2, 2, 3, 2])
    y = tf.nn.conv3d_transpose(x, w, [2, 4, 6, 6, 3], strides=2, name="up")
    out(fused(y, 3, data_format="NDHWC"))


@case
def bn_conv3d_valid():
    out(conv3d(fused(volumes(), 2, data_format="NDHWC"), 3, "VALID"))


@case
def bn_conv3d_same():
    out(conv3d(fused(volumes(), 2, data_format="NDHWC"), 3))


@case
def bn_conv3d_1x1x1():
    out(conv3d(fused(volumes(), 2, data_format="NDHWC"), 3, size=1))


@case
def bn_conv3d_transpose():
    x = fused(tf.placeholder(tf.float32, [2, 2, 3, 3, 2], name="x"), 2, data_format="NDHWC")
    w = variable("up/kernel", [2, 2, 2, 3, 2])
    out(tf.nn.conv3d_transpose(x, w, [2, 4, 6, 6, 3], strides=2, name="up"))


def keras_volumes():
    """A model of Keras 3, frozen as TF 2 freezes."""
    tf2.keras.utils.set_random_seed(3)
    layers = tf2.keras.layers
    model = tf2.keras.Sequential([
        tf2.keras.Input((4, 6, 6, 2)), layers.Conv3D(3, 2, padding="same"), layers.BatchNormalization(), layers.ReLU(),
        layers.MaxPooling3D(2), layers.Conv3DTranspose(2, 2, strides=2), layers.BatchNormalization(scale=False),
        layers.AveragePooling3D(2, padding="same"), layers.GlobalAveragePooling3D(), layers.Dense(3)])
    for i, v in enumerate(model.variables):
        if "seed" not in v.path:
            v.assign(np.random.default_rng(i).uniform(0.2 if "variance" in v.path or "gamma" in v.path else -0.5, 1.0, v.shape))
    traced = tf2.function(lambda x: model(x, training=False))
    frozen = convert_variables_to_constants_v2(traced.get_concrete_function(tf2.TensorSpec([2, 4, 6, 6, 2], tf2.float32, name="x")))
    graph = frozen.graph.as_graph_def()
    x = np.random.default_rng(5).uniform(-1, 1, [2, 4, 6, 6, 2]).astype(np.float32)
    (OUT / "keras3_volumes.pb").write_bytes(graph.SerializeToString(deterministic=True))
    name = frozen.outputs[0].op.name
    return {"outputs": [name], "feeds": {"x:0": encode(x)}, "results": [encode(model(x, training=False).numpy())],
            "folded": their_folding("keras3_volumes", graph, [name])}


def main():
    keras = keras_volumes()
    transform.rng = np.random.default_rng(11)
    tf.disable_eager_execution()
    cases = {name: make(name, build) for name, build in CASES.items()}
    cases["keras3_volumes"] = keras
    manifest = {"by": f"tensorflow {tf2.__version__}", "command": "python tools/goldens/transform_volumes.py"}
    (OUT / "volumes.json").write_text(json.dumps({**manifest, "cases": cases}, separators=(",", ":")) + "\n")
    for name, entry in cases.items():
        print(name, entry["folded"])


if __name__ == "__main__":
    main()

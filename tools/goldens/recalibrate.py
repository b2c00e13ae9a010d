"""Graphs with batch normalization, and the statistics of their layers over data, computed in TensorFlow and numpy.

Writes tests/goldens/recalibrate/: a TF1 program with a training placeholder (net.meta, net.index, net.data-*) and a Keras 3 model as
model.keras and as a SavedModel (exported/), x.npy, expected.json with mean and variance of each layer's input over all rows:
"one" in batches of 8 under batch statistics, "per-layer" under the new statistics of the layers before.

Usage: python tools/goldens/recalibrate.py
"""

import json
import os
import pathlib
import shutil

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")

import keras
import numpy as np
import tensorflow as tf2

tf = tf2.compat.v1
OUT = pathlib.Path(__file__).resolve().parents[2] / "tests" / "goldens" / "recalibrate"
BATCH, ROWS = 8, 20


def data():
    rng = np.random.RandomState(3)
    return (rng.randn(ROWS, 4, 4, 2) * [1.0, 3.0] + [0.5, -2.0]).astype(np.float32)


def summed(inputs, bessel):
    flat = np.concatenate([x.astype(np.float64).reshape(-1, x.shape[-1]) for x in inputs])
    return {"mean": flat.mean(0).tolist(), "variance": flat.var(0, ddof=1 if bessel else 0).tolist()}


def variable(name, shape, rng, center=0.0, trainable=True):
    return tf.get_variable(name, initializer=(rng.randn(*shape) * 0.4 + center).astype(np.float32), trainable=trainable)


def net():
    """conv - fused norm - relu - conv - fused norm - relu - mean - dense - small-op norm, with a training placeholder."""
    rng = np.random.RandomState(5)
    x = tf.placeholder(tf.float32, [None, 4, 4, 2], name="x")
    training = tf.placeholder(tf.bool, [], name="training")
    inputs = {}

    def norm(y, scope, fused):
        inputs[scope] = y
        with tf.variable_scope(scope):
            n = int(y.shape[-1])
            gamma, beta = variable("gamma", [n], rng, 1.0), variable("beta", [n], rng)
            mean = tf.get_variable("moving_mean", [n], initializer=tf.zeros_initializer(), trainable=False)
            var = tf.get_variable("moving_variance", [n], initializer=tf.ones_initializer(), trainable=False)
            if fused:
                return tf.cond(
                    training,
                    lambda: tf.nn.fused_batch_norm(y, gamma, beta)[0],
                    lambda: tf.nn.fused_batch_norm(y, gamma, beta, mean, var, is_training=False)[0],
                )
            batch_mean, batch_var = tf.nn.moments(y, [0])
            m = tf.cond(training, lambda: batch_mean, lambda: tf.identity(mean))
            v = tf.cond(training, lambda: batch_var, lambda: tf.identity(var))
            for moved, value in ((mean, m), (var, v)):
                tf.add_to_collection(tf.GraphKeys.UPDATE_OPS, tf.assign_sub(moved, (moved - value) * 0.01))
            return tf.nn.batch_normalization(y, m, v, beta, gamma, 1e-3)

    y = tf.nn.relu(norm(tf.nn.conv2d(x, variable("k1", [3, 3, 2, 4], rng), 1, "SAME"), "a", True))
    y = tf.nn.relu(norm(tf.nn.conv2d(y, variable("k2", [2, 2, 4, 3], rng), 1, "VALID"), "b", True))
    y = norm(tf.matmul(tf.reduce_mean(y, [1, 2]), variable("k3", [3, 5], rng)), "c", False)
    tf.identity(y, name="out")
    return x, training, inputs


def tf1(values):
    tf.disable_control_flow_v2()
    graph, expected = tf.Graph(), {}
    with graph.as_default(), tf.Session(graph=graph) as session:
        tf.disable_resource_variables()
        x, training, inputs = net()
        saver = tf.train.Saver()
        session.run(tf.global_variables_initializer())
        saver.save(session, str(OUT / "net"), write_state=False)
        batches = [values[i : i + BATCH] for i in range(0, ROWS, BATCH)]
        seen = {name: [session.run(y, {x: b, training: True}) for b in batches] for name, y in inputs.items()}
        expected["one"] = {name: summed(parts, name != "c") for name, parts in seen.items()}
        expected["per-layer"] = {}
        for name, y in inputs.items():
            found = summed([session.run(y, {x: values, training: False})], name != "c")
            expected["per-layer"][name] = found
            by_name = {v.op.name: v for v in tf.global_variables()}
            by_name[f"{name}/moving_mean"].load(found["mean"], session)
            by_name[f"{name}/moving_variance"].load(found["variance"], session)
        expected["out"] = session.run("out:0", {x: values, training: False}).tolist()
    return expected


def keras3(values):
    keras.utils.set_random_seed(11)
    model = keras.Sequential(
        [
            keras.Input([4, 4, 2], name="x"),
            keras.layers.Conv2D(4, 3, padding="same", name="conv"),
            keras.layers.BatchNormalization(name="first"),
            keras.layers.ReLU(),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(3, name="dense"),
            keras.layers.BatchNormalization(name="second", gamma_initializer="uniform"),
        ]
    )
    model.save(OUT / "model.keras")
    model.export(str(OUT / "exported"), verbose=False)
    expected = {}
    for name, before in (("first", "conv"), ("second", "dense")):
        part = keras.Model(model.inputs, model.get_layer(before).output)
        found = summed([part(values, training=False).numpy()], False)
        layer = model.get_layer(name)
        layer.moving_mean.assign(found["mean"])
        layer.moving_variance.assign(found["variance"])
        expected[name] = found
    return {"per-layer": expected, "out": model(values, training=False).numpy().tolist()}


def main():
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir(parents=True)
    values = data()
    np.save(OUT / "x.npy", values)
    expected = {"keras": keras3(values), "net": tf1(values)}
    (OUT / "expected.json").write_text(json.dumps(expected) + "\n")
    manifest = {
        "tensorflow": tf2.__version__,
        "keras": keras.__version__,
        "command": "python tools/goldens/recalibrate.py",
        "files": sorted(str(p.relative_to(OUT)) for p in OUT.rglob("*") if p.is_file()),
    }
    (OUT / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n")


if __name__ == "__main__":
    main()

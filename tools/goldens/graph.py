"""Graphs that TensorFlow Python builds: programs with gradients and conditionals, and files for the GraphDef and MetaGraph codecs.

Writes tests/goldens/graph/: NAME.pb (binary GraphDef, deterministic), NAME.pbtxt, NAME.meta, manifest.json.
The TypeScript twins of the programs stand in tests/conformance/graph-programs.ts; both must give the same NodeDefs.

Usage: python tools/goldens/graph.py
"""

import json
import os
import pathlib

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")

import numpy as np
import tensorflow.compat.v1 as tf

tf.disable_v2_behavior()

OUT = pathlib.Path(__file__).resolve().parents[2] / "tests" / "goldens" / "graph"
PROGRAMS = {}


def program(fn):
    PROGRAMS[fn.__name__] = fn
    return fn


def holder(name, shape, dtype=tf.float32):
    return tf.placeholder(dtype, shape, name=name)


@program
def mlp():
    x, w1, b1, w2 = holder("x", [None, 4]), holder("w1", [4, 8]), holder("b1", [8]), holder("w2", [8, 3])
    labels = holder("labels", [None], tf.int32)
    h = tf.nn.relu(tf.nn.bias_add(tf.matmul(x, w1), b1))
    logits = tf.matmul(h, w2)
    loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits))
    tf.gradients(loss, [w1, b1, w2])


@program
def polynomial():
    x = holder("x", [2, 3])
    y = x * x + tf.exp(x) - 3.0 * x
    tf.gradients(y, x)


@program
def unknown_shape():
    x, y = holder("x", None), holder("y", None)
    tf.gradients(tf.tanh(x * y), [x, y])


@program
def conv_bn_relu():
    x, w = holder("x", [8, 8, 8, 3]), holder("w", [3, 3, 3, 4])
    gamma, beta, mean, variance = (holder(n, [n_]) for n, n_ in (("gamma", 4), ("beta", 4), ("mean", 0), ("variance", 0)))
    y = tf.nn.conv2d(x, w, strides=[1, 1, 1, 1], padding="SAME")
    bn, _, _ = tf.nn.fused_batch_norm(y, gamma, beta, epsilon=1e-3, is_training=True)
    loss = tf.reduce_mean(tf.nn.relu(bn))
    tf.gradients(loss, [w, gamma, beta])


@program
def shared_weights():
    x, w = holder("x", [2, 2]), holder("w", [2, 2])
    h = x
    for _ in range(3):
        h = tf.sigmoid(tf.matmul(h, w))
    tf.gradients(h, [w, x])


@program
def embedding():
    table, ids = holder("table", [10, 4]), holder("ids", [None], tf.int32)
    tf.gradients(tf.reduce_sum(tf.gather(table, ids)), [table])


@program
def two_embeddings():
    table, a, b = holder("table", [10, 4]), holder("a", [None], tf.int32), holder("b", [3], tf.int64)
    loss = tf.reduce_sum(tf.gather(table, a)) + tf.reduce_sum(tf.gather(table, b))
    tf.gradients(loss, [table])


@program
def embedding_and_dense():
    table, a = holder("table", [10, 4]), holder("a", [None], tf.int32)
    loss = tf.reduce_sum(tf.gather(table, a)) + tf.reduce_sum(tf.square(table))
    tf.gradients(loss, [table])


@program
def stopped():
    x = holder("x", [3])
    y = tf.square(x)
    z = y * tf.stop_gradient(y) + y
    tf.gradients(z, [x, y], stop_gradients=[y])


@program
def weighted():
    x, dy = holder("x", [3]), holder("dy", [3])
    tf.gradients([tf.square(x), tf.exp(x)], [x], grad_ys=[dy, None])


@program
def second_order():
    x = holder("x", [])
    y = x * x * x
    (dx,) = tf.gradients(y, x)
    tf.gradients(dx, x)


@program
def unconnected():
    x, z = holder("x", [2]), holder("z", [None, 3])
    tf.gradients(tf.square(x), [x, z], unconnected_gradients="zero")


@program
def unused_output():
    x = holder("x", [4, 2])
    a, b = tf.split(x, 2, axis=0)
    tf.gradients(tf.square(b), x)


@program
def gated():
    x, w = holder("x", [2, 3]), holder("w", [3, 2])
    y = tf.matmul(x, w)
    tf.gradients(tf.tanh(y), [x, w], gate_gradients=True)


@program
def colocated():
    x, w = holder("x", [2, 3]), holder("w", [3, 2])
    y = tf.tanh(tf.matmul(x, w))
    tf.gradients(y + tf.square(y), [x, w], colocate_gradients_with_ops=True)


@program
def scoped():
    x = holder("x", [2])
    with tf.name_scope("model"):
        y = tf.square(x)
        tf.gradients(y, x)
        tf.gradients(y, x, name="again")


@program
def simple_cond():
    p, x, y = holder("p", [], tf.bool), holder("x", [2]), holder("y", [2])
    tf.cond(p, lambda: x + y, lambda: x * 2.0)


@program
def cond_constants():
    p = holder("p", [], tf.bool)
    x = holder("x", [2])
    tf.cond(p, lambda: [tf.constant(1.0), x], lambda: [tf.constant(2.0), tf.square(x)], name="pick")


@program
def cond_nested():
    p, q, x = holder("p", [], tf.bool), holder("q", [], tf.bool), holder("x", [2])
    tf.cond(p, lambda: tf.cond(q, lambda: x + 1.0, lambda: x), lambda: tf.square(x))


@program
def cond_gradient():
    p, x, y = holder("p", [], tf.bool), holder("x", [2]), holder("y", [2])
    z = tf.cond(p, lambda: tf.square(x) + y, lambda: tf.exp(y))
    tf.gradients(z, [x, y])


@program
def cond_gradient_unknown():
    p, x, y = holder("p", [], tf.bool), holder("x", None), holder("y", [None, 2])
    z = tf.cond(p, lambda: tf.square(x), lambda: x * y)
    tf.gradients(z, [x, y])


@program
def cond_gradient_colocated():
    p, x, y = holder("p", [], tf.bool), holder("x", [2]), holder("y", [2])
    z = tf.cond(p, lambda: tf.square(x), lambda: x * y)
    tf.gradients(z, [x, y], colocate_gradients_with_ops=True)


@program
def batch_norm_cond():
    """What tf.layers.batch_normalization builds for a placeholder `training`, without its variables."""
    x, w, training = holder("x", [None, 8, 8, 3]), holder("w", [3, 3, 3, 4]), holder("training", [], tf.bool)
    gamma, beta, mean, variance = (holder(n, [4]) for n in ("gamma", "beta", "mean", "variance"))
    y = tf.nn.conv2d(x, w, strides=[1, 1, 1, 1], padding="SAME")

    def train():
        return tf.nn.fused_batch_norm(y, gamma, beta, epsilon=1e-3, is_training=True)

    def infer():
        return tf.nn.fused_batch_norm(y, gamma, beta, mean=mean, variance=variance, epsilon=1e-3, is_training=False)

    out, _, _ = tf.cond(training, train, infer)
    tf.gradients(tf.reduce_mean(tf.nn.relu(out)), [w, gamma, beta])


def encode(message):
    return message.SerializeToString(deterministic=True)


def build(fn):
    graph = tf.Graph()
    with graph.as_default():
        fn()
    return graph


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    files = []

    def write(name, data, what):
        (OUT / name).write_bytes(data)
        files.append({"file": name, "what": what})

    for name, fn in PROGRAMS.items():
        graph = build(fn)
        write(f"{name}.pb", encode(graph.as_graph_def()), "program")
        contexts = graph.get_collection("cond_context")
        if contexts:
            write(f"{name}.contexts.json", json.dumps([encode(c.to_proto()).hex() for c in contexts]).encode(), "CondContextDef")

    manifest = {"tensorflow": tf.__version__, "command": "python tools/goldens/graph.py", "files": files}
    (OUT / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n")


if __name__ == "__main__":
    main()

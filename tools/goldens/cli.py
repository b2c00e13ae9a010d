"""MetaGraphs of TF1 style, their inputs, and TensorFlow's losses: what `varscope run` must train alike.

python tools/goldens/cli.py    (TensorFlow 2.21; writes tests/goldens/cli/)

Two networks of one kind (convolution, fused batch norm with update ops, pooling, dense, Adam with a decaying rate):
`ref` has ref variables and an `init` op; `resource` has resource variables and no init op, so that a reader has to find the
initializers in the collections; beside it lies a checkpoint after the 50 steps.
"""

import json
import pathlib

import numpy as np
import tensorflow as tf

OUT = pathlib.Path(__file__).resolve().parents[2] / "tests" / "goldens" / "cli"
STEPS = 50
v1 = tf.compat.v1


def batch_norm(x, training):
    channels = x.shape[-1]
    with v1.variable_scope("bn"):
        gamma = v1.get_variable("gamma", [channels], initializer=v1.ones_initializer())
        beta = v1.get_variable("beta", [channels], initializer=v1.zeros_initializer())
        mean = v1.get_variable("moving_mean", [channels], initializer=v1.zeros_initializer(), trainable=False)
        variance = v1.get_variable("moving_variance", [channels], initializer=v1.ones_initializer(), trainable=False)

        def train():
            return v1.nn.fused_batch_norm(x, gamma, beta, epsilon=1e-3, is_training=True)

        def infer():
            return v1.nn.fused_batch_norm(x, gamma, beta, mean, variance, epsilon=1e-3, is_training=False)

        y, batch_mean, batch_variance = v1.cond(training, train, infer)
        momentum = tf.where(training, 0.9, 1.0)
        for moving, value in ((mean, batch_mean), (variance, batch_variance)):
            update = v1.assign_sub(moving, (moving - value) * (1.0 - momentum))
            v1.add_to_collection(v1.GraphKeys.UPDATE_OPS, update)
    return y


def network(use_resource):
    v1.set_random_seed(7)
    with v1.variable_scope("", use_resource=use_resource):
        x = v1.placeholder(tf.float32, [None, 8, 8, 1], name="x")
        labels = v1.placeholder(tf.int64, [None], name="labels")
        training = v1.placeholder_with_default(False, [], name="training")
        glorot = v1.glorot_uniform_initializer()
        with v1.variable_scope("conv1"):
            kernel = v1.get_variable("kernel", [3, 3, 1, 8], initializer=glorot)
            h = tf.nn.conv2d(x, kernel, strides=[1, 1, 1, 1], padding="SAME")
            h = tf.nn.relu(batch_norm(h, training))
            h = tf.nn.max_pool2d(h, 2, 2, "SAME")
        with v1.variable_scope("dense"):
            h = tf.reshape(h, [-1, 4 * 4 * 8])
            kernel = v1.get_variable("kernel", [4 * 4 * 8, 10], initializer=v1.truncated_normal_initializer(stddev=0.1))
            bias = v1.get_variable("bias", [10], initializer=v1.zeros_initializer())
            logits = tf.nn.bias_add(tf.matmul(h, kernel), bias, name="logits")
        tf.nn.softmax(logits, name="probabilities")
        loss = tf.reduce_mean(
            tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits), name="loss"
        )
        step = v1.train.get_or_create_global_step()
        rate = v1.train.exponential_decay(0.01, step, 10, 0.9)
        minimize = v1.train.AdamOptimizer(rate).minimize(loss, global_step=step)
        tf.group(minimize, *v1.get_collection(v1.GraphKeys.UPDATE_OPS), name="train_op")


def make(name, use_resource):
    with tf.Graph().as_default() as graph:
        network(use_resource)
        saver = v1.train.Saver()
        initializers = [v.initializer for v in v1.global_variables()]
        if not use_resource:
            v1.global_variables_initializer()
        saver.export_meta_graph(str(OUT / f"{name}.meta"))
        feeds = {"x:0": np.load(OUT / "x.npy"), "labels:0": np.load(OUT / "labels.npy")}
        losses = []
        with v1.Session(graph=graph) as session:
            session.run(initializers)
            first = session.run("conv1/kernel/read:0" if not use_resource else "conv1/kernel/Read/ReadVariableOp:0")
            for _ in range(STEPS):
                losses.append(session.run(["loss:0", "train_op"], {**feeds, "training:0": True})[0])
            inference = session.run("loss:0", feeds)
            if use_resource:
                saver.save(session, str(OUT / f"{name}-{STEPS}"), write_meta_graph=False, write_state=False)
        return {"kernel": first.ravel().tolist(), "losses": [float(x) for x in losses], "inference": float(inference)}


def main():
    v1.disable_v2_behavior()
    OUT.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(0)
    np.save(OUT / "x.npy", random.uniform(0, 1, [16, 8, 8, 1]).astype(np.float32))
    np.save(OUT / "labels.npy", random.integers(0, 10, [16]))
    values = {name: make(name, name == "resource") for name in ("ref", "resource")}
    (OUT / "values.json").write_text(json.dumps(values, indent=1) + "\n")
    manifest = {
        "tensorflow": tf.__version__,
        "command": "python tools/goldens/cli.py",
        "files": sorted(p.name for p in OUT.iterdir() if p.name != "manifest.json"),
    }
    (OUT / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n")


if __name__ == "__main__":
    main()

"""Writes tests/goldens/healthy with real TensorFlow and Keras: PYTHONPATH=FOLDER python tools/goldens/healthy.py

Small nets of many makers, each trained until its statistics have settled, or not trained at all; the doctor must find nothing
wrong with them. FOLDER holds the sources of tf_keras (Keras 2) and tf_slim. PyTorch's names are written from a trained Keras net.
"""

import glob
import json
import os
import shutil
import sys

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["CUDA_VISIBLE_DEVICES"] = ""
import numpy as np
import tensorflow as tf

import keras
import tf_keras
from tf_keras.legacy_tf_layers import base, convolutional, core, normalization, pooling
from safetensors.numpy import save_file

v1 = tf.compat.v1
# TensorFlow 2.21 has its old layers in tf_keras alone.
layers = {k: v for m in (base, convolutional, core, normalization, pooling) for k, v in vars(m).items() if not k.startswith("_")}
v1.layers = type("layers", (), {k: staticmethod(v) if callable(v) and not isinstance(v, type) else v for k, v in layers.items()})
sys.modules["tensorflow.compat.v1"].layers = v1.layers
import tf_slim as slim

OUT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "tests", "goldens", "healthy")
STEPS = 500
LABELS = np.array([[0.5, -1.0], [1.5, 0.3], [-0.7, 0.8]], np.float32)


def batch(rng, n=16):
    """Images whose brightness tells the class."""
    label = rng.integers(0, 3, n)
    x = rng.normal(0.3, 0.6, (n, 6, 6, 3)).astype(np.float32)
    x += LABELS[label, 0][:, None, None, None] + LABELS[label, 1][:, None, None, None] * np.linspace(-1, 1, 6).astype(np.float32)[None, :, None, None]
    return x, label.astype(np.int64)


def loss_of(logits, labels):
    return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits))


def tf1_net(x, training, momentum):
    """tf.layers: convolution, normalization, dense, normalization of rank 2, dense."""
    h = v1.layers.conv2d(x, 4, 3, name="conv1", use_bias=False)
    h = tf.nn.relu(v1.layers.batch_normalization(h, training=training, momentum=momentum, name="bn1"))
    h = v1.layers.dense(tf.reshape(h, [-1, 64]), 8, name="fc1")
    h = tf.nn.relu(v1.layers.batch_normalization(h, training=training, momentum=momentum, name="bn2"))
    return v1.layers.dense(h, 3, name="logits")


def train_tf1(path, net, optimizer, resource, steps=STEPS, ema=False, momentum=0.98):
    with tf.Graph().as_default() as graph:
        v1.set_random_seed(7)
        v1.disable_resource_variables() if not resource else v1.enable_resource_variables()
        x = v1.placeholder(tf.float32, [None, 6, 6, 3], "x")
        labels = v1.placeholder(tf.int64, [None], "labels")
        logits = net(x, True, momentum)
        tf.identity(logits, "scores")
        loss = loss_of(logits, labels)
        step = v1.train.get_or_create_global_step()
        with tf.control_dependencies(v1.get_collection("update_ops")):
            train = optimizer.minimize(loss, step)
        if ema:
            average = v1.train.ExponentialMovingAverage(0.95)
            with tf.control_dependencies([train]):
                train = average.apply(v1.trainable_variables())
        train = tf.group(train, name="train_op")
        saver = v1.train.Saver()
        with v1.Session() as sess:
            sess.run(v1.global_variables_initializer())
            rng = np.random.default_rng(1)
            for _ in range(steps):
                bx, by = batch(rng)
                sess.run(train, {x: bx, labels: by})
            saver.save(sess, path, write_state=False)
            values = dict(zip([v.op.name for v in v1.global_variables()], sess.run(v1.global_variables())))
    return values


def slim_net(x, training, momentum):
    norm = {"is_training": training, "decay": momentum, "scale": False}
    with slim.arg_scope([slim.conv2d, slim.fully_connected], normalizer_fn=slim.batch_norm, normalizer_params=norm):
        h = slim.conv2d(x, 4, [3, 3], padding="VALID", scope="Net/conv1")
        h = slim.fully_connected(tf.reshape(h, [-1, 64]), 8, scope="Net/fc1")
    return slim.fully_connected(h, 3, activation_fn=None, normalizer_fn=None, scope="Net/logits")


def frozen(path, ckpt, momentum=0.98):
    """The inference graph of tf1_net with the values of a checkpoint as constants."""
    with tf.Graph().as_default() as graph:
        v1.enable_resource_variables()
        x = v1.placeholder(tf.float32, [None, 6, 6, 3], "x")
        tf.identity(tf1_net(x, False, momentum), "scores")
        v1.train.export_meta_graph(path.replace("frozen.pb", "inference.meta"), clear_devices=True)
        with v1.Session() as sess:
            v1.train.Saver().restore(sess, ckpt)
            out = v1.graph_util.convert_variables_to_constants(sess, graph.as_graph_def(), ["scores"])
            with open(path, "wb") as f:
                f.write(out.SerializeToString())


def saved_model_tf1(path, ckpt, momentum=0.98):
    with tf.Graph().as_default():
        v1.enable_resource_variables()
        x = v1.placeholder(tf.float32, [None, 6, 6, 3], "x")
        y = tf.identity(tf1_net(x, False, momentum), "scores")
        with v1.Session() as sess:
            v1.train.Saver().restore(sess, ckpt)
            v1.saved_model.simple_save(sess, path, {"x": x}, {"scores": y})


def keras_net(k, momentum=0.98):
    L = k.layers
    return k.Sequential([
        k.Input((6, 6, 3)),
        L.Conv2D(4, 3, use_bias=False, name="conv1"), L.BatchNormalization(momentum=momentum, name="bn1"), L.ReLU(),
        L.Flatten(), L.Dense(8, name="fc1"), L.BatchNormalization(momentum=momentum, name="bn2"), L.ReLU(),
        L.Dense(3, name="logits"),
    ], name="digits")


def fit(k, model, optimizer):
    model.compile(optimizer, k.losses.SparseCategoricalCrossentropy(from_logits=True))
    rng = np.random.default_rng(2)
    data = [batch(rng) for _ in range(STEPS)]
    x, y = (np.concatenate(part) for part in zip(*data))
    model.fit(x, y, batch_size=16, epochs=1, verbose=0, shuffle=False)


def only_variables(folder):
    """A SavedModel with its graph, small enough to be kept."""
    for part in ("assets", "fingerprint.pb"):
        there = os.path.join(folder, part)
        shutil.rmtree(there, ignore_errors=True) if os.path.isdir(there) else os.path.exists(there) and os.remove(there)


def main():
    shutil.rmtree(OUT, ignore_errors=True)
    os.makedirs(OUT)
    at = lambda name: os.path.join(OUT, name)
    files = []

    def add(path, maker):
        files.append({"path": path, "maker": maker})
        print(path, flush=True)

    train_tf1(at("tf1_ref.ckpt"), tf1_net, v1.train.AdamOptimizer(0.01), resource=False)
    add("tf1_ref.ckpt", "tf.layers, ref variables, Adam")
    values = train_tf1(at("tf1_resource.ckpt"), tf1_net, v1.train.MomentumOptimizer(0.02, 0.9), resource=True)
    add("tf1_resource.ckpt", "tf.layers, resource variables, Momentum")
    train_tf1(at("slim.ckpt"), slim_net, v1.train.RMSPropOptimizer(0.003), resource=False, momentum=0.97)
    add("slim.ckpt", "tf_slim, RMSProp")
    train_tf1(at("ema.ckpt"), tf1_net, v1.train.AdamOptimizer(0.01), resource=True, ema=True)
    add("ema.ckpt", "tf.layers with an ExponentialMovingAverage of the trainable variables")
    train_tf1(at("fresh.ckpt"), tf1_net, v1.train.AdamOptimizer(0.01), resource=True, steps=0)
    add("fresh.ckpt", "tf.layers, initialized, not trained")
    frozen(at("frozen.pb"), at("tf1_resource.ckpt"))
    add("frozen.pb", "tf.layers, convert_variables_to_constants")
    saved_model_tf1(at("saved_model_tf1"), at("tf1_resource.ckpt"))
    add("saved_model_tf1", "simple_save of TF 1")

    for k, tag in ((keras, "keras3"), (tf_keras, "keras2")):
        k.utils.set_random_seed(3)
        model = keras_net(k)
        optimizer = k.optimizers.Adam(0.01)
        fit(k, model, optimizer)
        model.save(at(f"{tag}.keras"))
        add(f"{tag}.keras", f"{k.__version__} save")
        model.save(at(f"{tag}.h5"))
        add(f"{tag}.h5", f"{k.__version__} save, legacy")
        model.save_weights(at(f"{tag}.weights.h5"))
        add(f"{tag}.weights.h5", f"{k.__version__} save_weights")
        tf.train.Checkpoint(model=model, optimizer=model.optimizer).write(at(f"{tag}_object"))
        add(f"{tag}_object", f"{k.__version__} in tf.train.Checkpoint, with its optimizer")
        if tag == "keras3":
            model.export(at("saved_model_keras3"), verbose=False)
            add("saved_model_keras3", "keras 3 export")
            weights = {w.path.split("/", 1)[-1] if w.path.startswith("digits/") else w.path: np.asarray(w) for w in model.weights}
            np.savez(at("weights.npz"), **weights)
            add("weights.npz", "numpy savez")
            torch = {}
            for name, w in weights.items():
                layer, word = name.rsplit("/", 1)
                words = {"kernel": "weight", "gamma": "weight", "beta": "bias", "moving_mean": "running_mean", "moving_variance": "running_var"}
                w = w.transpose(3, 2, 0, 1) if w.ndim == 4 else w.T if w.ndim == 2 else w
                torch[f"{layer}.{words.get(word, word)}"] = np.ascontiguousarray(w)
                if word == "gamma":
                    torch[f"{layer}.num_batches_tracked"] = np.array(STEPS, np.int64)
            save_file(torch, at("torch.safetensors"))
            add("torch.safetensors", "safetensors under PyTorch's names")
    for folder in glob.glob(at("saved_model_*")):
        only_variables(folder)
    # Graphs of training are kept for the rules of graph and file; the others only repeat them.
    for name in ("tf1_ref", "slim", "ema", "fresh"):
        os.remove(at(f"{name}.ckpt.meta"))
    with open(at("manifest.json"), "w") as f:
        json.dump({
            "by": f"tensorflow {tf.__version__}, keras {keras.__version__}, tf_keras {tf_keras.__version__}, tf_slim 1.2.0",
            "command": "PYTHONPATH=FOLDER python tools/goldens/healthy.py",
            "steps": STEPS,
            "files": files,
        }, f, indent=1)
        f.write("\n")


main()

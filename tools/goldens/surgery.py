"""Weights of recurrent layers and kernels in the forms of TensorFlow 1, Keras and PyTorch, which compute the same.

    python tools/goldens/surgery.py

Writes tests/goldens/surgery/: rnn.npz and kernels.npz, the same layer's variables in each form, and manifest.json: how far apart the outputs of
the frameworks are with them. The conversions here are numpy's; that they are right is what the outputs say. Needs tensorflow 2.21 and torch.
"""

import json
import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")

import keras
import numpy as np
import tensorflow as tf2
import torch
from tensorflow.python.keras.layers.legacy_rnn import rnn_cell_impl
from tensorflow.python.ops import rnn

tf = tf2.compat.v1
OUT = Path(__file__).resolve().parents[2] / "tests" / "goldens" / "surgery"
rng = np.random.default_rng(5)
IN, H = 3, 4
X = rng.uniform(-1, 1, (2, 6, IN)).astype(np.float32)


def uniform(*shape):
    return rng.uniform(-0.8, 0.8, shape).astype(np.float32)


def by_cell(cell, weights):
    """What a TF 1 cell makes of X; weights in the order of its variables."""
    with tf.Graph().as_default(), tf.Session() as session:
        y, _ = rnn.dynamic_rnn(cell, tf.constant(X), dtype=tf.float32)
        for v, w in zip(tf.global_variables(), weights, strict=True):
            session.run(v.assign(w))
        return session.run(y)


def by_keras(layer, weights):
    layer.build(X.shape)
    layer.set_weights(weights)
    return np.asarray(layer(X))


def by_torch(layer, weights):
    with torch.no_grad():
        for name, w in weights.items():
            getattr(layer, name).copy_(torch.from_numpy(w.copy()))
        return layer(torch.from_numpy(X))[0].numpy()


def apart(*outputs):
    return float(max(np.abs(y - outputs[0]).max() for y in outputs))


def gates(w, order):
    """Blocks of the last axis in another order."""
    return np.concatenate([np.split(w, len(order), axis=-1)[i] for i in order], axis=-1)


def lstm():
    kernel, bias = uniform(IN + H, 4 * H), uniform(4 * H)
    tf1 = by_cell(rnn_cell_impl.LSTMCell(H), [kernel, bias])
    bare = by_cell(rnn_cell_impl.LSTMCell(H, forget_bias=0.0), [kernel, bias + np.repeat([0, 0, 1, 0], H).astype(np.float32)])
    turned = gates(kernel, [0, 2, 1, 3])
    own = gates(bias, [0, 2, 1, 3])
    own[H:2 * H] += 1
    k = {"kernel": turned[:IN], "recurrent_kernel": turned[IN:], "bias": own}
    t = {"weight_ih_l0": k["kernel"].T, "weight_hh_l0": k["recurrent_kernel"].T, "bias_ih_l0": own / 4, "bias_hh_l0": own - own / 4}
    outputs = [tf1, bare, by_keras(keras.layers.LSTM(H, return_sequences=True), list(k.values())),
               by_torch(torch.nn.LSTM(IN, H, batch_first=True), t)]
    return {**{f"lstm/tf1/{n}": w for n, w in (("kernel", kernel), ("bias", bias))},
            **{f"lstm/keras/{n}": w for n, w in k.items()}, **{f"lstm/torch.{n}": w for n, w in t.items()}}, apart(*outputs)


def gru_before():
    """The reset gate before the product: TF 1's GRUCell, Keras with reset_after=False."""
    w = [uniform(IN + H, 2 * H), uniform(2 * H), uniform(IN + H, H), uniform(H)]
    kernel = gates(np.concatenate([w[0], w[2]], 1), [1, 0, 2])
    k = {"kernel": kernel[:IN], "recurrent_kernel": kernel[IN:], "bias": gates(np.concatenate([w[1], w[3]]), [1, 0, 2])}
    layer = keras.layers.GRU(H, return_sequences=True, reset_after=False)
    names = ["gates/kernel", "gates/bias", "candidate/kernel", "candidate/bias"]
    return {**{f"before/tf1/{n}": x for n, x in zip(names, w, strict=True)}, **{f"before/keras/{n}": x for n, x in k.items()}}, \
        apart(by_cell(rnn_cell_impl.GRUCell(H), w), by_keras(layer, list(k.values())))


def gru_after():
    """The reset gate after the product: Keras with reset_after=True, PyTorch."""
    k = {"kernel": uniform(IN, 3 * H), "recurrent_kernel": uniform(H, 3 * H), "bias": uniform(2, 3 * H)}
    order = [1, 0, 2]
    t = {"weight_ih_l0": gates(k["kernel"], order).T, "weight_hh_l0": gates(k["recurrent_kernel"], order).T,
         "bias_ih_l0": gates(k["bias"][0], order), "bias_hh_l0": gates(k["bias"][1], order)}
    layer = keras.layers.GRU(H, return_sequences=True)
    return {**{f"after/keras/{n}": x for n, x in k.items()}, **{f"after/torch.{n}": x for n, x in t.items()}}, \
        apart(by_keras(layer, list(k.values())), by_torch(torch.nn.GRU(IN, H, batch_first=True), t))


def kernels():
    """Kernels of convolutions and a matrix: PyTorch's and TensorFlow's."""
    x = uniform(2, 4, 7, 6)  # NCHW
    nhwc = np.transpose(x, (0, 2, 3, 1))
    o, t = torch.nn.functional, torch.from_numpy
    back = lambda y: np.transpose(y.numpy(), (0, 3, 1, 2))
    conv, deep, up, dense = uniform(5, 4, 3, 2), uniform(8, 1, 3, 2), uniform(4, 5, 3, 2), uniform(5, 4)
    hwio = np.transpose(conv, (2, 3, 1, 0))
    hwcm = np.transpose(deep, (2, 3, 1, 0)).reshape(3, 2, 4, 2)
    hwoi = np.transpose(up, (2, 3, 1, 0))
    size = [2, (7 - 1) * 2 + 3, (6 - 1) * 2 + 2, 5]
    differences = [
        apart(o.conv2d(t(x), t(conv)).numpy(), back(tf2.nn.conv2d(nhwc, hwio, 1, "VALID"))),
        apart(o.conv2d(t(x), t(deep), groups=4).numpy(), back(tf2.nn.depthwise_conv2d(nhwc, hwcm, [1, 1, 1, 1], "VALID"))),
        apart(o.conv_transpose2d(t(x), t(up), stride=2).numpy(), back(tf2.nn.conv2d_transpose(nhwc, hwoi, size, 2, "VALID"))),
        apart(o.linear(t(nhwc.copy()), t(dense)).numpy(), np.asarray(nhwc @ dense.T)),
    ]
    return {"torch/conv": conv, "torch/deep": deep, "torch/up": up, "torch/dense": dense, "tf/conv": hwio, "tf/deep": hwcm,
            "tf/up": hwoi, "tf/dense": dense.T}, max(differences)


OUT.mkdir(parents=True, exist_ok=True)
made = {f.__name__: f() for f in (lstm, gru_before, gru_after, kernels)}
layers = {name: w for f in ("lstm", "gru_before", "gru_after") for name, w in made[f][0].items()}
np.savez(OUT / "rnn.npz", **{n: np.ascontiguousarray(w) for n, w in layers.items()})
np.savez(OUT / "kernels.npz", **{n: np.ascontiguousarray(w) for n, w in made["kernels"][0].items()})
manifest = {
    "by": f"tensorflow {tf2.__version__}, keras {keras.__version__}, torch {torch.__version__}",
    "command": "python tools/goldens/surgery.py",
    "largest difference of outputs": {name: difference for name, (_, difference) in made.items()},
}
(OUT / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n")
print(manifest)

"""The models of object_checkpoint.py, in Keras 2 or Keras 3: `k` is the package."""
import numpy as np


def model_of(k, kind):
    layer = k.layers
    if kind == "seq":
        layers = [layer.Dense(3, name="d", activation="relu"), layer.BatchNormalization(name="bn"), layer.Dense(2, name="e")]
        return k.Sequential([k.Input((4,)), *layers]), (4,)
    if kind == "conv":
        x = k.Input((4, 4, 2))
        h = layer.Conv2D(3, 2, name="c1")(x)
        h = layer.BatchNormalization(name="bn1")(h)
        h = layer.DepthwiseConv2D(2, name="dw")(layer.ReLU(name="r")(h))
        return k.Model(x, layer.Dense(2, name="out")(layer.Flatten(name="f")(h))), (4, 4, 2)
    inner = k.Sequential([layer.Dense(3, name="i1"), layer.BatchNormalization(name="ibn")], name="inner")
    x = k.Input((5,))
    h = layer.Embedding(7, 4, name="emb")(x)
    h = layer.LSTM(3, name="rnn")(h)
    return k.Model(x, layer.Dense(2, name="z")(inner(h))), (5,)


def inputs_of(kind):
    """Inputs that are the same everywhere."""
    if kind == "nest":
        return np.arange(20).reshape(4, 5) % 7
    shape = (4, 4) if kind == "seq" else (4, 4, 4, 2)
    return np.sin(np.arange(np.prod(shape))).reshape(shape).astype(np.float32)

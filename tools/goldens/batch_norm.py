"""Programs of batch normalization by Keras 2's tf.layers and by slim, which are no part of TensorFlow 2.21.

Needs both on the Python path: tf_keras (github.com/keras-team/tf-keras; of its source the folder above `tf_keras`, with
`protoc --python_out=. tf_keras/protobuf/*.proto` run there) and tf_slim (github.com/google-research/tf-slim).

Writes tests/goldens/batch-norm/ in the form of programs.py; the TypeScript twins stand in tests/conformance/programs/batch-norm.ts.

Usage: PYTHONPATH=... python tools/goldens/batch_norm.py
"""

import types

import numpy as np
import tensorflow.compat.v1 as tf
from programs import BOTH, OUT, X4, holder, run, train_norm, use, write

try:
    from tf_keras.legacy_tf_layers import base, convolutional, core, normalization, pooling
except ImportError:  # installed, not source
    from tf_keras.src.legacy_tf_layers import base, convolutional, core, normalization, pooling

# slim asks for tf.layers, which Keras 3 has not
tf.layers = types.SimpleNamespace()
for module in (normalization, base, convolutional, core, pooling):
    vars(tf.layers).update({k: v for k, v in vars(module).items() if not k.startswith("_")})
from tf_slim.layers import layers as slim  # noqa: E402

PROGRAMS = {}


def each(**variants):
    def register(fn):
        for name, args in variants.items():
            PROGRAMS[f"{fn.__name__}_{name}"] = lambda args=args: fn(**args)
        return fn

    return register


def feeds(shape, n=3, **more):
    rng = np.random.RandomState(9)
    return [{"x:0": (rng.randn(*shape) * 2 + 1).astype(np.float32).tolist(), **more} for _ in range(n)]


norm = normalization.batch_normalization


@each(**BOTH)
def renorm(resource):
    use(resource)
    train_norm(norm(holder("x", [None, 3]), training=True, renorm=True))
    return run(3, feeds([8, 3]), ["y:0"])


@each(**BOTH)
def renorm_clipped(resource):
    """By a placeholder, of images, with limits; momentum of the renormalization set."""
    use(resource)
    training = holder("training", [], tf.bool)
    clip = {"rmax": 1.5, "rmin": 1 / 1.5, "dmax": 0.5}
    y = norm(holder("x", [None, 2, 2, 3]), training=training, renorm=True, renorm_clipping=clip, renorm_momentum=0.9)
    train_norm(y)
    return run(4, feeds([4, 2, 2, 3], 3, **{"training:0": True}) + feeds([4, 2, 2, 3], 1, **{"training:0": False}), ["y:0"])


@each(first={"axis": 1, "scale": False}, several={"axis": [1, 3], "center": False}, inference={"training": False})
def renorm_axis(training=True, **options):
    use(False)
    y = norm(holder("x", [4, 2, 5, 3]), training=training, renorm=True, name="bn", **options)
    if training:
        train_norm(y)
    else:
        tf.identity(y, name="y")
    return run(2, feeds([4, 2, 5, 3], 2), ["y:0"])


@each(x={"renorm": True})
def renorm_one_step(renorm):
    """The numbers of 1, 2, 3, 6: after one step moving_variance is 1.0164979, and y is x."""
    use(False)
    tf.identity(norm(holder("x", [None, 1]), training=True, renorm=renorm, renorm_clipping={"rmax": 3.0, "dmax": 5.0}), name="y")
    tf.group(*tf.get_collection(tf.GraphKeys.UPDATE_OPS), name="train")
    return run(1, [{"x:0": X4.reshape(4, 1).tolist()}], ["y:0"])


@each(**BOTH)
def virtual(resource):
    use(resource)
    train_norm(norm(holder("x", [None, 3]), training=True, virtual_batch_size=4))
    return run(3, feeds([8, 3]), ["y:0"])


@each(images={"shape": [8, 2, 2, 3]}, first={"shape": [8, 2, 2, 3], "axis": 1}, inference={"shape": [8, 3], "training": False})
def virtual_axis(shape, training=True, **options):
    use(False)
    y = norm(holder("x", [None, *shape[1:]]), training=training, virtual_batch_size=2, name="bn", **options)
    if training:
        train_norm(y)
    else:
        tf.identity(y, name="y")
    return run(2, feeds(shape, 2), ["y:0"])


@each(x={"size": 2})
def virtual_one_step(size):
    """The numbers of 1, 2, 3, 6 in halves: moving_variance 1.015."""
    use(False)
    tf.identity(norm(holder("x", [None, 1]), training=True, virtual_batch_size=size), name="y")
    tf.group(*tf.get_collection(tf.GraphKeys.UPDATE_OPS), name="train")
    return run(1, [{"x:0": X4.reshape(4, 1).tolist()}], ["y:0"])


@each(**BOTH)
def lists(resource):
    """What programs.py rebuilds is what Keras 2 makes: several axes, not fused."""
    use(resource)
    train_norm(norm(holder("x", [None, 2, 2, 3]), training=True, axis=[1, 3], fused=False))
    return run(2, feeds([4, 2, 2, 3], 2), ["y:0"])


IMAGES = [4, 2, 2, 3]
TRAINING = {"training:0": True}


def slim_norm(resource, shape, placeholder=False, **options):
    use(resource)
    more = {"is_training": holder("training", [], tf.bool)} if placeholder else {}
    y = slim.batch_norm(holder("x", [None, *shape[1:]]), **more, **options)
    updates = tf.get_collection(tf.GraphKeys.UPDATE_OPS)
    loss = tf.reduce_mean(tf.square(y - 1.0), name="loss")
    with tf.control_dependencies(updates):
        tf.group(tf.train.GradientDescentOptimizer(0.1).minimize(loss), name="train")
    tf.identity(y, name="y")
    tf.global_variables_initializer()
    return run(3, feeds(shape, 3, **(TRAINING if placeholder else {})), ["y:0"])


@each(**BOTH)
def slim_rank2(resource):
    return slim_norm(resource, [8, 3], scale=True)


@each(**BOTH)
def slim_debias(resource):
    return slim_norm(resource, IMAGES, zero_debias_moving_mean=True, scope="bn")


@each(**BOTH)
def slim_placeholder(resource):
    return slim_norm(resource, IMAGES, True, zero_debias_moving_mean=True, decay=0.9)


@each(**BOTH)
def slim_in_place(resource):
    return slim_norm(resource, IMAGES, updates_collections=None, scope="bn", activation_fn=tf.nn.relu)


@each(
    images={"shape": IMAGES, "scale": True, "updates_collections": None},
    first={"shape": [4, 3, 2, 2], "data_format": "NCHW", "zero_debias_moving_mean": True, "scale": True},
    rank3={"shape": [4, 5, 3], "updates_collections": "mine"},
    placeholder={"shape": [8, 3], "placeholder": True, "updates_collections": None, "scale": True},
)
def slim_unfused(shape, **options):
    return slim_norm(False, shape, fused=False, **options)


@each(first={"shape": [4, 3, 2, 2], "data_format": "NCHW", "updates_collections": "mine"})
def slim_fused(shape, **options):
    return slim_norm(False, shape, scope="bn", **options)


@each(x={})
def slim_twice():
    """Names, and one scope used again."""
    use(False)
    x = holder("x", [None, 3])
    for _ in range(2):
        slim.batch_norm(x)
    for reuse in (None, True):
        slim.batch_norm(x, scope="bn", reuse=reuse, is_training=False)


if __name__ == "__main__":
    write(PROGRAMS, OUT.parent / "batch-norm", "batch_norm.py", note="tf_keras at dd0a7237b, tf_slim at 1287b1e")

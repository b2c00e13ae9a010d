"""Programs over volumes: layers of TensorFlow 1's kind, tf.nn's functions, batch normalization at rank 5 and a classifier trained by Adam.

Needs Keras 2 on the Python path for batch normalization, as batch_norm.py tells. Writes tests/goldens/volumes/ in the form of programs.py; the
TypeScript twins stand in tests/conformance/programs/volumes.ts.

Usage: PYTHONPATH=... python tools/goldens/volumes.py
"""

import numpy as np
import tensorflow.compat.v1 as tf
from programs import BOTH, OUT, holder, run, train_norm, use, write
from tensorflow.python.keras import regularizers
from tensorflow.python.keras.legacy_tf_layers import convolutional, core, pooling

try:
    from tf_keras.legacy_tf_layers import normalization
except ImportError:  # installed, not source
    from tf_keras.src.legacy_tf_layers import normalization

PROGRAMS = {}
VOLUMES = [None, 3, 4, 4, 2]


def each(**variants):
    def register(fn):
        for name, args in variants.items():
            PROGRAMS[f"{fn.__name__}_{name}"] = lambda args=args: fn(**args)
        return fn

    return register


def feeds(shape, n, **more):
    rng = np.random.RandomState(9)
    return [{"x:0": np.round(rng.randn(*shape) * 2 + 1, 3).tolist(), **more} for _ in range(n)]


norm = normalization.batch_normalization


@each(**BOTH)
def layers(resource):
    use(resource)
    tf.set_random_seed(42)
    x = holder("x", VOLUMES)
    y = convolutional.conv3d(x, 3, 3, activation=tf.nn.relu, padding="same", kernel_regularizer=regularizers.l2(0.01))
    y = convolutional.conv3d(y, 2, (1, 3, 3), strides=(1, 2, 2), padding="same", use_bias=False)
    y = convolutional.conv3d(y, 2, 2, dilation_rate=2, padding="same", name="dilated")
    y = convolutional.conv3d_transpose(y, 2, 2, strides=2, padding="same")
    y = convolutional.conv3d_transpose(y, 2, (2, 1, 3), strides=(1, 2, 1), name="valid")
    y = pooling.max_pooling3d(y, 2, 2)
    y = pooling.average_pooling3d(y, (1, 2, 2), 1, padding="same")
    tf.identity(y, name="y")
    tf.global_variables_initializer()
    return run(1, feeds([1, 3, 4, 4, 2], 1), ["y:0"])


@each(x={})
def channels_first():
    use(False)
    x = holder("x", [None, 2, 4, 6, 6])
    first = {"data_format": "channels_first"}
    y = convolutional.conv3d(x, 3, 3, **first)
    y = convolutional.conv3d_transpose(y, 2, 3, strides=2, **first)
    y = pooling.max_pooling3d(y, 2, 2, **first)
    pooling.average_pooling3d(y, 2, 2, padding="same", **first)


@each(x={})
def functions():
    x = holder("x", VOLUMES)
    w = holder("w", [2, 2, 2, 2, 3])
    y = tf.nn.conv3d(x, w, [1, 1, 2, 2, 1], "SAME")
    t = tf.nn.conv3d_transpose(y, w, [1, 3, 4, 4, 2], [1, 1, 2, 2, 1])
    tf.nn.conv3d_transpose(y, w, tf.shape(x), [1, 1, 2, 2, 1], name="back")
    m = tf.nn.max_pool3d(t, 2, 2, "VALID")
    a = tf.nn.avg_pool3d(x, [2, 3, 3], [1, 1, 2, 2, 1], "SAME", name="mean")
    tf.gradients([m, a], [x, w])


@each(
    ref={"resource": False},
    resource={"resource": True},
    placeholder={"asks": True},
    small_ops={"fused": False},
    first={"axis": 1},
)
def norms(resource=False, asks=False, fused=None, axis=-1):
    use(resource)
    training = holder("training", [], tf.bool) if asks else True
    x = holder("x", [None, 2, 1, 2, 2])
    train_norm(norm(x, training=training, fused=fused, axis=axis))
    more = {"training:0": True} if asks else {}
    return run(2, feeds([3, 2, 1, 2, 2], 2, **more), ["y:0"])


@each(**BOTH)
def classifier(resource):
    use(resource)
    tf.set_random_seed(7)
    x = holder("x", [None, 4, 4, 4, 1])
    labels = holder("labels", [None], tf.int32)
    y = convolutional.conv3d(x, 2, 3, padding="same", use_bias=False)
    y = tf.nn.relu(norm(y, training=True, fused=True))
    y = pooling.max_pooling3d(y, 2, 2)
    y = convolutional.conv3d(y, 3, (2, 1, 2), strides=(1, 2, 1), padding="same", activation=tf.nn.relu)
    y = pooling.average_pooling3d(y, (2, 1, 2), 1)
    y = core.dense(core.flatten(y), 3)
    loss = tf.losses.sparse_softmax_cross_entropy(labels, y)
    with tf.control_dependencies(tf.get_collection(tf.GraphKeys.UPDATE_OPS)):
        step = tf.train.AdamOptimizer(0.01).minimize(loss)
    tf.group(step, name="train")
    tf.identity(loss, name="loss")
    tf.global_variables_initializer()
    return run(5, feeds([3, 4, 4, 4, 1], 5, **{"labels:0": [0, 1, 2]}), ["loss:0"])


if __name__ == "__main__":
    write(PROGRAMS, OUT.parent / "volumes", "volumes.py", note="tf_keras at dd0a7237b")

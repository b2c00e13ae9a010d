"""Programs of slim's layers (once tf.contrib.layers): convolutions and matrices with a normalizer, weighted batches, and small networks by it.

Needs tf_slim on the Python path (github.com/google-research/tf-slim). TensorFlow 2.21 has no tf.layers, on which slim stands: here they are those of
programs.py (stock legacy_tf_layers; batch normalization rebuilt after TF 1.15).

Writes tests/goldens/slim/ in the form of programs.py, and small.* there: a checkpoint of the network `small` after some steps, with its images and
logits. The TypeScript twins stand in tests/conformance/programs/slim.ts.

Usage: PYTHONPATH=... python tools/goldens/slim.py
"""

import json
import shutil
import tempfile
import types

import numpy as np
import tensorflow.compat.v1 as tf
import programs
from programs import BOTH, OUT, base, convolutional, core, holder, pooling, run, use, write


class BatchNormalization(programs.BatchNorm):
    """As slim calls tf.layers' class."""

    def __init__(self, axis, momentum, epsilon, center, scale, trainable, name, fused, **kwargs):
        taken = {k: kwargs[k] for k in ("_scope", "_reuse")}
        super().__init__(axis, momentum, epsilon, center, scale, fused, trainable, name, **taken)


tf.layers = types.SimpleNamespace()
for module in (base, convolutional, core, pooling):
    vars(tf.layers).update({k: v for k, v in vars(module).items() if not k.startswith("_")})
tf.layers.BatchNormalization = BatchNormalization
from tf_slim.layers import initializers, regularizers  # noqa: E402
from tf_slim.layers import layers as slim  # noqa: E402
from tf_slim.nets import resnet_utils, resnet_v2, vgg  # noqa: E402
from tf_slim.ops.arg_scope import arg_scope  # noqa: E402

PROGRAMS = {}


def each(**variants):
    def register(fn):
        for name, args in variants.items():
            PROGRAMS[f"{fn.__name__}_{name}"] = lambda args=args: fn(**args)
        return fn

    return register


def feeds(shape, n=3, **more):
    rng = np.random.RandomState(9)
    return [{"x:0": (rng.randn(*shape) * 2 + 1).round(3).astype(np.float32).tolist(), **more} for _ in range(n)]


@each(**BOTH)
def layers(resource):
    """Each layer with its defaults, twice; names, collections and regularizers."""
    use(resource)
    tf.set_random_seed(42)
    x = holder("x", [None, 8, 8, 3])
    l2 = regularizers.l2_regularizer(0.5)
    y = slim.conv2d(x, 4, 3, weights_regularizer=l2)
    y = slim.conv2d(y, 4, [3, 3], stride=2, padding="VALID", activation_fn=None, scope="named", outputs_collections="ends")
    y = slim.conv2d(y, 4, 1, biases_initializer=None, activation_fn=tf.nn.tanh, outputs_collections=["ends", "more"])
    y = slim.conv2d(y, 4, 1, scope="norm", normalizer_fn=slim.batch_norm, normalizer_params={"is_training": False, "scale": True})
    y = slim.separable_conv2d(y, 5, 3, depth_multiplier=2, weights_regularizer=l2, biases_regularizer=regularizers.l1_regularizer(0.25))
    y = slim.separable_conv2d(y, 5, 3, scope="sep", normalizer_fn=slim.batch_norm)
    y = slim.separable_conv2d(y, None, 3, stride=2, depth_multiplier=2)
    y = slim.separable_conv2d(y, None, 3, scope="deep", normalizer_fn=slim.batch_norm, weights_regularizer=l2)
    y = slim.conv2d_transpose(y, 4, 3, stride=2)
    y = slim.conv2d_transpose(y, 3, 2, scope="up", normalizer_fn=slim.batch_norm)
    y = slim.max_pool2d(y, 2)
    y = slim.avg_pool2d(y, [2, 2], stride=1, padding="SAME", scope="pool")
    y = slim.dropout(y, 0.75, is_training=False)
    z = slim.fully_connected(y, 3, variables_collections=["mine"])
    z = slim.flatten(z)
    z = slim.fully_connected(z, 3, scope="fc", normalizer_fn=slim.batch_norm, trainable=False, variables_collections={"weights": ["w"]})
    z = slim.fully_connected(z, 2)
    slim.fully_connected(z, 2, scope="shared", weights_regularizer=l2)
    slim.fully_connected(z, 2, scope="shared", weights_regularizer=l2, reuse=True)
    tf.losses.get_regularization_losses()
    tf.global_variables_initializer()


@each(**BOTH)
def first(resource):
    """Channels first. (Keras transposes a transposed convolution where there is no GPU, so it is not here.)"""
    use(resource)
    tf.set_random_seed(1)
    y = holder("x", [None, 3, 8, 8])
    with arg_scope([slim.conv2d, slim.separable_conv2d, slim.batch_norm], data_format="NCHW"):
        y = slim.conv2d(y, 4, 3, normalizer_fn=slim.batch_norm)
        y = slim.separable_conv2d(y, 4, 3)
        slim.separable_conv2d(y, None, 3, normalizer_fn=slim.batch_norm)
    tf.global_variables_initializer()


@each(x={})
def initial():
    """slim's initializers, and rates."""
    use(False)
    tf.set_random_seed(3)
    x = holder("x", [2, 9, 9, 3])
    make = initializers.variance_scaling_initializer
    slim.conv2d(x, 4, [3, 2], weights_initializer=initializers.xavier_initializer(uniform=False, seed=5))
    slim.conv2d(x, 4, 3, rate=2, weights_initializer=make(), biases_initializer=tf.ones_initializer())
    slim.conv2d(x, 4, 3, weights_initializer=make(factor=1.0, mode="FAN_OUT", uniform=True))
    slim.separable_conv2d(x, 4, 3, weights_initializer=make(mode="FAN_AVG"), pointwise_initializer=tf.truncated_normal_initializer(stddev=0.09))
    slim.fully_connected(x, 4, weights_regularizer=regularizers.l1_l2_regularizer(0.5, 0.25))
    slim.fully_connected(x, 4, weights_regularizer=regularizers.l2_regularizer(0.0))
    tf.global_variables_initializer()
    return run(0)


def small_net(x, training):
    """A little of ResNet: names of its blocks, a shortcut, normalizers, weight decay."""
    norm = {"is_training": training, "decay": 0.9, "epsilon": 1e-5, "scale": True}
    conv = {
        "normalizer_fn": slim.batch_norm,
        "normalizer_params": norm,
        "weights_regularizer": regularizers.l2_regularizer(0.01),
        "weights_initializer": initializers.variance_scaling_initializer(),
    }
    with tf.variable_scope("resnet_tiny"), arg_scope([slim.conv2d, slim.separable_conv2d], **conv):
        y = slim.conv2d(x, 4, 3, stride=2, scope="conv1")
        with tf.variable_scope("block1/unit_1/bottleneck_v1"):
            shortcut = slim.conv2d(y, 8, 1, activation_fn=None, scope="shortcut")
            residual = slim.conv2d(y, 2, 1, scope="conv1")
            residual = slim.separable_conv2d(residual, None, 3, scope="conv2_depthwise")
            residual = slim.conv2d(residual, 8, 1, activation_fn=None, scope="conv3")
            y = tf.nn.relu(shortcut + residual)
        y = tf.reduce_mean(y, [1, 2], name="pool5", keepdims=True)
        y = slim.conv2d(y, 3, 1, activation_fn=None, normalizer_fn=None, scope="logits")
        return tf.squeeze(y, [1, 2], name="SpatialSqueeze")


@each(x={})
def small():
    use(False)
    tf.set_random_seed(7)
    training = holder("training", [], tf.bool)
    logits = small_net(holder("x", [None, 6, 6, 3]), training)
    tf.losses.sparse_softmax_cross_entropy(holder("labels", [None], tf.int32), logits)
    loss = tf.losses.get_total_loss()
    step = tf.train.get_or_create_global_step()
    with tf.control_dependencies(tf.get_collection(tf.GraphKeys.UPDATE_OPS)):
        tf.group(tf.train.GradientDescentOptimizer(0.1).minimize(loss, global_step=step), name="train")
    tf.identity(logits, name="y")
    tf.global_variables_initializer()
    return run(2, feeds([4, 6, 6, 3], 2, **{"training:0": True, "labels:0": [0, 1, 2, 0]}), ["y:0"])


@each(x={})
def resnet():
    """slim's own ResNet v2, with few and narrow blocks."""
    use(False)
    x = holder("x", [None, 33, 33, 3])
    with arg_scope(resnet_utils.resnet_arg_scope()):
        blocks = [resnet_v2.resnet_v2_block("block1", base_depth=2, num_units=2, stride=2), resnet_v2.resnet_v2_block("block2", 4, 1, 1)]
        resnet_v2.resnet_v2(x, blocks, num_classes=5, is_training=False)


@each(x={})
def vgg16():
    """slim's own VGG 16, and a stack of layers."""
    use(False)
    with arg_scope(vgg.vgg_arg_scope()):
        logits, _ = vgg.vgg_16(holder("x", [None, 224, 224, 3]), num_classes=5, is_training=False)
    slim.stack(logits, slim.fully_connected, [4, 3], scope="fc")


def weighted(resource, shape, placeholder=False, fused=True, weights=None, **options):
    use(resource)
    more = {"is_training": holder("training", [], tf.bool)} if placeholder else {}
    y = slim.batch_norm(holder("x", [None, *shape[1:]]), batch_weights=weights or holder("weights", [None]), **more, **options)
    loss = tf.reduce_mean(tf.square(y - 1.0), name="loss")
    with tf.control_dependencies(tf.get_collection(tf.GraphKeys.UPDATE_OPS)):
        tf.group(tf.train.GradientDescentOptimizer(0.1).minimize(loss), name="train")
    tf.identity(y, name="y")
    more = {"weights:0": [1.0, 0.0, 0.5, 2.0], **({"training:0": True} if placeholder else {})}
    return run(2, feeds(shape, 2, **more), ["y:0"])


@each(**BOTH)
def weights_rank2(resource):
    return weighted(resource, [4, 3], scale=True)


@each(
    images={"shape": [4, 2, 2, 3], "placeholder": True, "zero_debias_moving_mean": True},
    first={"shape": [4, 3, 2, 2], "data_format": "NCHW", "updates_collections": None, "scope": "bn"},
)
def weights(shape, **options):
    return weighted(False, shape, **options)


@each(x={})
def moments():
    """tf.nn.weighted_moments itself: weights that broadcast one way, the other way, or are a number; axes of which x has fewer than the weights."""
    x = holder("x", [2, 3, 2])
    outs = [
        *tf.nn.weighted_moments(x, [0, 1], tf.constant([[[1.0], [2.0], [0.0]]])),
        *tf.nn.weighted_moments(x, [1], 0.5, keepdims=True, name="number"),
        *tf.nn.weighted_moments(x, 2, tf.constant([0.25, 4.0])),
        *tf.nn.weighted_moments(x, [0, 2], tf.ones([2, 3, 2])),
        *tf.nn.weighted_moments(tf.cast(x, tf.float16), [0], tf.constant([[[1.0]], [[3.0]]], tf.float16), name="half"),
        *tf.nn.weighted_moments(tf.cast(x, tf.float64), [0, -1], tf.constant([[[1]], [[3]]])),
    ]
    outs = [tf.cast(y, tf.float32, name=f"y{i}") if i in (8, 9) else tf.identity(y, name=f"y{i}") for i, y in enumerate(outs)]
    return run(1, feeds([2, 3, 2], 1), [y.name for y in outs])


def checkpoint():
    """Trains the small network for a while, saves it, and keeps what it says of some images."""
    folder = tempfile.mkdtemp()
    with tf.Graph().as_default():
        use(False)
        tf.set_random_seed(7)
        training, labels = holder("training", [], tf.bool), holder("labels", [None], tf.int32)
        logits = small_net(holder("x", [None, 6, 6, 3]), training)
        tf.losses.sparse_softmax_cross_entropy(labels, logits)
        with tf.control_dependencies(tf.get_collection(tf.GraphKeys.UPDATE_OPS)):
            train = tf.train.MomentumOptimizer(0.05, 0.9).minimize(tf.losses.get_total_loss(), tf.train.get_or_create_global_step())
        with tf.Session() as session:
            session.run(tf.global_variables_initializer())
            for feed in feeds([4, 6, 6, 3], 20, **{"training:0": True, "labels:0": [0, 1, 2, 0]}):
                session.run(train, feed)
            images = feeds([2, 6, 6, 3], 1)[0]["x:0"]
            said = session.run(logits, {"x:0": images, "training:0": False})
            tf.train.Saver().save(session, f"{folder}/small.ckpt-20", write_meta_graph=False)
    target = OUT.parent / "slim"
    for part in ("index", "data-00000-of-00001"):
        shutil.copyfile(f"{folder}/small.ckpt-20.{part}", target / f"small.ckpt-20.{part}")
    (target / "small.json").write_text(json.dumps({"images": images, "logits": said.tolist()}) + "\n")


if __name__ == "__main__":
    write(PROGRAMS, OUT.parent / "slim", "slim.py", note="tf_slim at 1287b1e; layers as in programs.py")
    checkpoint()

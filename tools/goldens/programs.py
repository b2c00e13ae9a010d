"""Whole programs as TensorFlow 1 style Python writes them: variables, scopes, layers, losses, optimizers, savers.

Writes tests/goldens/programs/: NAME.pb.gz (deterministic GraphDef), values.json (variables after each of some steps, errors, collections),
manifest.json. The TypeScript twins stand in tests/conformance/programs/; both must give the same NodeDefs and values.

tf.compat.v1.layers needs Keras 2, which is not part of TensorFlow 2.21. What is left of it, tensorflow.python.keras.legacy_tf_layers, is stock
code and gives conv2d, separable_conv2d, conv2d_transpose, dense, dropout, pooling and flatten. Batch normalization is gone from there: class
BatchNorm below rebuilds it on the stock base layer from its documented structure (TF 1.15), with tf.nn's own ops inside.

Usage: python tools/goldens/programs.py
"""

import gzip
import json
import os
import pathlib

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")

import numpy as np
import tensorflow.compat.v1 as tf
from tensorflow.python.framework import tensor_util
from tensorflow.python.keras import regularizers
from tensorflow.python.keras.legacy_tf_layers import base, convolutional, core, pooling
from tensorflow.python.training import moving_averages

tf.disable_v2_behavior()

OUT = pathlib.Path(__file__).resolve().parents[2] / "tests" / "goldens" / "programs"
PROGRAMS = {}


def program(fn):
    PROGRAMS[fn.__name__] = fn
    return fn


def each(**variants):
    """Registers `fn` once for each variant, as NAME_VARIANT."""

    def register(fn):
        for name, args in variants.items():
            PROGRAMS[f"{fn.__name__}_{name}"] = lambda args=args: fn(**args)
        return fn

    return register


BOTH = {"ref": {"resource": False}, "resource": {"resource": True}}


def holder(name, shape, dtype=tf.float32):
    return tf.placeholder(dtype, shape, name=name)


def smart_cond(pred, true_fn, false_fn):
    known = tensor_util.constant_value(pred) if isinstance(pred, tf.Tensor) else pred
    if known is None:
        return tf.cond(pred, true_fn, false_fn)
    return true_fn() if known else false_fn()


def known_value(pred):
    return tensor_util.constant_value(pred) if isinstance(pred, tf.Tensor) else pred


class BatchNorm(base.Layer):
    """tf.layers.batch_normalization of TF 1.15, without renorm and virtual batches."""

    def __init__(self, axis, momentum, epsilon, center, scale, fused, trainable, name, **kwargs):
        super().__init__(trainable=trainable, name=name, **kwargs)
        self.axis, self.momentum, self.epsilon = axis, momentum, epsilon
        self.center, self.scale, self.fused = center, scale, fused

    def build(self, input_shape):
        rank = len(input_shape)
        axes = [self.axis] if isinstance(self.axis, int) else list(self.axis)
        self.axis = [a % rank for a in axes]
        self.fused = self.fused is not False and rank == 4 and len(axes) == 1 and self.axis[0] in (1, 3)
        if len(axes) == 1:
            shape = (int(input_shape[self.axis[0]]),)
        else:
            shape = tuple(int(input_shape[i]) if i in self.axis else 1 for i in range(rank))
        dtype = tf.float32 if self.dtype in (None, "float16", "bfloat16") else self.dtype
        dtype = tf.float32 if tf.as_dtype(dtype) in (tf.float16, tf.bfloat16) else dtype
        self.gamma = self.beta = None
        if self.scale:
            self.gamma = self.add_weight("gamma", shape, dtype, tf.ones_initializer(), trainable=True)
        elif self.fused:
            self.gamma = tf.constant(1.0, dtype, shape)
        if self.center:
            self.beta = self.add_weight("beta", shape, dtype, tf.zeros_initializer(), trainable=True)
        elif self.fused:
            self.beta = tf.constant(0.0, dtype, shape)
        local = {
            "synchronization": tf.VariableSynchronization.ON_READ,
            "aggregation": tf.VariableAggregation.MEAN,
            "trainable": False,
        }
        self.moving_mean = self.add_weight("moving_mean", shape, dtype, tf.zeros_initializer(), **local)
        self.moving_variance = self.add_weight("moving_variance", shape, dtype, tf.ones_initializer(), **local)
        self.built = True

    def _average(self, variable, value, momentum):
        with tf.name_scope(None, "AssignMovingAvg", [variable, value, momentum]) as scope, tf.colocate_with(variable):
            decay = tf.convert_to_tensor(1.0 - momentum, name="decay")
            if decay.dtype != variable.dtype.base_dtype:
                decay = tf.cast(decay, variable.dtype.base_dtype)
            delta = (variable - tf.cast(value, variable.dtype.base_dtype)) * decay
            return tf.assign_sub(variable, delta, name=scope)

    def call(self, x, training):
        if self.fused:
            return self._call_fused(x, training)
        half = x.dtype in (tf.float16, tf.bfloat16)
        dtype = x.dtype
        if half:
            x = tf.cast(x, tf.float32)
        rank = len(x.shape)
        axes = [i for i in range(rank) if i not in self.axis]
        wide = [1] * rank
        wide[self.axis[0]] = int(x.shape[self.axis[0]])

        def broadcast(v):
            if v is not None and len(v.shape) != rank and axes != list(range(rank - 1)):
                return tf.reshape(v, wide)
            return v

        scale, offset = broadcast(self.gamma), broadcast(self.beta)
        if known_value(training) is False:
            mean, variance = self.moving_mean, self.moving_variance
        else:
            mean, variance = tf.nn.moments(x, axes, keep_dims=len(self.axis) > 1)
            batch_mean, batch_variance = mean, variance
            mean = smart_cond(training, lambda: batch_mean, lambda: tf.convert_to_tensor(self.moving_mean))
            variance = smart_cond(training, lambda: batch_variance, lambda: tf.convert_to_tensor(self.moving_variance))
            new_mean, new_variance = mean, variance
            self.add_update(
                lambda: smart_cond(
                    training,
                    lambda: self._average(self.moving_mean, new_mean, self.momentum),
                    lambda: self.moving_mean,
                )
            )
            self.add_update(
                lambda: smart_cond(
                    training,
                    lambda: self._average(self.moving_variance, new_variance, self.momentum),
                    lambda: self.moving_variance,
                )
            )
        mean, variance = tf.cast(mean, x.dtype), tf.cast(variance, x.dtype)
        offset = None if offset is None else tf.cast(offset, x.dtype)
        scale = None if scale is None else tf.cast(scale, x.dtype)
        y = tf.nn.batch_normalization(x, broadcast(mean), broadcast(variance), offset, scale, self.epsilon)
        return tf.cast(y, dtype) if half else y

    def _call_fused(self, x, training):
        layout = "NCHW" if self.axis == [1] else "NHWC"

        def train():
            return tf.nn.fused_batch_norm(x, self.gamma, self.beta, epsilon=self.epsilon, data_format=layout)

        def infer():
            return tf.nn.fused_batch_norm(
                x,
                self.gamma,
                self.beta,
                mean=self.moving_mean,
                variance=self.moving_variance,
                epsilon=self.epsilon,
                is_training=False,
                data_format=layout,
            )

        y, mean, variance = smart_cond(training, train, infer)
        value = known_value(training)
        if value or value is None:
            if value is None:
                momentum = smart_cond(training, lambda: self.momentum, lambda: 1.0)
            else:
                momentum = tf.convert_to_tensor(self.momentum)
            self.add_update(lambda: self._average(self.moving_mean, mean, momentum))
            self.add_update(lambda: self._average(self.moving_variance, variance, momentum))
        return y


def batch_normalization(
    x,
    axis=-1,
    momentum=0.99,
    epsilon=1e-3,
    center=True,
    scale=True,
    training=False,
    trainable=True,
    name=None,
    reuse=None,
    fused=None,
):
    layer = BatchNorm(axis, momentum, epsilon, center, scale, fused, trainable, name, _reuse=reuse, _scope=name)
    layer._base_name = name or "batch_normalization"
    return layer.apply(x, training=training)


def use(resource):
    tf.get_variable_scope().set_use_resource(resource)


def run(steps, feeds=(), fetches=()):
    """How to get values: `steps` times `fetches`, then `train`, both with the next feed; then all variables."""
    return {"steps": steps, "feeds": list(feeds), "fetches": list(fetches)}


# variables and scopes


@each(**BOTH)
def scopes(resource):
    use(resource)
    with tf.variable_scope("vs"):
        tf.get_variable("w", [2, 3])
        with tf.variable_scope("in", initializer=tf.ones_initializer(), dtype=tf.float64):
            v = tf.get_variable("v", [2])
            tf.identity(v)
    with tf.variable_scope("vs", reuse=True) as again:
        w = tf.get_variable("w")
        tf.identity(w, name="i")
    with tf.variable_scope("outer"):
        with tf.variable_scope(again):
            tf.identity(tf.get_variable("w"))
            tf.constant(1.0)
        with tf.variable_scope(None, default_name="def"):
            tf.get_variable("a", initializer=tf.constant([1, 2]))
        with tf.variable_scope(None, default_name="def"):
            tf.get_variable("a", initializer=[1.0, 2.0], trainable=False)
    with tf.variable_scope("auto", reuse=tf.AUTO_REUSE):
        a = tf.get_variable("x", [], initializer=tf.constant_initializer(2.0))
        b = tf.get_variable("x", [])
        tf.add(a, b)
    with tf.name_scope("ns"):
        tf.get_variable("g", [1], dtype=tf.int32)
        tf.Variable(1.5, name="z")
        tf.Variable(lambda: tf.fill([2], 3.0), name="f")
        tf.Variable([1, 2], name="c", collections=["mine"])
    with tf.variable_scope("aux", auxiliary_name_scope=False):
        tf.get_variable("k", [1], initializer=tf.zeros_initializer(), collections=[tf.GraphKeys.LOCAL_VARIABLES])
        tf.constant(2.0)
    tf.get_variable("flag", [], dtype=tf.bool)
    tf.Variable(3.0)
    tf.Variable(4.0)
    tf.get_variable("reg", [2], regularizer=lambda x: tf.nn.l2_loss(x), initializer=tf.ones_initializer())
    tf.train.get_or_create_global_step()
    tf.global_variables_initializer()
    tf.local_variables_initializer()
    tf.variables_initializer([])
    tf.report_uninitialized_variables()


@each(**BOTH)
def assigns(resource):
    use(resource)
    v = tf.get_variable("v", initializer=[1.0, 2.0])
    n = tf.get_variable("n", [], dtype=tf.int64, initializer=tf.zeros_initializer())
    v.assign([3.0, 4.0])
    x = tf.constant([0.5, 0.25])
    add = v.assign_add(x, name="more")
    tf.identity(add)
    v.assign_sub(x, read_value=False)
    with tf.control_dependencies([add]):
        v.read_value()
    n.assign_add(1)
    tf.assign_add(n, 2)
    v * 2.0


@program
def dependent_initial_values():
    use(False)
    a = tf.get_variable("a", initializer=[1.0, 2.0])
    tf.Variable(a * 2.0, name="b")
    tf.Variable(lambda: tf.square(a), name="c")


@each(**BOTH)
def moving_average(resource):
    use(resource)
    v = tf.get_variable("v", initializer=[10.0, 10.0])
    w = tf.get_variable("w", initializer=[10.0, 10.0])
    x = holder("x", [2])
    a = moving_averages.assign_moving_average(v, x, 0.9, zero_debias=False)
    b = moving_averages.assign_moving_average(w, x, 0.9)
    tf.group(a, b, name="train")
    return run(3, [{"x:0": [4.0, 2.0]}] * 3)


# optimizers

W = np.array([[0.5, -1.0, 0.25], [1.5, 0.75, -0.5]], np.float32)
T = np.linspace(-1, 1, 12).reshape(6, 2).astype(np.float32)
IDS = [[0, 3, 3], [5, 1, 0], [2, 2, 2], [4, 0, 1], [3, 5, 5]]

OPTIMIZERS = {
    "gradient_descent": lambda: tf.train.GradientDescentOptimizer(0.1),
    "momentum": lambda: tf.train.MomentumOptimizer(0.1, 0.9),
    "nesterov": lambda: tf.train.MomentumOptimizer(0.1, 0.9, use_nesterov=True),
    "adam": lambda: tf.train.AdamOptimizer(0.1),
    "rmsprop": lambda: tf.train.RMSPropOptimizer(0.1, momentum=0.5),
    "centered": lambda: tf.train.RMSPropOptimizer(0.1, momentum=0.5, centered=True),
    "adagrad": lambda: tf.train.AdagradOptimizer(0.1),
    "adadelta": lambda: tf.train.AdadeltaOptimizer(0.5),
    "ftrl": lambda: tf.train.FtrlOptimizer(0.1, l1_regularization_strength=0.01, l2_regularization_strength=0.02),
    "shrinkage": lambda: tf.train.FtrlOptimizer(0.1, l2_shrinkage_regularization_strength=0.05, beta=0.1),
}


@each(**{f"{name}_{kind}": {"name": name, **BOTH[kind]} for name in OPTIMIZERS for kind in BOTH})
def optimizer(name, resource):
    use(resource)
    w = tf.get_variable("w", initializer=W)
    table = tf.get_variable("table", initializer=T)
    x = holder("x", [None, 2])
    ids = holder("ids", [3], tf.int32)
    rows = tf.gather(table, ids)
    loss = tf.add(tf.reduce_mean(tf.square(tf.matmul(x, w))), tf.reduce_sum(tf.square(rows)), name="loss")
    step = tf.train.get_or_create_global_step()
    tf.group(OPTIMIZERS[name]().minimize(loss, global_step=step), name="train")
    tf.global_variables_initializer()
    rng = np.random.RandomState(7)
    feeds = [{"x:0": rng.randn(4, 2).round(3).tolist(), "ids:0": i} for i in IDS]
    return run(5, feeds, ["loss:0"])


@program
def two_optimizers():
    use(False)
    w = tf.get_variable("w", initializer=[1.0, 2.0])
    r = tf.get_variable("r", initializer=[3.0, 4.0], use_resource=True)
    loss = tf.reduce_sum(tf.square(w) * r)
    tf.train.AdamOptimizer().minimize(loss)
    tf.train.AdamOptimizer(name="Second").minimize(loss, var_list=[w])
    tf.train.AdamOptimizer().minimize(loss)


@program
def clipped():
    use(True)
    w = tf.get_variable("w", initializer=W)
    table = tf.get_variable("table", initializer=T)
    loss = tf.add(tf.reduce_sum(tf.square(w)), tf.reduce_sum(tf.gather(table, [0, 3, 3])), name="loss")
    opt = tf.train.MomentumOptimizer(tf.constant(0.1), 0.9)
    grads, variables = zip(*opt.compute_gradients(loss))
    grads, _ = tf.clip_by_global_norm(grads, 0.5)
    grads = [tf.clip_by_norm(g, 0.3) if not isinstance(g, tf.IndexedSlices) else g for g in grads]
    grads = [tf.clip_by_value(g, -0.1, 0.1) if not isinstance(g, tf.IndexedSlices) else g for g in grads]
    tf.group(opt.apply_gradients(zip(grads, variables)), name="train")
    return run(3, [{}] * 3, ["loss:0"])


@program
def clips():
    x = holder("x", [3])
    y = holder("y", [None, 2])
    tf.clip_by_value(x, -1.0, 1.0, name="a")
    tf.clip_by_norm(y, 2.0, axes=[1], name="b")
    tf.clip_by_norm(x, 2.0, name="c")
    tf.global_norm([x, None, y])
    out, _ = tf.clip_by_global_norm([x, None, y], 1.0)
    tf.identity(out[0], name="d")
    feeds = {"x:0": [3.0, -4.0, 0.5], "y:0": [[3.0, 4.0], [0.1, 0.2]]}
    return run(1, [feeds], ["a:0", "b:0", "c:0", "d:0", "global_norm/global_norm:0"])


@program
def schedules():
    use(False)
    step = holder("step", [], tf.int64)
    outs = [
        tf.train.exponential_decay(0.1, step, 10, 0.5),
        tf.train.exponential_decay(0.1, step, 10, 0.5, staircase=True),
        tf.train.piecewise_constant(step, [5, 15], [1.0, 0.1, 0.01]),
        tf.train.polynomial_decay(0.1, step, 10, 0.01, power=2.0),
        tf.train.polynomial_decay(0.1, step, 10, 0.01, cycle=True),
        tf.train.inverse_time_decay(0.1, step, 10, 0.5),
        tf.train.inverse_time_decay(0.1, step, 10, 0.5, staircase=True),
        tf.train.natural_exp_decay(0.1, step, 10, 0.5),
        tf.train.cosine_decay(0.1, step, 20, alpha=0.1),
    ]
    outs = [tf.identity(x, name=f"out{i}") for i, x in enumerate(outs)]
    return run(5, [{"step:0": i} for i in (0, 3, 10, 17, 40)], [x.name for x in outs])


# layers and losses


@each(**BOTH)
def layers(resource):
    use(resource)
    tf.set_random_seed(42)
    x = holder("x", [None, 8, 8, 3])
    y = convolutional.conv2d(x, 4, 3, activation=tf.nn.relu, kernel_regularizer=regularizers.l2(0.01))
    y = convolutional.conv2d(y, 4, (3, 3), strides=2, padding="same", use_bias=False)
    y = convolutional.conv2d(y, 6, 3, dilation_rate=2, padding="same", name="dilated")
    y = convolutional.separable_conv2d(y, 4, 3, padding="same", depth_multiplier=2)
    y = convolutional.conv2d_transpose(y, 2, 3, strides=2, padding="same")
    y = pooling.max_pooling2d(y, 2, 2)
    y = pooling.average_pooling2d(y, 2, 1, padding="same")
    y = core.dropout(y, 0.5, training=True, seed=1)
    y = core.dropout(y, 0.5)
    z = core.dense(y, 3, activation=tf.nn.tanh)
    f = core.flatten(z)
    z = core.dense(f, 3, name="head", bias_regularizer=regularizers.l1(0.02))
    z = z + core.dense(f, 3, name="head", reuse=True)
    with tf.variable_scope("scope"):
        z = core.dense(z, 2)
    tf.losses.sparse_softmax_cross_entropy(holder("labels", [None], tf.int32), z)
    tf.losses.get_total_loss()
    tf.global_variables_initializer()
    return run(0)


@program
def losses():
    x = holder("x", [None, 3])
    y = holder("y", [None, 3])
    ids = holder("ids", [None], tf.int32)
    a = tf.losses.mean_squared_error(y, x)
    b = tf.losses.softmax_cross_entropy(y, x, label_smoothing=0.1)
    c = tf.losses.softmax_cross_entropy(y, x, weights=0.5)
    d = tf.losses.sparse_softmax_cross_entropy(ids, x, reduction=tf.losses.Reduction.SUM)
    total = tf.losses.get_total_loss()
    tf.gradients(total, x)
    feeds = {"x:0": [[1.0, 2.0, 0.5], [0.1, -1.0, 3.0]], "y:0": [[0.0, 1.0, 0.0], [1.0, 0.0, 0.0]], "ids:0": [1, 2]}
    return run(1, [feeds], [a.name, b.name, c.name, d.name, total.name])


# batch normalization

X4 = np.array([1, 2, 3, 6], np.float32).reshape(4, 1, 1, 1)
RNG = np.random.RandomState(3)
XN = [RNG.randn(4, 2, 2, 3).round(2).astype(np.float32) for _ in range(3)]


def norm_feeds(shape=(4, 2, 2, 3), **more):
    return [{"x:0": x.reshape(shape).tolist(), **more} for x in XN]


def train_norm(y, resource=False):
    loss = tf.reduce_mean(tf.square(y - 1.0), name="loss")
    updates = tf.get_collection(tf.GraphKeys.UPDATE_OPS)
    with tf.control_dependencies(updates):
        step = tf.train.GradientDescentOptimizer(0.1).minimize(loss)
    tf.group(step, name="train")
    tf.identity(y, name="y")
    tf.global_variables_initializer()


@each(**BOTH)
def norm_fused(resource):
    use(resource)
    train_norm(batch_normalization(holder("x", [None, 2, 2, 3]), training=True))
    return run(3, norm_feeds(), ["y:0"])


@each(**BOTH)
def norm_unfused(resource):
    use(resource)
    train_norm(batch_normalization(holder("x", [None, 2, 2, 3]), training=True, fused=False))
    return run(3, norm_feeds(), ["y:0"])


@each(**BOTH)
def norm_rank2(resource):
    use(resource)
    train_norm(batch_normalization(holder("x", [None, 3]), training=True, momentum=0.9, epsilon=1e-5))
    return run(3, norm_feeds((16, 3)), ["y:0"])


@each(**BOTH)
def norm_placeholder(resource):
    use(resource)
    flag = holder("training", [], tf.bool)
    y = batch_normalization(holder("x", [None, 2, 2, 3]), training=flag)
    y = batch_normalization(y, training=flag, fused=False)
    train_norm(y)
    feeds = norm_feeds()
    for f, on in zip(feeds, (True, False, True)):
        f["training:0"] = on
    return run(3, feeds, ["y:0"])


@each(**BOTH)
def norm_inference(resource):
    use(resource)
    x = holder("x", [None, 2, 2, 3])
    y = batch_normalization(x)
    batch_normalization(y, fused=False, center=False)
    tf.identity(y, name="y")
    return run(1, norm_feeds()[:1], ["y:0"])


@program
def norm_parts():
    use(False)
    x = holder("x", [None, 2, 2, 3])
    a = batch_normalization(x, center=False, training=True)
    b = batch_normalization(x, scale=False, training=True, name="noscale")
    c = batch_normalization(x, axis=1, training=True, name="channels_first", fused=False)
    d = batch_normalization(x, axis=[1, 3], training=True, name="multi", fused=False)
    e = batch_normalization(x, center=False, scale=False, fused=False, training=True)
    train_norm(a + b + c + d + e)
    return run(3, norm_feeds(), ["y:0"])


@program
def norm_reused():
    use(False)
    a, b = holder("a", [None, 2, 2, 3]), holder("b", [None, 2, 2, 3])

    def d(x, reuse=None):
        with tf.variable_scope("d", reuse=reuse):
            return batch_normalization(x, training=True, name="bn")

    d(a)
    d(b, reuse=True)


@program
def norm_frozen():
    use(False)
    y = batch_normalization(holder("x", [None, 1, 1, 1]), training=True, trainable=False)
    tf.identity(y, name="y")
    return run(1, [{"x:0": X4.tolist()}], ["y:0"])


@each(**{"fused": {"fused": None}, "unfused": {"fused": False}})
def bessel(fused):
    use(False)
    y = batch_normalization(holder("x", [None, 1, 1, 1]), training=True, fused=fused)
    tf.group(*tf.get_collection(tf.GraphKeys.UPDATE_OPS), name="train")
    tf.identity(y, name="y")
    return run(1, [{"x:0": X4.tolist()}], ["y:0"])


# savers


@each(**BOTH)
def savers(resource):
    use(resource)
    b = tf.get_variable("b", initializer=[1.0, 2.0])
    a = tf.get_variable("a", [2, 3], initializer=tf.zeros_initializer())
    tf.train.get_or_create_global_step()
    tf.train.Saver()
    tf.train.Saver({"other": a, "b": b}, max_to_keep=2)
    tf.train.Saver([a], reshape=True, name="named")


@program
def saver_mixed():
    use(False)
    w = tf.get_variable("w", [2], initializer=tf.zeros_initializer())
    r = tf.get_variable("r", [2], initializer=tf.zeros_initializer(), use_resource=True)
    loss = tf.reduce_sum(tf.multiply(w, r))
    step = tf.train.get_or_create_global_step()
    tf.train.AdamOptimizer().minimize(loss, global_step=step)
    tf.train.Saver()
    tf.global_variables_initializer()


def element(value):
    a = np.asarray(value)
    return {"dtype": a.dtype.name, "shape": list(a.shape), "values": a.reshape(-1).tolist()}


def values_of(graph, spec):
    variables = [v for v in tf.global_variables() if v.dtype.base_dtype != tf.string]
    with tf.Session(graph=graph) as session:
        session.run([v.initializer for v in variables])
        steps = [{v.op.name: element(x) for v, x in zip(variables, session.run(variables))}]
        fetched = []
        train = [graph.get_operation_by_name("train")] if "train" in {o.name for o in graph.get_operations()} else []
        for feed in spec["feeds"][: spec["steps"]]:
            # one after the other: within one run a read of a variable may see the update or not
            fetched.append([element(x) for x in session.run(spec["fetches"], feed)])
            session.run(train, feed)
            steps.append({v.op.name: element(x) for v, x in zip(variables, session.run(variables))})
    return {"feeds": spec["feeds"], "fetches": spec["fetches"], "fetched": fetched, "variables": steps}


def collections_of(graph):
    """Names in each collection that TensorFlow gives items with names."""
    out = {}
    for key in graph.get_all_collection_keys():
        items = graph.get_collection(key)
        if isinstance(key, str) and all(hasattr(x, "name") for x in items):
            out[key] = [x.name for x in items]
    return out


def write(programs, out, command, **facts):
    """Goldens of `programs`, functions by name, into the folder `out`."""
    out.mkdir(parents=True, exist_ok=True)
    for old in out.glob("*.pb.gz"):
        old.unlink()
    values, files = {}, []
    for name, build in programs.items():
        graph = tf.Graph()
        with graph.as_default():
            tf.get_variable_scope()
            spec = build()
            collections = collections_of(graph)
            data = graph.as_graph_def().SerializeToString(deterministic=True)
            definitions = [v.to_proto().SerializeToString(deterministic=True).hex() for v in tf.global_variables()]
            values[name] = {"collections": collections, "variableDefs": definitions}
            if spec is not None:
                values[name]["run"] = values_of(graph, spec)
        (out / f"{name}.pb.gz").write_bytes(gzip.compress(data, mtime=0))
        files.append(f"{name}.pb.gz")
    (out / "values.json.gz").write_bytes(gzip.compress(json.dumps(values).encode(), mtime=0))
    import tensorflow

    manifest = {
        "tensorflow": tensorflow.__version__,
        "command": f"python tools/goldens/{command}",
        **facts,
        "files": [*files, "values.json.gz"],
    }
    (out / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n")


if __name__ == "__main__":
    write(
        PROGRAMS,
        OUT,
        "programs.py",
        note="layers: tensorflow.python.keras.legacy_tf_layers; batch normalization rebuilt on its base layer after TF 1.15",
    )

"""Graphs to freeze, fold and repair, and what TensorFlow computes with them: every row of the table of foldings, and the traps of freezing.

    python tools/goldens/transform.py        (PYTHONPATH with tf_keras 2.21 for the layers of TF 1)

Writes tests/goldens/transform/: NAME.pb (GraphDef), NAME.meta where variables are still variables, and manifest.json: feeds and outputs of
each, values of variables, and the nodes that TensorFlow's own folder makes. Needs tensorflow 2.21.
"""

import base64
import json
import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
os.environ.setdefault("TF_DETERMINISTIC_OPS", "1")

import numpy as np
import tensorflow as tf2
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2
from tensorflow.python.tools import optimize_for_inference_lib

tf = tf2.compat.v1
OUT = Path(__file__).resolve().parents[2] / "tests" / "goldens" / "transform"
CASES = {}
rng = np.random.default_rng(7)


def case(fn):
    CASES[fn.__name__] = fn
    return fn


def variable(name, shape, low=-0.5, high=0.5):
    return tf.get_variable(name, initializer=tf.constant(rng.uniform(low, high, shape).astype(np.float32)))


def norm_variables(channels):
    return (variable("gamma", [channels], 0.5, 2.0), variable("beta", [channels]),
            variable("moving_mean", [channels]), variable("moving_variance", [channels], 0.2, 2.0))


def fused(x, channels, scope="bn", version=3, data_format="NHWC", is_training=False):
    """A fused normalization on variables; version 1, 2 or 3 of the op."""
    with tf.variable_scope(scope):
        gamma, beta, mean, variance = norm_variables(channels)
        op = {1: tf.raw_ops.FusedBatchNorm, 2: tf.raw_ops.FusedBatchNormV2, 3: tf.raw_ops.FusedBatchNormV3}[version]
        return op(x=x, scale=gamma, offset=beta, mean=mean, variance=variance, epsilon=0.001,
                  is_training=is_training, data_format=data_format, name="FusedBatchNorm").y


def loose(x, channels, scope="bn"):
    with tf.variable_scope(scope):
        gamma, beta, mean, variance = norm_variables(channels)
        return tf.nn.batch_normalization(x, mean, variance, beta, gamma, 0.001)


def images(channels=3, shape=(6, 6)):
    return tf.placeholder(tf.float32, [None, *shape, channels], name="x")


def conv(x, filters, name="conv", strides=1, padding="SAME", size=3):
    w = variable(name + "/kernel", [size, size, x.shape[-1], filters])
    return tf.nn.conv2d(x, w, strides=strides, padding=padding, name=name + "/Conv2D")


def out(x, name="out"):
    return tf.identity(tf.nn.relu(x), name=name)


@case
def conv_bn():
    out(fused(conv(images(), 4), 4))


@case
def conv_bias_bn():
    y = tf.nn.bias_add(conv(images(), 4), variable("conv/bias", [4]))
    out(fused(y, 4))


@case
def depthwise_bn():
    x = images()
    w = variable("depthwise/kernel", [3, 3, 3, 2])
    out(fused(tf.nn.depthwise_conv2d(x, w, [1, 1, 1, 1], "SAME", name="depthwise"), 6))


@case
def second_consumer():
    y = conv(images(), 4)
    out(fused(y, 4))
    out(y, "out2")


@case
def shared_weights():
    w = variable("kernel", [3, 3, 3, 4])
    x = images()
    y = tf.nn.conv2d(x, w, 1, "SAME")
    z = tf.nn.conv2d(x + 1.0, w, 1, "VALID")
    out(fused(y, 4, "bn1"))
    out(fused(z, 4, "bn2"), "out2")


@case
def two_norms():
    y = conv(images(), 4)
    out(fused(y, 4, "bn1"))
    out(fused(y, 4, "bn2"), "out2")


@case
def bias_second_consumer():
    y = tf.nn.bias_add(conv(images(), 4), variable("conv/bias", [4]))
    out(fused(y, 4))
    out(y, "out2")


@case
def version_1():
    out(fused(conv(images(), 4), 4, version=1))


@case
def version_2():
    out(fused(conv(images(), 4), 4, version=2))


@case
def small_ops():
    out(loose(conv(images(), 4), 4))


@case
def matmul_bn():
    x = tf.placeholder(tf.float32, [None, 5], name="x")
    out(loose(tf.matmul(x, variable("dense/kernel", [5, 4]), name="dense/MatMul"), 4))


@case
def matmul_fused():
    """slim's fused normalization of vectors."""
    x = tf.placeholder(tf.float32, [None, 5], name="x")
    y = tf.matmul(x, variable("dense/kernel", [4, 5]), transpose_b=True)
    z = fused(tf.reshape(y, [-1, 1, 1, 4]), 4)
    out(tf.reshape(z, [-1, 4]))


@case
def transposed_bn():
    x = tf.placeholder(tf.float32, [2, 4, 4, 3], name="x")
    w = variable("up/kernel", [3, 3, 4, 3])
    y = tf.nn.conv2d_transpose(x, w, [2, 8, 8, 4], strides=2, padding="SAME", name="up")
    out(fused(y, 4))


@case
def bn_conv_valid():
    out(conv(fused(images(), 3), 4, padding="VALID"))


@case
def bn_conv_same():
    out(conv(fused(images(), 3), 4))


@case
def bn_conv_same_dead_channel():
    x = images()
    with tf.variable_scope("bn"):
        gamma = tf.get_variable("gamma", initializer=tf.constant([1.5, 0.0, 0.5]))
        beta, mean, variance = variable("beta", [3]), variable("moving_mean", [3]), variable("moving_variance", [3], 0.2, 2)
        y = tf.nn.fused_batch_norm(x, gamma, beta, mean, variance, is_training=False)[0]
    out(conv(y, 4))


@case
def bn_matmul():
    x = tf.placeholder(tf.float32, [None, 5], name="x")
    out(tf.matmul(loose(x, 5), variable("dense/kernel", [5, 4]), name="dense/MatMul"))


@case
def check_numerics():
    y = tf.debugging.check_numerics(conv(images(), 4), "conv")
    out(fused(y, 4))


@case
def all_checks():
    """add_check_numerics_ops: a check behind every op, all awaited by the output."""
    y = fused(conv(images(), 4), 4)
    with tf.control_dependencies([tf.add_check_numerics_ops()]):
        out(y)


@case
def identity_weights():
    w = tf.identity(tf.identity(variable("kernel", [3, 3, 3, 4]), name="a"), name="b")
    out(fused(tf.nn.conv2d(images(), w, 1, "SAME", name="conv"), 4))


@case
def channels_first():
    """NCHW, which TensorFlow runs on this machine only with oneDNN."""
    x = tf.placeholder(tf.float32, [None, 3, 6, 6], name="x")
    w = variable("kernel", [3, 3, 3, 4])
    y = tf.nn.conv2d(x, w, 1, "VALID", data_format="NCHW", name="conv")
    out(fused(y, 4, data_format="NCHW"))


@case
def is_training():
    out(fused(conv(images(), 4), 4, is_training=True))


@case
def statistics_taken():
    y = conv(images(), 4)
    with tf.variable_scope("bn"):
        gamma, beta, mean, variance = norm_variables(4)
        y, batch_mean, _ = tf.nn.fused_batch_norm(y, gamma, beta, mean, variance, is_training=False)
    out(y)
    tf.identity(batch_mean, name="out2")


def layer(x, training, is_fused):
    try:
        from tf_keras.src.legacy_tf_layers import normalization
    except ModuleNotFoundError:  # a checkout of its sources
        from tf_keras.legacy_tf_layers import normalization
    return normalization.batch_normalization(x, training=training, fused=is_fused, momentum=0.9, name="bn")


@case
def placeholder_flag():
    flag = tf.placeholder_with_default(False, [], name="is_training")
    out(layer(conv(images(), 4), flag, True))


@case
def placeholder_flag_small_ops():
    flag = tf.placeholder(tf.bool, [], name="is_training")
    out(layer(conv(images(), 4), flag, False))


@case
def placeholder_flag_functions():
    """The same with the conditional as functions (If), as TensorFlow 2 writes it."""
    flag = tf.placeholder_with_default(False, [], name="is_training")
    out(layer(conv(images(), 4), flag, True))


@case
def layer_training():
    """A layer that was built with training=True; its update ops stand beside."""
    out(layer(conv(images(), 4), True, True))


@case
def layer_training_small_ops():
    out(layer(conv(images(), 4), True, False))


@case
def update_ops_awaited():
    """The output waits for the update ops: freezing it gives AssignSub on a Const."""
    y = layer(conv(images(), 4), True, True)
    with tf.control_dependencies(tf.get_collection(tf.GraphKeys.UPDATE_OPS)):
        out(y)


@case
def dropout():
    """Three generations of dropout, each behind a product."""
    x = tf.placeholder(tf.float32, [None, 5], name="x")
    tf.set_random_seed(1)
    y = tf.nn.dropout(x * 1.5, rate=0.4, name="first")
    keep, uniform = tf.constant(0.75, name="keep"), tf.random_uniform([2, 5], name="uniform")
    y = tf.multiply(y * (1 / 0.75), tf.cast(uniform >= 0.25, tf.float32), name="second")
    z = tf.multiply(tf.divide(y, keep), tf.floor(keep + uniform), name="third")
    tf.identity(z, name="out")


def set_up(sess):
    """Statistics and weights other than the initial ones, which would hide mistakes."""
    sess.run(tf.global_variables_initializer())
    for v in tf.global_variables():
        if v.op.name.startswith("bn/") and np.ptp(sess.run(v)) == 0:
            low = 0.3 if v.op.name.endswith(("variance", "gamma")) else -0.5
            v.load(rng.uniform(low, low + 1.5, v.shape.as_list()).astype(np.float32), sess)


def encode(a):
    a = np.asarray(a)
    return {"dtype": a.dtype.name, "shape": list(a.shape), "data": base64.b64encode(a.tobytes()).decode()}


def feeds_of(graph):
    feeds = {}
    for op in graph.get_operations():
        if op.type != "Placeholder":
            continue
        shape = [2 if d is None else d for d in op.outputs[0].shape.as_list()]
        if op.outputs[0].dtype == tf.bool:
            feeds[op.name + ":0"] = np.array(False)
        else:
            feeds[op.name + ":0"] = rng.uniform(-1, 1, shape).astype(np.float32)
    return feeds


def is_variable(node):
    return node.op in ("VariableV2", "VarHandleOp", "Variable")


# graphs that TensorFlow folds rightly: its nodes are compared with ours
COMPARED = ["conv_bn", "conv_bias_bn", "depthwise_bn", "identity_weights", "version_1"]
TRAINED = ["is_training", "layer_training", "layer_training_small_ops", "update_ops_awaited", "placeholder_flag",
           "placeholder_flag_small_ops", "placeholder_flag_functions"]


def make(name, build, resource=False):
    with tf.Graph().as_default() as graph, tf.Session() as sess:
        (tf.enable_control_flow_v2 if name.endswith("functions") else tf.disable_control_flow_v2)()
        with tf.variable_scope("", use_resource=resource):
            build()
        set_up(sess)
        outputs = [n for n in ("out", "out2") if n in {op.name for op in graph.get_operations()}]
        feeds = feeds_of(graph)
        entry = {"outputs": outputs}
        results = sess.run([n + ":0" for n in outputs], feeds)
        entry["feeds"] = {k: encode(v) for k, v in feeds.items()}
        entry["results"] = [encode(r) for r in results]
        frozen = tf.graph_util.convert_variables_to_constants(sess, graph.as_graph_def(), outputs)
        (OUT / f"{name}.pb").write_bytes(frozen.SerializeToString(deterministic=True))
        if name in TRAINED:
            values = {v.op.name: sess.run(v) for v in tf.global_variables()}
            entry["variables"] = {k: encode(v) for k, v in values.items()}
            (OUT / f"{name}.graph.pb").write_bytes(graph.as_graph_def().SerializeToString(deterministic=True))
            if name != "is_training":
                entry["inference"] = encode(inference(values, feeds["x:0"]))
        if name == "dropout":
            entry["inference"] = encode(feeds["x:0"] * np.float32(1.5))
        entry["folded"] = their_folding(name, frozen, outputs)
        return entry


def inference(values, x):
    """What the network computes with its moving statistics."""
    y = tf2.nn.conv2d(x, values["conv/kernel"], 1, "SAME")
    y = tf2.nn.batch_normalization(y, values["bn/moving_mean"], values["bn/moving_variance"], values["bn/beta"],
                                   values["bn/gamma"], 0.001)
    with tf.Session(graph=y.graph) as s:
        return s.run(tf2.nn.relu(y))


def their_folding(name, frozen, outputs):
    """Nodes that TensorFlow's folder makes, or its error."""
    try:
        folded = optimize_for_inference_lib.optimize_for_inference(frozen, ["x"], outputs, tf.float32.as_datatype_enum)
        if name in COMPARED:
            return [[n.name, n.op, list(n.input)] for n in folded.node]
        made = [n.name for n in folded.node if n.name.endswith("_weights")]
        return f"folds {', '.join(made)}" if made else "leaves it alone"
    except Exception as e:
        return f"{type(e).__name__}: {e}"


def keras_model():
    """A model of Keras 3, frozen as TF 2 freezes."""
    tf2.keras.utils.set_random_seed(3)
    layers = tf2.keras.layers
    model = tf2.keras.Sequential([
        tf2.keras.Input((8, 8, 3)), layers.Conv2D(4, 3, padding="same"), layers.BatchNormalization(), layers.ReLU(),
        layers.DepthwiseConv2D(3, use_bias=False), layers.BatchNormalization(scale=False),
        layers.Conv2DTranspose(3, 2, strides=2), layers.BatchNormalization(center=False), layers.Flatten(),
        layers.Dense(4), layers.BatchNormalization(), layers.Dense(2)])
    for i, v in enumerate(model.variables):
        if "seed" not in v.path:
            v.assign(np.random.default_rng(i).uniform(0.2 if "variance" in v.path or "gamma" in v.path else -0.5, 1.0, v.shape))
    return model


def make_keras():
    model = keras_model()
    traced = tf2.function(lambda x: model(x, training=False))
    concrete = traced.get_concrete_function(tf2.TensorSpec([2, 8, 8, 3], tf2.float32, name="x"))
    frozen = convert_variables_to_constants_v2(concrete)
    x = rng.uniform(-1, 1, [2, 8, 8, 3]).astype(np.float32)
    (OUT / "keras3.pb").write_bytes(frozen.graph.as_graph_def().SerializeToString(deterministic=True))
    name = frozen.outputs[0].op.name
    return {"outputs": [name], "feeds": {"x:0": encode(x)}, "results": [encode(model(x, training=False).numpy())],
            "folded": their_folding("keras3", frozen.graph.as_graph_def(), [name])}


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    manifest = {"by": f"tensorflow {tf2.__version__}", "command": "python tools/goldens/transform.py"}
    keras = make_keras()
    tf.disable_eager_execution()
    cases = {}
    for name, build in CASES.items():
        cases[name] = make(name, build, resource=name in ("small_ops", "placeholder_flag_small_ops"))
    cases["keras3"] = keras
    manifest["cases"] = cases
    (OUT / "manifest.json").write_text(json.dumps(manifest, separators=(",", ":")) + "\n")
    for name, entry in cases.items():
        folded = entry["folded"]
        print(name, folded if isinstance(folded, str) else "compared")


if __name__ == "__main__":
    main()

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

import tensorflow.compat.v1 as tf
from google.protobuf import text_format
from tensorflow.core.framework import graph_pb2
from tensorflow.python.framework import function

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


@program
def cond_resource():
    """A resource variable that both branches read, and one that only one of them reads."""
    p, x = holder("p", [], tf.bool), holder("x", [2])
    v, u = (tf.raw_ops.VarHandleOp(dtype=tf.float32, shape=[2], shared_name=n, name=n) for n in "vu")

    def read(handle):
        return tf.raw_ops.ReadVariableOp(resource=handle, dtype=tf.float32)

    z = tf.cond(p, lambda: tf.multiply(x, read(v), name="mul"), lambda: tf.add(read(v), read(u), name="add"))
    tf.gradients(z, [v, u])


@program
def cond_reference():
    """A reference variable, assigned in one branch and read in the other; ops as results."""
    p = holder("p", [], tf.bool)
    w = tf.raw_ops.VariableV2(shape=[2], dtype=tf.float32, name="w")
    tf.cond(p, lambda: tf.assign(w, [1.0, 2.0], name="Assign"), lambda: w)
    tf.cond(p, lambda: tf.assign(w, [3.0, 4.0], name="Assign").op, tf.no_op)


@program
def cond_embedding():
    """Rows of a table that only one branch gathers from."""
    p, table, ids = holder("p", [], tf.bool), holder("table", [10, 4]), holder("ids", [3], tf.int32)
    z = tf.cond(p, lambda: tf.gather(table, ids), lambda: tf.zeros([3, 4]))
    tf.gradients(z, table)


def encode(message):
    return message.SerializeToString(deterministic=True)


def build(fn):
    graph = tf.Graph()
    with graph.as_default():
        fn()
    return graph


def while_loop():
    with tf.device("/job:worker/task:1"):
        x = holder("x", [None, 2])
        tf.while_loop(lambda i, v: i < 10, lambda i, v: (i + 1, v * 2.0), [tf.constant(0), x])


def library():
    """A graph that calls functions, one with a gradient function."""

    @function.Defun(tf.float32, func_name="twice")
    def twice(x):
        return x + x

    @function.Defun(tf.float32, tf.float32, func_name="cube_grad")
    def cube_grad(x, dy):
        return 3.0 * x * x * dy

    @function.Defun(tf.float32, func_name="cube", grad_func=cube_grad)
    def cube(x):
        return x * x * x

    cube(twice(holder("x", [2])))


def trained_model():
    """A MetaGraph with both kinds of variables, batch norm behind a placeholder, a train op, a saver and collections of all kinds."""
    graph = tf.Graph()
    with graph.as_default():
        x, training = holder("x", [None, 4, 4, 1]), tf.placeholder_with_default(False, [], name="training")
        with tf.variable_scope("ref", use_resource=False):
            w = tf.get_variable("w", [3, 3, 1, 2], initializer=tf.zeros_initializer())
        y = tf.nn.conv2d(x, w, strides=[1, 1, 1, 1], padding="SAME")
        with tf.variable_scope("bn", use_resource=True):
            scale = tf.get_variable("gamma", [2], initializer=tf.ones_initializer())
            mean = tf.get_variable("moving_mean", [2], initializer=tf.zeros_initializer(), trainable=False)
        bn = tf.cond(
            training,
            lambda: tf.nn.fused_batch_norm(y, scale, tf.zeros([2]), is_training=True)[0],
            lambda: tf.nn.fused_batch_norm(y, scale, tf.zeros([2]), mean=mean, variance=tf.ones([2]), is_training=False)[0],
        )
        loss = tf.reduce_mean(tf.square(bn), name="loss")
        step = tf.train.get_or_create_global_step()
        with tf.name_scope("sgd"):
            dw, ds = tf.gradients(loss, [w, scale])
            train = tf.group(tf.assign_sub(w, 0.1 * dw), tf.assign_sub(scale, 0.1 * ds), tf.assign_add(step, 1), name="train_op")
        tf.add_to_collection("train_op", train)
        tf.add_to_collection("losses", loss)
        tf.add_to_collection("layers", 3)
        tf.add_to_collection("rates", 0.5)
        tf.add_to_collection("rates", 2.0)
        tf.add_to_collection("notes", "made by TensorFlow")
        tf.add_to_collection(tf.GraphKeys.SAVERS, tf.train.Saver())
        return tf.train.export_meta_graph(saver_def=tf.get_collection(tf.GraphKeys.SAVERS)[0].as_saver_def())


def strange_text():
    """Everything that text format spells in its own way."""
    graph = graph_pb2.GraphDef()
    node = graph.node.add(name="h", op="Strange", input=["a:1", "^b"], device="\u00e9\u4e2d\"'\\\n\x01")
    tensor = node.attr["b"].tensor
    tensor.dtype = 1
    tensor.tensor_shape.dim.add(size=16)
    tensor.float_val.extend([0.1, 1, -0.0, 0, 1e-5, 1e20, 1e16, 123456789, 3.4028235e38, 1e15, 1e-4, 1.5e-45, 0.00123])
    tensor.float_val.extend([float("inf"), float("-inf"), float("nan")])
    tensor.double_val.extend([0.1, 1, 1e300, 1e16, 1e17, 1e22, 1e-7, 123456.789, 0.000123456789])
    tensor.int_val.extend([-1, 2147483647])
    tensor.int64_val.extend([-(2**63), 2**63 - 1])
    tensor.uint64_val.append(2**64 - 1)
    tensor.string_val.extend([b"a\"b'c\\\n\t\r\x00\x01\xff\xc3\xa9 ?", b"\x7f", b""])
    tensor.bool_val.extend([True, False])
    node.attr["a"].list.SetInParent()
    node.attr["c"].list.type.extend([1, 101, 99])
    node.attr["d"].shape.unknown_rank = True
    node.attr["e"].type = 3
    node.attr["f"].func.name = "ff"
    node.attr["f"].func.attr["z"].i = -5
    node.attr["f"].func.attr["y"].placeholder = "T"
    node.experimental_type.type_id = 3
    node.experimental_type.args.add(type_id=1005)
    node.experimental_debug_info.original_node_names.append("before")
    for i, name in enumerate("ab"):
        graph.node.add(name=name, op="Strange").attr["i"].i = i
    graph.library.function.add().signature.name = "f"
    graph.library.function[0].arg_attr[2].attr["x"].b = True
    graph.library.function[0].ret["y"] = "z"
    graph.versions.producer = 27
    graph.versions.bad_consumers.append(3)
    return graph


def tensors():
    """One Const of every dtype, each as make_tensor_proto writes it: scalar, vector, filled and empty."""
    graph = tf.Graph()
    with graph.as_default():
        for dtype in DTYPES:
            values = VALUES.get(dtype.name, [0, 1, 2, 3, 100])
            tf.constant(values[1], dtype, name=f"{dtype.name}_scalar")
            tf.constant(values, dtype, name=f"{dtype.name}_vector")
            tf.constant(values[1], dtype, shape=[2, 3], name=f"{dtype.name}_filled")
            tf.constant([], dtype, shape=[0, 2], name=f"{dtype.name}_empty")
    return graph.as_graph_def()


DTYPES = [tf.float32, tf.float64, tf.float16, tf.bfloat16, tf.int8, tf.int16, tf.int32, tf.int64, tf.uint8, tf.uint16]
DTYPES += [tf.uint32, tf.uint64, tf.bool, tf.string, tf.complex64, tf.complex128]
FLOATS = [0.0, 1.5, -2.25, -0.0, float("inf"), float("-inf")]
VALUES = {name: FLOATS for name in ("float32", "float64", "float16", "bfloat16")}
VALUES |= {"bool": [False, True, True], "string": [b"", b"a\xff", b"bc"], "complex64": [0, 1.5 - 2j, 3j]}
VALUES |= {"complex128": [0, 1.5 - 2j, 3j], "int64": [0, -(2**63), 2**63 - 1], "uint64": [0, 2**64 - 1, 3]}


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

    for fn in (while_loop, library):
        write(f"{fn.__name__}.pb", encode(build(fn).as_graph_def()), "GraphDef")
    meta = trained_model()
    write("model.meta", encode(meta), "MetaGraphDef")
    write("model.meta.txt", text_format.MessageToString(meta).encode(), "the same as text")
    write("tensors.pb", encode(tensors()), "GraphDef")
    strange = strange_text()
    write("strange.pb", encode(strange), "GraphDef and the same as text")
    write("strange.pbtxt", text_format.MessageToString(strange).encode(), "text")

    manifest = {"tensorflow": tf.__version__, "command": "python tools/goldens/graph.py", "files": files}
    (OUT / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n")


if __name__ == "__main__":
    main()

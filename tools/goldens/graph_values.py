"""Writes tests/goldens/graph-values with real TensorFlow: python tools/goldens/graph_values.py

A net with a batch normalization, frozen (binary and text), and as a MetaGraph with its checkpoint.
"""

import base64
import json
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
import numpy as np  # noqa: E402
import tensorflow as tf2  # noqa: E402
from google.protobuf import text_format  # noqa: E402

tf = tf2.compat.v1
tf.disable_eager_execution()
OUT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "tests", "goldens", "graph-values")
X = np.linspace(-1, 1, 8, dtype=np.float32).reshape(2, 4)


def build():
    rng = np.random.RandomState(0)
    x = tf.placeholder(tf.float32, [None, 4], "x")

    def variable(name, value):
        return tf.get_variable(name, initializer=np.asarray(value, np.float32), use_resource=False)

    with tf.variable_scope("dense"):
        kernel, bias = variable("kernel", rng.randn(4, 3)), variable("bias", [1, 2, 3])
    with tf.variable_scope("bn"):
        gamma, beta = variable("gamma", [1, 1.5, 2]), variable("beta", [0, 0.5, 1])
        mean, variance = variable("moving_mean", [0.1, 0.2, 0.3]), variable("moving_variance", [1, 2, 3])
    h = tf.nn.bias_add(tf.matmul(x, kernel), bias)
    with tf.colocate_with(gamma.op):
        shift = tf.identity(gamma, "colocated")
    y = (h - mean) * tf.rsqrt(variance + 1e-3) * gamma + beta + 0.0 * shift
    return tf.identity(y, "y")


def truth(values):
    return {k: {"dtype": str(v.dtype), "shape": list(v.shape), "values": base64.b64encode(v.tobytes()).decode()} for k, v in values.items()}


def run(graph_def):
    with tf.Graph().as_default(), tf.Session() as s:
        tf.import_graph_def(graph_def, name="")
        return s.run("y:0", {"x:0": X}).ravel().tolist()


def main():
    os.makedirs(OUT, exist_ok=True)
    at = lambda name: os.path.join(OUT, name)
    with tf.Graph().as_default(), tf.Session() as s:
        build()
        s.run(tf.global_variables_initializer())
        values = {v.op.name: s.run(v) for v in tf.global_variables()}
        tf.train.Saver().save(s, at("net.ckpt"), write_state=False)
        frozen = tf.graph_util.convert_variables_to_constants(s, s.graph.as_graph_def(), ["y", "colocated"])
    with open(at("frozen.pb"), "wb") as f:
        f.write(frozen.SerializeToString())
    with open(at("frozen.pbtxt"), "w") as f:
        f.write(text_format.MessageToString(frozen))
    plain = tf.GraphDef()
    for name, value in {"a/scalar": np.int64(7), "b": np.arange(3, dtype=np.float16)}.items():
        node = plain.node.add(name=name, op="Const")
        node.attr["dtype"].type = tf.as_dtype(value.dtype).as_datatype_enum
        node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(value))
    with open(at("constants.pb"), "wb") as f:
        f.write(plain.SerializeToString())
    manifest = {"by": f"tensorflow {tf2.__version__}", "command": "python tools/goldens/graph_values.py", "tensors": truth(values), "x": X.ravel().tolist(), "y": run(frozen)}
    with open(at("manifest.json"), "w") as f:
        json.dump(manifest, f, indent=1)
        f.write("\n")


main()

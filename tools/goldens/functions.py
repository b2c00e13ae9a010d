"""Golden nodes of public functions: what tf.reduce_mean, tf.nn.softmax, ... add to a graph, names and all.

    python tools/goldens/functions.py

Writes tests/goldens/functions/. tests/conformance/functions.test.ts builds the same with ours. Needs tensorflow 2.21.
"""

import json
import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import tensorflow as tf

sys.path.insert(0, str(Path(__file__).parent))
from ops import dump, encode_node

OUT = Path(__file__).resolve().parents[2] / "tests" / "goldens" / "functions"
v1 = tf.compat.v1
f32, i32, f16, b = tf.float32, tf.int32, tf.float16, tf.bool
M = (f32, [2, 3])
U = (f32, [None, 3])
X3 = (f32, [2, 3, 4])

# title: (function, its placeholders)
PROGRAMS = {
    "mean of all": (tf.reduce_mean, [M]),
    "mean of a scalar": (tf.reduce_mean, [(f32, [])]),
    "mean of an unknown rank": (tf.reduce_mean, [(f32, None)]),
    "sum twice": (lambda x: (tf.reduce_sum(x, 0), tf.reduce_sum(x, [0, 1], keepdims=True)), [M]),
    "extremes": (lambda x: (tf.reduce_max(x, 1), tf.reduce_min(x), tf.reduce_prod(x, -1)), [U]),
    "truth": (lambda x: (tf.reduce_all(x, [1], keepdims=True), tf.reduce_any(x)), [(b, [2, 3])]),
    "logsumexp of all": (tf.reduce_logsumexp, [M]),
    "logsumexp of rows": (lambda x: tf.reduce_logsumexp(x, 1), [U]),
    "logsumexp with kept dims": (lambda x: tf.reduce_logsumexp(x, 1, keepdims=True), [U]),
    "variance": (tf.math.reduce_variance, [M]),
    "variance of complex numbers": (lambda x: tf.math.reduce_variance(x, 1), [(tf.complex64, [2, 3])]),
    "standard deviation": (lambda x: tf.math.reduce_std(x, 0), [M]),
    "argmax": (tf.argmax, [M]),
    "argmin to int32": (lambda x: tf.argmin(x, 1, output_type=i32), [M]),
    "cumsum": (tf.cumsum, [M]),
    "cumprod backward": (lambda x: tf.math.cumprod(x, 1, exclusive=True, reverse=True), [M]),
    "top k": (lambda x: tf.math.top_k(x, 2), [M]),
    "in top k": (lambda x, y: v1.nn.in_top_k(x, y, 2), [M, (i32, [2])]),
    "matmul": (lambda x, y: tf.matmul(x, y, transpose_a=True), [M, M]),
    "matmul of a batch": (lambda x, y: tf.matmul(x, y, transpose_b=True), [X3, X3]),
    "matmul of adjoints": (lambda x, y: tf.matmul(x, y, adjoint_a=True), [(tf.complex64, [2, 3])] * 2),
    "matmul with a literal": (lambda x: tf.matmul(x, [[1.0], [2.0], [3.0]]), [M]),
    "einsum": (lambda x, y: tf.einsum("ij , jk", x, y), [M, (f32, [3, 4])]),
    "softmax": (tf.nn.softmax, [M]),
    "softmax of a middle axis": (lambda x: tf.nn.softmax(x, axis=1), [X3]),
    "log softmax of an axis from the end": (lambda x: tf.nn.log_softmax(x, axis=-2), [X3]),
    "softmax of the first axis, named": (lambda x: tf.nn.softmax(x, axis=0, name="p"), [M]),
    "cross entropy": (lambda x, y: tf.nn.softmax_cross_entropy_with_logits(y, x), [M, M]),
    "cross entropy of an unknown batch": (lambda x, y: tf.nn.softmax_cross_entropy_with_logits(y, x), [U, U]),
    "cross entropy of a middle axis": (
        lambda x, y: tf.nn.softmax_cross_entropy_with_logits(y, x, axis=1), [X3, X3]),
    "cross entropy of float16": (lambda x, y: tf.nn.softmax_cross_entropy_with_logits(y, x), [(f16, [2, 3]), M]),
    "sparse cross entropy": (
        lambda x, y: tf.nn.sparse_softmax_cross_entropy_with_logits(y, x), [M, (i32, [2])]),
    "sparse cross entropy, named": (
        lambda x, y: tf.nn.sparse_softmax_cross_entropy_with_logits(y, x, name="xe"), [U, (i32, [None])]),
    "sparse cross entropy of three axes": (
        lambda x, y: tf.nn.sparse_softmax_cross_entropy_with_logits(y, x), [X3, (i32, [2, 3])]),
    "sparse cross entropy of three axes, unknown batch": (
        lambda x, y: tf.nn.sparse_softmax_cross_entropy_with_logits(y, x), [(f32, [None, 3, 4]), (i32, [None, 3])]),
    "sparse cross entropy of float16": (
        lambda x, y: tf.nn.sparse_softmax_cross_entropy_with_logits(y, x), [(f16, [2, 3]), (i32, [2])]),
    "logistic loss": (lambda x, y: tf.nn.sigmoid_cross_entropy_with_logits(y, x), [U, U]),
    "logistic loss of known shape": (lambda x, y: tf.nn.sigmoid_cross_entropy_with_logits(y, x), [M, M]),
    "bias": (lambda x, y: tf.nn.bias_add(x, y), [M, (f32, [3])]),
    "bias of channels first": (
        lambda x, y: tf.nn.bias_add(x, y, data_format="NCDHW"), [(f32, [2, 3, 1, 1, 1]), (f32, [3])]),
    "l2 loss": (tf.nn.l2_loss, [M]),
    "l2 normalization": (lambda x: tf.nn.l2_normalize(x, 1), [M]),
    "moments": (lambda x: tf.nn.moments(x, [0, 1]), [M]),
    "moments of float16, kept": (lambda x: tf.nn.moments(x, [0, 1], keepdims=True), [(f16, [2, 3])]),
    "local response normalization": (tf.nn.lrn, [(f32, [2, 3, 3, 3])]),
    "qr": (tf.linalg.qr, [M]),
    "difference of lists": (v1.setdiff1d, [(i32, [3]), (i32, [2])]),
    "gradients of equal sums": (
        lambda x: v1.gradients([tf.reduce_sum(x, 1), tf.reduce_mean(x, 1)], [x]), [M]),
    "gradient of a network's loss": (
        lambda x, w, c, y: v1.gradients(
            [tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(y, tf.nn.bias_add(tf.matmul(x, w), c)))],
            [w, c]),
        [U, (f32, [3, 4]), (f32, [4]), (i32, [None])]),
    "gradient of a cross entropy": (
        lambda x, y: v1.gradients(
            [tf.reduce_mean(tf.nn.softmax_cross_entropy_with_logits(tf.stop_gradient(y), x))], [x]), [U, U]),
    "gradient of moments": (
        lambda x: v1.gradients(list(tf.nn.moments(x, [0])), [x]), [U]),
}


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    rows = []
    for title, (function, holders) in PROGRAMS.items():
        with v1.Graph().as_default() as graph:
            xs = [v1.placeholder(dtype, shape, name=f"x{i}") for i, (dtype, shape) in enumerate(holders)]
            function(*xs)
            nodes = [encode_node(op) for op in graph.get_operations()[len(xs):]]
        inputs = [[dtype.name, shape] for dtype, shape in holders]
        rows.append(f"{json.dumps(title)}:{dump({'inputs': inputs, 'nodes': nodes})}")
    (OUT / "functions.json").write_text("{\n" + ",\n".join(rows) + "\n}\n")
    manifest = {"by": f"tensorflow {tf.__version__}", "command": "python tools/goldens/functions.py"}
    (OUT / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n")


if __name__ == "__main__":
    main()

"""Golden node names of the array functions: what tf.zeros, tf.transpose, tf.group, ... add to a graph.

    python tools/goldens/array_names.py

Writes tests/goldens/array-names/programs.json: for each program its nodes as "<op> <name> <- <inputs>". The same programs stand in
src/ops/array-names.test.ts. Needs tensorflow 2.21.
"""

import json
import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
import tensorflow as tf

v1 = tf.compat.v1
OUT = Path(__file__).resolve().parents[2] / "tests" / "goldens" / "array-names"


def p(*shape):
    return v1.placeholder(tf.float32, shape)


def any_rank():
    return v1.placeholder(tf.float32)


def zeros():
    tf.zeros([2, 3]), tf.zeros([2000]), tf.zeros(tf.shape(p(None, 3))), tf.zeros([1, tf.shape(p(None))[0]])
    tf.zeros([], tf.int32), tf.ones([1001]), tf.zeros([2], name="z"), tf.zeros(tf.constant(3)), tf.ones([2], tf.bool)


def likes():
    tf.zeros_like(p(2, 3)), tf.zeros_like(p(2, 2000)), tf.zeros_like(p(None, 3)), tf.zeros_like(p(None, 3), dtype=tf.int32)
    v1.ones_like(p(2, 3)), v1.ones_like(p(None, 3)), v1.ones_like(p(2, 3), name="q")


def shapes():
    tf.shape(p(2, 3)), tf.shape(p(None, 3)), tf.size(p(2, 3)), tf.size(p(None, 3)), tf.size(p(None, 0))
    tf.rank(p(2, 3)), tf.rank(any_rank()), tf.shape(p(2, 3), out_type=tf.int64), tf.shape_n([p(2, 3), p(None, 3)])
    tf.reshape(p(2, 2), [-1]), tf.reshape(p(None, 2), [tf.shape(p(None))[0], 2]), tf.squeeze(p(1, 2), 0), tf.expand_dims(p(2), 0)


def arrange():
    tf.transpose(p(2, 3)), tf.transpose(p(2, 3), [1, 0]), tf.transpose(any_rank()), tf.transpose(p(2, 3), name="t")
    tf.reverse(p(3), [0]), tf.tile(p(2), [3]), tf.roll(p(3), 1, 0)


def join():
    tf.concat([p(2, 3), p(2, 3)], 1), tf.concat([p(2, 3)], 1), tf.split(p(2, 4), 2, 1), tf.split(p(2, 4), [1, 3], 1)
    tf.stack([p(2), p(2)], 1), tf.stack([p(2), p(2)]), tf.unstack(p(2, 4), axis=1), tf.stack([tf.shape(p(None))[0], 3])


def parts():
    tf.slice(p(4, 4), [0, 1], [2, -1])
    x = p(4, 4)
    x[0], x[1:, ::2], x[..., None], x[:, tf.constant(1)], x[: tf.constant(2)], x[tf.constant(1, tf.int64)]
    tf.gather(x, [1, 2]), tf.gather(x, tf.constant([1]), axis=1), tf.gather_nd(x, [[1, 2]])
    tf.gather(x, [[0], [1], [1], [1]], batch_dims=1), tf.scatter_nd([[1]], p(1, 3), [4, 3])


def fills():
    tf.fill([2, 3], 1.0), tf.range(0, 5), tf.one_hot(tf.constant([1, 2]), 3), tf.one_hot(tf.constant([1]), 3, on_value=5.0, axis=0)
    tf.one_hot(tf.constant([1]), 3, off_value=5.0), tf.cast(p(2), tf.int32), tf.broadcast_to(p(1), [3])
    tf.pad(p(2, 2), [[1, 1], [0, 0]]), tf.pad(p(2, 2), [[1, 1], [0, 0]], constant_values=2.0), tf.pad(p(2, 2), [[1, 1], [0, 0]], "REFLECT")
    c = v1.placeholder(tf.bool, [2])
    tf.where(c), tf.where(c, p(2), p(2)), tf.linalg.band_part(p(3, 3), -1, 0), tf.linalg.diag(p(3)), tf.linalg.diag_part(p(3, 3))


def group():
    a, b = tf.no_op(), tf.no_op()
    tf.group(a, b)
    with tf.device("/cpu:0"):
        c = tf.no_op("c")
    with tf.device("/gpu:0"):
        d = tf.no_op("d")
    tf.group(a, c, d), tf.group(), tf.tuple([p(2), p(3)]), v1.tuple([p(2), None, p(3)], control_inputs=[a]), tf.group(c, d, name="gg")


def nodes(program):
    with tf.Graph().as_default() as graph:
        program()
    return [f"{n.op} {n.name} <- {' '.join(n.input)}".rstrip() for n in graph.as_graph_def().node]


programs = [zeros, likes, shapes, arrange, join, parts, fills, group]
OUT.mkdir(parents=True, exist_ok=True)
golden = {f.__name__: nodes(f) for f in programs}
(OUT / "programs.json").write_text(json.dumps(golden, indent=1) + "\n")
manifest = {"tensorflow": tf.__version__, "command": "python tools/goldens/array_names.py", "files": ["programs.json"]}
(OUT / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n")

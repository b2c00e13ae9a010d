"""Loops of TensorFlow 1, as its Python programs build them.

Writes tests/goldens/loops/ as programs.py writes its folder. The TypeScript twins stand in tests/conformance/programs/loops.ts.

Usage: python tools/goldens/loops.py
"""

import pathlib

import loop_gradients
from programs import holder, run, tf, use, write

OUT = pathlib.Path(__file__).resolve().parents[2] / "tests" / "goldens" / "loops"
PROGRAMS = {}
tf.disable_control_flow_v2()


def program(fn):
    PROGRAMS[fn.__name__] = fn
    return fn


@program
def counting():
    n = holder("n", [], tf.int32)
    tf.while_loop(lambda i, total: i < n, lambda i, total: (i + 1, total + i), [tf.constant(0), tf.constant(0)])
    return run(2, [{"n:0": 5}, {"n:0": 0}], ["while/Exit:0", "while/Exit_1:0"])


@program
def weights():
    x = holder("x", [None, 2])
    w = tf.get_variable("w", [2, 2], initializer=tf.ones_initializer())
    bias = tf.constant([1.0, 2.0], name="bias")
    result = tf.while_loop(
        lambda i, a: i < 3, lambda i, a: (i + 1, tf.matmul(a, w) + bias), [0, x], name="deep", parallel_iterations=4
    )
    tf.identity(result[1], name="y")
    return run(1, [{"x:0": [[1.0, 2.0], [3.0, 4.0]]}], ["y:0"])


@program
def resource_weights():
    use(True)
    x = holder("x", [None, 2])
    w = tf.get_variable("w", [2, 2], initializer=tf.ones_initializer())
    result = tf.while_loop(lambda i, a: i < 3, lambda i, a: (i + 1, tf.matmul(a, w)), [0, x])
    tf.identity(result[1], name="y")
    return run(1, [{"x:0": [[1.0, 2.0], [3.0, 4.0]]}], ["y:0"])


@program
def nested():
    x = holder("x", [], tf.float32)
    n = holder("n", [], tf.int32)

    def inner(i, s):
        return tf.while_loop(lambda j, u: j < i, lambda j, u: (j + 1, u * x), [tf.constant(0), s])[1]

    result = tf.while_loop(lambda i, s: i < n, lambda i, s: (i + 1, inner(i, s) + 1.0), [0, 1.0])
    tf.identity(result[1], name="y")
    return run(2, [{"x:0": 0.5, "n:0": 4}, {"x:0": 2.0, "n:0": 3}], ["y:0"])


@program
def cond_in_loop():
    x = holder("x", [], tf.float32)
    limit = holder("limit", [], tf.float32)

    def body(i, s):
        s = tf.cond(s > limit, lambda: s - x, lambda: s * 2.0 + tf.constant(1.0))
        return i + 1, s

    result = tf.while_loop(lambda i, s: i < 6, body, [0, 1.0])
    tf.identity(result[1], name="y")
    return run(2, [{"x:0": 3.0, "limit:0": 5.0}, {"x:0": 1.0, "limit:0": 100.0}], ["y:0"])


@program
def loop_in_cond():
    x = holder("x", [], tf.float32)
    goes = holder("goes", [], tf.bool)

    def loop():
        return tf.while_loop(lambda i, s: i < 3, lambda i, s: (i + 1, s * x), [tf.constant(0), x])[1]

    tf.identity(tf.cond(goes, loop, lambda: x + 1.0), name="y")
    return run(2, [{"x:0": 3.0, "goes:0": True}, {"x:0": 3.0, "goes:0": False}], ["y:0"])


@program
def deep():
    x = holder("x", [], tf.float32)

    def inner(i, s):
        def body(j, u):
            return j + 1, tf.cond(u > 10.0, lambda: u - x, lambda: u + x)

        return tf.while_loop(lambda j, u: j < i, body, [tf.constant(0), s])[1]

    result = tf.while_loop(lambda i, s: i < 4, lambda i, s: (i + 1, inner(i, s)), [0, 1.0])
    tf.identity(result[1], name="y")
    return run(1, [{"x:0": 4.0}], ["y:0"])


@program
def limited():
    x = holder("x", [], tf.float32)
    result = tf.while_loop(lambda s: s < x, lambda s: s * 2.0, [tf.constant(1.0)], maximum_iterations=3)
    tf.identity(result, name="y")
    return run(2, [{"x:0": 3.0}, {"x:0": 1000.0}], ["y:0"])


@program
def growing():
    x = holder("x", [1], tf.float32)
    result = tf.while_loop(
        lambda i, s: i < 4,
        lambda i, s: (i + 1, tf.concat([s, s], 0)),
        [tf.constant(0), x],
        shape_invariants=[tf.TensorShape([]), tf.TensorShape([None])],
    )
    tf.identity(result[1], name="y")
    return run(1, [{"x:0": [2.0]}], ["y:0"])


@program
def ordered():
    x = holder("x", [], tf.float32)
    first = tf.identity(x, name="first")
    with tf.control_dependencies([first]):
        result = tf.while_loop(lambda s: s < 10.0, lambda s: s + tf.constant(3.0), [x])

    def body(s):
        with tf.control_dependencies([first]):
            return s + tf.constant(2.0)

    again = tf.while_loop(lambda s: s < 20.0, body, [result])
    tf.identity(again, name="y")
    return run(1, [{"x:0": 2.0}], ["y:0"])


@program
def ordered_within():
    x = holder("x", [], tf.float32)
    first = tf.identity(x, name="first")

    def body(s):
        with tf.control_dependencies([first]):
            doubled = s * 2.0
        with tf.control_dependencies([first, doubled]):
            s = tf.cond(s > 5.0, lambda: tf.constant(3.0) + s, lambda: tf.tanh(x) + s)
            return tf.negative(s)

    y = tf.while_loop(lambda s: s < 20.0, body, [x], maximum_iterations=3)
    tf.identity(y, name="y")
    return run(2, [{"x:0": 2.0}, {"x:0": 7.0}], ["y:0"])


if __name__ == "__main__":
    write({**PROGRAMS, **loop_gradients.PROGRAMS}, OUT, "loops.py")
    write(loop_gradients.IMPORTED, OUT / "imported", "loops.py")

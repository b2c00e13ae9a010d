"""Gradients through functions, as TensorFlow computes them: python tools/goldens/function_gradients.py

Writes tests/goldens/function-gradients/: forward graphs that call functions, with conditionals and loops of TensorFlow 2, and in manifest.json what
`tf.gradients` gives in each: values, null where nothing leads there, or its error. The gradients' own nodes are not kept.
"""

import base64
import gzip
import json
import os
import pathlib
import shutil

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["CUDA_VISIBLE_DEVICES"] = "-1"

import numpy as np
import tensorflow as tf
from tensorflow.python.framework import function as defun

OUT = pathlib.Path(__file__).resolve().parents[2] / "tests" / "goldens" / "function-gradients"
t = tf.compat.v1
t.enable_control_flow_v2()
RANDOM = np.random.default_rng(4)
PROGRAMS = {}


def program(f):
    PROGRAMS[f.__name__] = f
    return f


def normal(*shape):
    return np.float32(RANDOM.normal(size=shape))


def variable(name, *shape):
    return t.get_variable(name, initializer=normal(*shape), use_resource=True)


def plain(x):
    """Rows as the dense tensor that they stand for."""
    return tf.convert_to_tensor(x) if isinstance(x, tf.IndexedSlices) else x


# Each program adds nodes and returns ys, xs (placeholders, variables, other tensors) and feeds by placeholder, perhaps several.


@program
def call():
    """a function that calls a function, with a variable that both read"""
    x, w = t.placeholder(tf.float32, [2, 3], "x"), variable("w", 3, 3)

    @tf.function
    def inner(x):
        return tf.tanh(x @ w)

    @tf.function
    def outer(x):
        return inner(x) * x + tf.reduce_sum(w)

    return outer(x), [x, w], [{x: normal(2, 3)}]


@program
def called_twice():
    """one function called twice: its gradients add up"""
    x, w, b = t.placeholder(tf.float32, [2, 3], "x"), variable("w", 3, 3), variable("b", 3)
    layer = tf.function(lambda x: tf.nn.relu(x @ w + b))
    return layer(layer(x)), [x, w, b], [{x: normal(2, 3)}]


@program
def several_results():
    """results that the loss does not use, integers among them; an argument that no result needs"""
    x, y, n = t.placeholder(tf.float32, [3], "x"), t.placeholder(tf.float32, [3], "y"), t.placeholder(tf.int32, [], "n")

    @tf.function
    def f(x, y, n):
        return x * tf.cast(n, tf.float32), n + 1, tf.exp(x), tf.cast(n, tf.float32)

    return f(x, y, n)[0], [x, y, n], [{x: normal(3), y: normal(3), n: 3}]


@program
def stopped():
    """a gradient that is stopped inside: null for what leads nowhere else"""
    x, y = t.placeholder(tf.float32, [3], "x"), t.placeholder(tf.float32, [3], "y")
    f = tf.function(lambda x, y: x * tf.stop_gradient(tf.sin(x)) + tf.stop_gradient(y))
    return f(x, y), [x, y], [{x: normal(3), y: normal(3)}]


@program
def no_gradient():
    """an op inside that has no gradient"""
    x = t.placeholder(tf.float32, [3], "x")
    f = tf.function(lambda x: x * tf.raw_ops.Snapshot(input=x))
    return f(x), [x], [{x: normal(3)}]


@program
def second_order():
    """the gradient of a gradient through a call and a conditional"""
    x, p = t.placeholder(tf.float32, [3], "x"), t.placeholder(tf.bool, [], "p")
    f = tf.function(lambda x, p: tf.cond(p, lambda: x**3, lambda: tf.exp(x)))
    y = f(x, p)
    feed = normal(3)
    return y, [x], [{x: feed, p: True}, {x: feed, p: False}], 2


@program
def conditional():
    """a conditional whose branches read variables"""
    x, p = t.placeholder(tf.float32, [2, 2], "x"), t.placeholder(tf.bool, [], "p")
    w, v = variable("w", 2, 2), variable("v", 2)
    y = tf.cond(p, lambda: tf.tanh(x @ w), lambda: x * v + tf.reduce_sum(w))
    feed = normal(2, 2)
    return y * x, [x, w, v], [{x: feed, p: True}, {x: feed, p: False}]


@program
def conditional_in_a_call():
    """a conditional in a function, with a function in a branch, two results, one of them handed through"""
    x, n = t.placeholder(tf.float32, [3], "x"), t.placeholder(tf.int32, [], "n")
    w = variable("w", 3)
    g = tf.function(lambda x: tf.sin(x) * w)

    @tf.function
    def f(x, n):
        a, b = tf.cond(n > 2, lambda: (g(x), x), lambda: (x, g(g(x))))
        return a * b

    feed = normal(3)
    return f(x, n), [x, w], [{x: feed, n: 1}, {x: feed, n: 5}]


@program
def choice():
    """one of three branches; out of range the last"""
    x, n = t.placeholder(tf.float32, [3], "x"), t.placeholder(tf.int32, [], "n")
    w = variable("w", 3)
    f = tf.function(lambda x, n: tf.switch_case(n, [lambda: x * w, lambda: tf.sin(x), lambda: w * w]))
    feed = normal(3)
    return f(x, n), [x, w], [{x: feed, n: i} for i in (0, 1, 2, 7, -1)]


@program
def loop():
    """a loop that reads a variable and a tensor from outside"""
    x, b, n = t.placeholder(tf.float32, [2, 3], "x"), t.placeholder(tf.float32, [3], "b"), t.placeholder(tf.int32, [], "n")
    w = variable("w", 3, 3)
    y = tf.while_loop(lambda i, a: i < n, lambda i, a: (i + 1, tf.tanh(a @ w + b)), [0, x])[1]
    feeds = {x: normal(2, 3), b: normal(3)}
    return y, [x, b, w], [{**feeds, n: 4}, {**feeds, n: 0}]


@program
def loop_with_a_limit():
    """maximum_iterations, and loop variables that the loss does not use"""
    x, n = t.placeholder(tf.float32, [3], "x"), t.placeholder(tf.int32, [], "n")
    y = tf.while_loop(lambda a, b, c: a[0] < 100.0, lambda a, b, c: (a * a + 1.0, b * a, c + b), [x, x, x], maximum_iterations=n)[1]
    return y, [x], [{x: normal(3), n: 3}]


@program
def loop_in_a_function():
    """loops, conditionals and calls in each other"""
    x, n = t.placeholder(tf.float32, [2, 2], "x"), t.placeholder(tf.int32, [], "n")
    w, v = variable("w", 2, 2), variable("v", 2)
    g = tf.function(lambda x: tf.tanh(x @ w))

    @tf.function
    def f(x, n):
        for i in tf.range(n):
            if i % 2 == 0:
                x = g(x)
            else:
                j = 0
                while j < i:
                    x = x * v + g(x)
                    j += 1
        return x

    return f(x, n), [x, w, v], [{x: normal(2, 2), n: 4}]


@program
def growing():
    """a tensor that grows from round to round"""
    x = t.placeholder(tf.float32, [1, 2], "x")
    w = variable("w", 2)
    body = lambda i, a: (i + 1, tf.concat([a, a[-1:] * w], 0))
    y = tf.while_loop(lambda i, a: i < 3, body, [0, x], shape_invariants=[tf.TensorShape([]), tf.TensorShape([None, 2])])[1]
    return y, [x, w], [{x: normal(1, 2)}]


@program
def rows():
    """rows of a table, in a function and in a loop"""
    ids, table = t.placeholder(tf.int32, [3], "ids"), variable("table", 4, 2)
    f = tf.function(lambda ids: tf.gather(table, ids))
    y = tf.while_loop(lambda i, a: i < 2, lambda i, a: (i + 1, a * tf.gather(table, ids)), [0, f(ids)])[1]
    return y, [table], [{ids: np.int32([0, 2, 2])}]


@program
def map_and_scan():
    """tf.map_fn and tf.scan: lists that loops read from and write to"""
    x, w = t.placeholder(tf.float32, [4, 2], "x"), variable("w", 2)
    y = tf.map_fn(lambda row: tf.sin(row) * w, x)
    z = tf.scan(lambda a, row: tf.tanh(a * w + row), y)
    return z, [x, w], [{x: normal(4, 2)}]


@program
def array():
    """a tf.TensorArray that a function fills and reads; one element is never read"""
    x, w = t.placeholder(tf.float32, [3, 2], "x"), variable("w", 2)

    @tf.function
    def f(x):
        out = tf.TensorArray(tf.float32, size=0, dynamic_size=True)
        state = tf.zeros([2])
        for i in tf.range(3):
            state = tf.tanh(state + x[i] * w)
            out = out.write(i, state)
        return out.read(0) + out.read(2)

    return f(x), [x, w], [{x: normal(3, 2)}]


@program
def recurrent():
    """a Keras LSTM, which loops, and a masked GRU"""
    x = t.placeholder(tf.float32, [2, 3, 2], "x")
    kernel, recurrent, bias = variable("kernel", 2, 8), variable("recurrent", 2, 8), variable("bias", 8)

    @tf.function
    def f(x):
        def step(row, states):
            h, c = states
            i, f, g, o = tf.split(row @ kernel + h @ recurrent + bias, 4, axis=1)
            c = tf.sigmoid(f) * c + tf.sigmoid(i) * tf.tanh(g)
            h = tf.sigmoid(o) * tf.tanh(c)
            return h, [h, c]

        mask = tf.reduce_sum(x, -1) > -1.0
        return tf.keras.backend.rnn(step, x, [tf.zeros([2, 2]), tf.zeros([2, 2])], mask=mask)[1]

    return f(x), [x, kernel, recurrent, bias], [{x: normal(2, 3, 2)}]


@program
def effects():
    """a function that writes a variable before it reads another"""
    x, w = t.placeholder(tf.float32, [2], "x"), variable("w", 2)
    count = t.get_variable("count", initializer=np.float32(1), use_resource=True, trainable=False)

    @tf.function
    def f(x):
        count.assign_add(1.0)
        return x * w * count.read_value()

    return f(x), [x, w], [{x: normal(2)}]


@program
def by_name():
    """a function of TensorFlow 1, called by an op of its name"""
    x = t.placeholder(tf.float32, [3], "x")
    y = t.placeholder(tf.float32, [3], "y")

    @defun.Defun(tf.float32, tf.float32, func_name="product")
    def product(x, y):
        return tf.sin(x) * y

    return product(x, y) + x, [x, y], [{x: normal(3), y: normal(3)}]


@program
def inner_result():
    """the gradient with respect to a call's result, which another call takes"""
    x = t.placeholder(tf.float32, [3], "x")
    f = tf.function(lambda x: tf.exp(x))
    middle = f(x)
    return f(middle) * x, [middle, x], [{x: normal(3)}]


def gradients(ys, xs, order):
    grads = [plain(g) for g in t.gradients(ys, xs)]
    for _ in range(order - 1):
        grads = [plain(g) for g in t.gradients(grads, xs)]
    return grads


def encoded(value):
    value = np.asarray(value)
    return {"dtype": value.dtype.name, "shape": list(value.shape), "base64": base64.b64encode(value.tobytes()).decode()}


def run(name, build):
    with t.Graph().as_default() as graph, t.Session() as session:
        y, xs, feeds, *order = build()
        tf.no_op("unused")
        init = t.global_variables_initializer()
        raw = graph.as_graph_def().SerializeToString()
        (OUT / f"{name}.pb.gz").write_bytes(gzip.compress(raw, mtime=0))
        named = [x.handle if hasattr(x, "handle") else x for x in xs]
        entry = {"name": name, "claim": build.__doc__, "init": init.name, "y": y.name, "xs": [x.name for x in named], "order": (order or [1])[0]}
        try:
            grads = gradients(y, xs, entry["order"])
        except LookupError as e:
            return {**entry, "error": str(e).split("\n")[0], "runs": []}
        runs = []
        for feed in feeds:
            session.run(init)
            values = session.run([y, *[g for g in grads if g is not None]], feed)
            rest = iter(values[1:])
            runs.append({
                "feeds": {k.name: encoded(np.asarray(v, k.dtype.as_numpy_dtype)) for k, v in feed.items()},
                "y": encoded(values[0]),
                "gradients": [None if g is None else encoded(next(rest)) for g in grads],
            })
        return {**entry, "runs": runs}


def main():
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir(parents=True)
    programs = [run(name, build) for name, build in PROGRAMS.items()]
    manifest = {"by": f"tensorflow {tf.__version__}", "command": "python tools/goldens/function_gradients.py", "programs": programs}
    (OUT / "manifest.json").write_text(json.dumps(manifest, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()

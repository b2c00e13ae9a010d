"""Writes tests/goldens/control-flow with real TensorFlow: python tools/goldens/control_flow.py

Graphs with loops, conditionals, tensor arrays and functions, each as a GraphDef in both styles (`<name>.v1.pb.gz`: Switch, Merge, Enter, Exit,
NextIteration; `<name>.v2.pb.gz`: If, While, Case over functions), and SavedModels with autograph loops and recurrent Keras layers.
manifest.json has for each file what to run first, and runs (feeds, fetched values) to make in order in one session.
"""

import base64
import gzip
import json
import os
import shutil

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
import keras
import numpy as np
import tensorflow as tf
from google.protobuf import text_format
from tensorflow.core.framework import graph_pb2

OUT = os.path.join(os.path.dirname(__file__), "..", "..", "tests", "goldens", "control-flow")
t = tf.compat.v1
PROGRAMS = {}


def encoded(array):
    array = np.asarray(array)
    return {"dtype": array.dtype.name, "shape": list(array.shape), "base64": base64.b64encode(array.tobytes()).decode()}


def program(*styles):
    """A function that adds to the default graph and returns (fetches, [feeds of a run])."""

    def add(f):
        PROGRAMS[f.__name__] = (f, styles or ("v1", "v2"))
        return f

    return add


def normal(*shape, seed=0):
    return np.random.RandomState(seed).standard_normal(shape).astype(np.float32)


@program()
def counting():
    """A loop of two int variables, and one whose body never runs."""
    n = t.placeholder(tf.int32, [], name="n")
    i, total = t.while_loop(lambda i, s: i < n, lambda i, s: (i + 1, s + i * i), [0, 0])
    return [i, total], [{n: 5}, {n: 0}, {n: 100}]


@program()
def map_fn():
    x = t.placeholder(tf.float32, [None, 3], name="x")
    y = t.map_fn(lambda row: tf.nn.softmax(row) * 2.0, x)
    a, b = t.map_fn(lambda row: (tf.reduce_sum(row), row[::-1]), x, dtype=(tf.float32, tf.float32))
    return [y, a, b], [{x: normal(4, 3)}, {x: normal(1, 3, seed=1)}]


@program()
def map_fn_gradient():
    x = t.placeholder(tf.float32, [4, 3], name="x")
    w = tf.constant(normal(3, 2, seed=2))
    y = t.map_fn(lambda row: tf.tanh(tf.linalg.matvec(w, row, transpose_a=True)), x)
    return [y, *t.gradients(tf.reduce_sum(y * y), [x, w])], [{x: normal(4, 3)}]


@program()
def scan():
    x = t.placeholder(tf.float32, [None, 2], name="x")
    w = tf.constant(normal(2, 2, seed=3))
    y = t.scan(lambda a, row: tf.tanh(tf.linalg.matvec(w, a) + row), x, initializer=tf.zeros([2]))
    back = t.scan(lambda a, row: a + row, x, reverse=True)
    return [y, back, *t.gradients(y, [x, w])], [{x: normal(5, 2)}, {x: normal(2, 2, seed=4)}]


@program()
def nested_while():
    n = t.placeholder(tf.int32, [], name="n")

    def outer(i, s):
        _, s = t.while_loop(lambda j, s: j < i, lambda j, s: (j + 1, s + tf.cast(i * j, tf.float32)), [0, s])
        return i + 1, s

    return list(t.while_loop(lambda i, s: i < n, outer, [0, 0.5])), [{n: 6}, {n: 1}]


@program()
def nested_while_gradient():
    x = t.placeholder(tf.float32, [], name="x")

    def outer(i, s):
        _, s = t.while_loop(lambda j, s: j < i, lambda j, s: (j + 1, s * x), [0, s])
        return i + 1, s

    _, y = t.while_loop(lambda i, s: i < 4, outer, [0, tf.constant(1.0)])
    return [y, t.gradients(y, x)[0]], [{x: np.float32(1.5)}]


@program()
def cond_in_while():
    """Steps of the Collatz sequence."""
    n = t.placeholder(tf.int64, [], name="n")

    def body(k, steps, peak):
        k = t.cond(tf.equal(k % 2, 0), lambda: k // 2, lambda: 3 * k + 1)
        return k, steps + 1, tf.maximum(peak, k)

    _, steps, peak = t.while_loop(lambda k, *_: k > 1, body, [n, 0, n])
    return [steps, peak], [{n: np.int64(27)}, {n: np.int64(1)}]


@program()
def cond_in_while_gradient():
    x = t.placeholder(tf.float32, [3], name="x")

    def body(i, y):
        return i + 1, t.cond(tf.equal(i % 2, 0), lambda: y * x, lambda: tf.sin(y) + x)

    _, y = t.while_loop(lambda i, _: i < 5, body, [0, tf.ones([3])])
    return [y, t.gradients(y, x)[0]], [{x: normal(3)}]


@program()
def while_in_cond():
    p, x = t.placeholder(tf.bool, [], name="p"), t.placeholder(tf.float32, [2], name="x")

    def double():
        return t.while_loop(lambda i, _: i < 3, lambda i, y: (i + 1, y * 2.0 + x), [0, x])[1]

    y = t.cond(p, double, lambda: tf.square(x))
    return [y, t.gradients(y, x)[0]], [{p: True, x: normal(2)}, {p: False, x: normal(2)}]


@program()
def while_gradient():
    """y = x w^n by a loop; gradients to the loop's start and to what it captures."""
    x = t.placeholder(tf.float32, [2, 3], name="x")
    n = t.placeholder(tf.int32, [], name="n")
    w = tf.constant(normal(3, 3, seed=5))
    _, y = t.while_loop(lambda i, _: i < n, lambda i, y: (i + 1, tf.matmul(y, w)), [0, x])
    loss = tf.reduce_sum(tf.sin(y))
    return [loss, *t.gradients(loss, [x, w])], [{x: normal(2, 3), n: 4}, {x: normal(2, 3), n: 0}]


@program("v2")
def second_gradient():
    x = t.placeholder(tf.float32, [], name="x")
    _, y = t.while_loop(lambda i, _: i < 3, lambda i, y: (i + 1, y * x), [0, x])
    (dy,) = t.gradients(y, x)
    return [y, dy, t.gradients(dy, x)[0]], [{x: np.float32(1.25)}]


@program("v2")
def tapes():
    """Two tapes around a loop: TensorFlow drops outputs of a While and leaves the shapes that it noted of them."""
    x = t.placeholder(tf.float32, [2, 2], name="x")

    @tf.function
    def second(v):
        with tf.GradientTape() as outer:
            outer.watch(v)
            with tf.GradientTape() as inner:
                inner.watch(v)
                y = v
                for _ in tf.range(2):
                    y = y * v
                total = tf.reduce_sum(y)
            dy = inner.gradient(total, v)
        return outer.gradient(dy, v)

    return [second(x)], [{x: normal(2, 2)}]


@program()
def growing():
    """A variable whose shape changes from one iteration to the next."""
    x = t.placeholder(tf.float32, [None, 2], name="x")
    y = t.while_loop(
        lambda y: tf.shape(y)[0] < 7,
        lambda y: tf.concat([y, y[:1] + 1.0], 0),
        [x],
        shape_invariants=[tf.TensorShape([None, 2])],
    )
    return [y], [{x: normal(2, 2)}, {x: normal(9, 2)}]


@program()
def maximum_iterations():
    x = t.placeholder(tf.float32, [], name="x")
    y = t.while_loop(lambda y: y < 100.0, lambda y: y * 2.0, [x], maximum_iterations=4, back_prop=False)
    return [y], [{x: np.float32(1)}, {x: np.float32(50)}]


@program()
def variables_in_while():
    """Variables that a loop's body writes; the loop runs twice."""
    n = t.placeholder(tf.int32, [], name="n")
    total = t.get_variable("total", initializer=np.float32([0, 0]), use_resource=True)
    count = t.get_variable("count", initializer=np.int64(0), use_resource=True)

    def body(i):
        with t.control_dependencies([total.assign_add([1.0, tf.cast(i, tf.float32)]), count.assign_add(2)]):
            return i + 1

    i = t.while_loop(lambda i: i < n, body, [0], parallel_iterations=1)
    with t.control_dependencies([i]):
        return [i, total.read_value(), count.read_value()], [{n: 3}, {n: 2}, {n: 0}]


@program()
def variable_trained_in_while():
    """Gradient descent, step by step, in one run."""
    w = t.get_variable("w", initializer=np.float32([0, 0]), use_resource=True)

    def body(i):
        with t.control_dependencies([w.assign_sub(0.1 * 2.0 * (w.read_value() - [3.0, -1.0]))]):
            return i + 1

    i = t.while_loop(lambda i: i < 20, body, [0], parallel_iterations=1)
    with t.control_dependencies([i]):
        return [w.read_value()], [{}, {}]


@program()
def variable_in_while_gradient():
    w = t.get_variable("w", initializer=normal(2, 2, seed=6), use_resource=True)
    x = t.placeholder(tf.float32, [1, 2], name="x")
    _, y = t.while_loop(lambda i, _: i < 3, lambda i, y: (i + 1, tf.tanh(tf.matmul(y, w))), [0, x])
    return [y, *t.gradients(y, [x, w.handle if hasattr(w, "handle") else w])], [{x: normal(1, 2)}]


@program()
def batch_norm_cond():
    """Statistics of the batch and an update in one branch, moving statistics in the other."""
    x = t.placeholder(tf.float32, [None, 3], name="x")
    training = t.placeholder_with_default(False, [], name="training")
    mean = t.get_variable("mean", initializer=np.zeros(3, np.float32), use_resource=True, trainable=False)
    var = t.get_variable("var", initializer=np.ones(3, np.float32), use_resource=True, trainable=False)

    def batch():
        m, v = tf.nn.moments(x, [0])
        updates = [mean.assign_sub((mean - m) * 0.1), var.assign_sub((var - v) * 0.1)]
        with t.control_dependencies(updates):
            return tf.identity(m), tf.identity(v)

    m, v = t.cond(training, batch, lambda: (mean.read_value(), var.read_value()))
    y = tf.nn.batch_normalization(x, m, v, None, None, 1e-3)
    runs = [{x: normal(4, 3)}, {x: normal(4, 3), training: True}, {x: normal(5, 3, seed=1), training: True}, {x: normal(4, 3)}]
    return [y], runs


@program("v1")
def batch_norm_cond_reference():
    """The same on variables of TensorFlow 1."""
    x = t.placeholder(tf.float32, [None, 3], name="x")
    training = t.placeholder_with_default(False, [], name="training")
    mean = t.get_variable("mean", initializer=np.zeros(3, np.float32), use_resource=False, trainable=False)

    def batch():
        m = tf.reduce_mean(x, 0)
        with t.control_dependencies([t.assign_sub(mean, (mean - m) * 0.1)]):
            return tf.identity(m)

    y = x - t.cond(training, batch, lambda: tf.identity(mean))
    return [y], [{x: normal(4, 3)}, {x: normal(4, 3), training: True}, {x: normal(4, 3)}]


@program()
def conditionals():
    """case, switch_case and nested conds, with gradients."""
    k = t.placeholder(tf.int32, [], name="k")
    x = t.placeholder(tf.float32, [2], name="x")
    a = t.case([(k < 0, lambda: -x), (k > 2, lambda: x * 10.0)], default=lambda: tf.exp(x))
    b = tf.switch_case(k, [lambda: x + 1.0, lambda: x * 2.0, lambda: tf.square(x)])
    c = t.cond(k > 0, lambda: t.cond(k > 1, lambda: x * 3.0, lambda: x * 5.0), lambda: tf.sin(x))
    runs = [{k: i, x: normal(2)} for i in (-1, 0, 1, 2, 3)]
    return [a, b, c, t.gradients(a + b + c, x)[0]], runs


@program()
def cond_of_rows():
    """Rows as the gradient of one branch."""
    table = tf.constant(normal(5, 2, seed=8))
    p, ids = t.placeholder(tf.bool, [], name="p"), t.placeholder(tf.int32, [None], name="ids")
    y = t.cond(p, lambda: tf.gather(table, ids), lambda: tf.gather(table * 2.0, ids) + 1.0)
    grad = tf.convert_to_tensor(t.gradients(tf.reduce_sum(y * y), table)[0])
    return [y, grad], [{p: True, ids: [1, 1, 4]}, {p: False, ids: [0]}]


@program()
def asserts():
    x = t.placeholder(tf.float32, [None], name="x")
    p = t.placeholder(tf.bool, [], name="p")

    def checked():
        with t.control_dependencies([t.debugging.assert_positive(x, message="x must be positive")]):
            return tf.sqrt(x)

    return [t.cond(p, checked, lambda: tf.zeros_like(x))], [{x: np.float32([1, 4]), p: True}, {x: np.float32([-1]), p: False}]


@program()
def tensor_array():
    """Every op of a TensorArray without a loop, with its gradient."""
    x = t.placeholder(tf.float32, [4, 2], name="x")
    ta = t.TensorArray(tf.float32, size=4, clear_after_read=False, infer_shape=False, element_shape=[None]).unstack(x)
    one = ta.read(2)
    some = ta.gather([3, 0])
    flat = ta.concat()
    grown = t.TensorArray(tf.float32, size=0, dynamic_size=True).write(2, one * 2.0).write(0, one).write(1, some[0])
    parts = t.TensorArray(tf.float32, size=2, infer_shape=False).split(x, [1, 3])
    scattered = t.TensorArray(tf.float32, size=4).scatter([2, 0, 1, 3], x * x)
    fetches = [one, some, flat, grown.stack(), grown.size(), parts.read(1), scattered.stack()]
    loss = sum(tf.reduce_sum(tf.sin(f)) for f in fetches if f.dtype == tf.float32)
    return [*fetches, t.gradients(loss, x)[0]], [{x: normal(4, 2)}]


@program()
def tensor_array_loop():
    """A TensorArray that a loop fills and another reads, with gradients of first order through both."""
    x = t.placeholder(tf.float32, [None, 2], name="x")
    n = tf.shape(x)[0]
    source = t.TensorArray(tf.float32, n).unstack(x)
    made = t.TensorArray(tf.float32, n)

    def body(i, a, state):
        state = tf.tanh(source.read(i) + state * 0.5)
        return i + 1, a.write(i, state), state

    _, made, last = t.while_loop(lambda i, *_: i < n, body, [0, made, tf.zeros([2])])
    y = made.stack()
    return [y, last, t.gradients(tf.reduce_sum(y * y), x)[0]], [{x: normal(5, 2)}, {x: normal(3, 2, seed=9)}]


class Cell:
    """An LSTM in a few lines: dynamic_rnn takes any object with these names."""

    state_size, output_size = 6, 3

    def __init__(self, kernel):
        self.kernel = kernel

    def zero_state(self, batch_size, dtype):
        return tf.zeros([batch_size, 6], dtype)

    def get_initial_state(self, inputs=None, batch_size=None, dtype=None):
        return self.zero_state(batch_size, dtype)

    def __call__(self, x, state, scope=None):
        c, h = tf.split(state, 2, 1)
        i, j, f, o = tf.split(tf.matmul(tf.concat([x, h], 1), self.kernel), 4, 1)
        c = c * tf.sigmoid(f + 1.0) + tf.sigmoid(i) * tf.tanh(j)
        h = tf.tanh(c) * tf.sigmoid(o)
        return h, tf.concat([c, h], 1)


@program()
def dynamic_rnn():
    """dynamic_rnn with lengths, and the gradients that train it."""
    x = t.placeholder(tf.float32, [None, None, 2], name="x")
    lengths = t.placeholder(tf.int32, [None], name="lengths")
    kernel = t.get_variable("kernel", initializer=normal(5, 12, seed=10) * 0.5, use_resource=True)
    y, state = t.nn.dynamic_rnn(Cell(kernel), x, lengths, dtype=tf.float32)
    grads = t.gradients(tf.reduce_sum(y * y), [x, kernel])
    return [y, state, *grads], [{x: normal(2, 4, 2), lengths: [4, 2]}, {x: normal(1, 3, 2), lengths: [3]}]


@program("v2")
def called():
    """Functions that call functions: 30 deep, and 5 deep with a gradient."""
    x = t.placeholder(tf.float32, [2], name="x")

    def nest(depth):
        inner = nest(depth - 1) if depth else tf.sin
        return tf.function(lambda v: inner(v * 1.01) + 0.01, autograph=False)

    y = nest(5)(x)
    return [nest(30)(x), y, t.gradients(y, x)[0]], [{x: normal(2)}]



def recursive():
    """n! by a function that calls itself through an If. TensorFlow 2.21 makes no such graph, and its process dies of one."""

    def function(name, nodes):
        floats = 'input_arg { name: "v" type: DT_FLOAT } output_arg { name: "r" type: DT_FLOAT }'
        return f'function {{ signature {{ name: "{name}" {floats} }} {nodes} }}'

    def node(name, op, inputs, **attrs):
        attrs = " ".join(f'attr {{ key: "{k}" value {{ {v} }} }}' for k, v in attrs.items())
        sources = " ".join(f'input: "{x}"' for x in inputs)
        return f'node_def {{ name: "{name}" op: "{op}" {sources} {attrs} }}'

    def constant(value):
        tensor = f"tensor {{ dtype: DT_FLOAT tensor_shape {{ }} float_val: {value} }}"
        return node("c", "Const", [], dtype="type: DT_FLOAT", value=tensor)

    T, Ts = "type: DT_FLOAT", "list { type: DT_FLOAT }"
    call = node("rest", "PartitionedCall", ["less:z:0"], Tin=Ts, Tout=Ts, f='func { name: "factorial" }')
    branches = {"then_branch": 'func { name: "one" }', "else_branch": 'func { name: "more" }'}
    functions = [
        function("one", node("r", "OnesLike", ["v"], T=T) + 'ret { key: "r" value: "r:y:0" }'),
        function(
            "more",
            constant(1)
            + node("less", "Sub", ["v", "c:output:0"], T=T)
            + call
            + node("r", "Mul", ["v", "rest:output:0"], T=T)
            + 'ret { key: "r" value: "r:z:0" }',
        ),
        function(
            "factorial",
            constant(1.5)
            + node("end", "Less", ["v", "c:output:0"], T=T)
            + node("r", "If", ["end:z:0", "v"], Tcond="type: DT_BOOL", Tin=Ts, Tout=Ts, **branches)
            + 'ret { key: "r" value: "r:output:0" }',
        ),
    ]
    top = node("y", "PartitionedCall", ["n"], Tin=Ts, Tout=Ts, f='func { name: "factorial" }')
    n = node("n", "Placeholder", [], dtype=T, shape="shape { }")
    text = f'{n} {top}'.replace("node_def", "node") + f'library {{ {" ".join(functions)} }} versions {{ producer: 1882 }}'
    return text_format.Parse(text, graph_pb2.GraphDef())


def write_pb(file, graph_def):
    data = graph_def.SerializeToString(deterministic=True)
    with open(os.path.join(OUT, file), "wb") as f:
        f.write(gzip.compress(data, 9, mtime=0))


def write_graph(name, style):
    """One program as <name>.<style>.pb, with what TensorFlow computes."""
    build = PROGRAMS[name][0]
    (t.enable_control_flow_v2 if style == "v2" else t.disable_control_flow_v2)()
    t.set_random_seed(1)
    with t.Graph().as_default() as graph:
        fetches, runs = build()
        fetches = [tf.convert_to_tensor(x) for x in fetches]
        init = t.global_variables_initializer() if t.global_variables() else None
        graph_def = graph.as_graph_def(add_shapes=name == "tapes")
        file = f"{name}.{style}.pb.gz"
        write_pb(file, graph_def)
        with t.Session(graph=graph) as session:
            if init is not None:
                session.run(init)
            done = []
            for feeds in runs:
                feeds = {x: np.asarray(v, x.dtype.as_numpy_dtype) for x, v in feeds.items()}
                values = session.run(fetches, feeds)
                done.append({
                    "feeds": {x.name: encoded(v) for x, v in feeds.items()},
                    "fetches": {x.name: encoded(v) for x, v in zip(fetches, values)},
                })
    types = {n.op for n in graph_def.node} | {n.op for f in graph_def.library.function for n in f.node_def}
    claim = (build.__doc__ or "").strip()
    return {"file": file, "claim": claim, "init": [init.name] if init is not None else [], "ops": sorted(types), "runs": done}


class Loops(tf.Module):
    """Autograph: a while with break and continue, a for over a tensor, and an if that a tensor decides."""

    def __init__(self):
        self.count = tf.Variable(0, name="count")
        self.scale = tf.Variable(1.5, name="scale")

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32), tf.TensorSpec([], tf.int32)])
    def __call__(self, x, limit):
        total = tf.zeros([])
        for v in x:
            if v < 0.0:
                continue
            if total > 3.0:
                break
            total += v * self.scale
        i = tf.constant(0)
        rows = tf.TensorArray(tf.float32, size=0, dynamic_size=True)
        while i < limit:
            rows = rows.write(i, tf.cast(i, tf.float32) * total)
            i += 1
        return {"total": total, "rows": rows.stack()}


class Conditional(tf.Module):
    @tf.function(input_signature=[tf.TensorSpec([None, 2], tf.float32), tf.TensorSpec([], tf.bool)])
    def __call__(self, x, training):
        if training:
            x = x - tf.reduce_mean(x, 0)
        else:
            x = x * 2.0
        return {"y": tf.map_fn(lambda row: tf.switch_case(tf.cast(row[0] > 0, tf.int32), [lambda: row, lambda: -row]), x)}


def recurrent(layer):
    keras.utils.set_random_seed(1)
    x = keras.Input([None, 3])
    return keras.Model(x, keras.layers.Dense(1)(layer(x)))


def write_saved_model(name, model, runs):
    path = os.path.join(OUT, name)
    if isinstance(model, keras.Model):
        model.export(path, format="tf_saved_model", verbose=False)
    else:
        tf.saved_model.save(model, path, signatures=model.__call__)
    shutil.rmtree(os.path.join(path, "assets"), ignore_errors=True)
    if os.path.exists(fingerprint := os.path.join(path, "fingerprint.pb")):
        os.remove(fingerprint)
    signature = tf.saved_model.load(path).signatures["serving_default"]
    done = []
    for feeds in runs:
        if not isinstance(feeds, dict):
            (only,) = signature.structured_input_signature[1]
            feeds = {only: feeds}
        values = signature(**{k: tf.constant(v) for k, v in feeds.items()})
        done.append({
            "feeds": {k: encoded(v) for k, v in feeds.items()},
            "fetches": {k: encoded(v.numpy()) for k, v in values.items()},
        })
    return {"folder": name, "claim": (model.__doc__ or "").strip() if isinstance(model, tf.Module) else name, "runs": done}


def main():
    shutil.rmtree(OUT, ignore_errors=True)
    os.makedirs(OUT)
    graphs = [write_graph(name, style) for name, (_, styles) in PROGRAMS.items() for style in styles]
    write_pb("recursive.pb.gz", recursive())
    t.enable_control_flow_v2()
    x = np.float32([1.0, -2.0, 1.5, 0.25, 7.0])
    models = [
        write_saved_model("autograph", Loops(), [{"x": x, "limit": np.int32(3)}, {"x": x[:2], "limit": np.int32(1)}]),
        write_saved_model(
            "conditional", Conditional(), [{"x": normal(3, 2), "training": np.bool_(p)} for p in (True, False)]
        ),
        write_saved_model("lstm", recurrent(keras.layers.LSTM(4, return_sequences=True)), [normal(2, 4, 3), normal(1, 6, 3, seed=1)]),
        write_saved_model("gru", recurrent(keras.layers.GRU(4, go_backwards=True)), [normal(2, 4, 3)]),
    ]
    manifest = {
        "by": f"tensorflow {tf.__version__}, keras {keras.__version__}",
        "command": "python tools/goldens/control_flow.py",
        "graphs": graphs,
        "savedModels": models,
    }
    with open(os.path.join(OUT, "manifest.json"), "w") as f:
        f.write(json.dumps(manifest, separators=(",", ":")).replace('{"f', '\n{"f') + "\n")


if __name__ == "__main__":
    main()

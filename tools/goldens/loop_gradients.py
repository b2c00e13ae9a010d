"""Gradients through loops of TensorFlow 1: programs of loops.py, which writes them. The TypeScript twins stand in
tests/conformance/programs/loop-gradients.ts."""

from programs import holder, run, tf, use

PROGRAMS = {}


def program(fn):
    PROGRAMS["gradient_" + fn.__name__] = fn
    return fn


def name_all(grads, names):
    for grad, name in zip(grads, names):
        tf.identity(grad, name=name)
    return [f"{name}:0" for name in names]


def weighted(resource):
    use(resource)
    x = holder("x", [None, 2])
    w = tf.get_variable("w", [2, 2], initializer=tf.ones_initializer())
    y = tf.while_loop(lambda i, a: i < 3, lambda i, a: (i + 1, tf.tanh(tf.matmul(a, w)) * 0.5), [0, x])[1]
    names = name_all(tf.gradients(y, [x, w]), ["dx", "dw"])
    return run(1, [{"x:0": [[0.1, 0.2], [0.3, -0.4]]}], names)


@program
def weights():
    return weighted(False)


@program
def resource_weights():
    return weighted(True)


@program
def dynamic_weights():
    x = holder("x", [None, None])
    w = holder("w", [None, None])
    y = tf.while_loop(lambda i, a: i < 3, lambda i, a: (i + 1, tf.tanh(a * w)), [0, x], swap_memory=True)[1]
    names = name_all(tf.gradients(y, [x, w]), ["dx", "dw"])
    return run(2, [{"x:0": [[0.1, 0.2]], "w:0": [[0.5]]}, {"x:0": [[0.1, 0.2]], "w:0": [[0.5, 2.0]]}], names)


@program
def counted():
    x = holder("x", [])
    n = holder("n", [], tf.int32)
    y = tf.while_loop(lambda i, a: i < n, lambda i, a: (i + 1, a * a + x), [0, x], parallel_iterations=1)[1]
    names = name_all(tf.gradients(y, [x]), ["dx"])
    return run(3, [{"x:0": 0.5, "n:0": 0}, {"x:0": 0.5, "n:0": 1}, {"x:0": 0.5, "n:0": 3}], names)


@program
def limited():
    x = holder("x", [])
    y = tf.while_loop(lambda s: s < 100.0, lambda s: s * x, [x], maximum_iterations=3)
    names = name_all(tf.gradients(y, [x]), ["dx"])
    return run(2, [{"x:0": 2.0}, {"x:0": 30.0}], names)


@program
def nested():
    x = holder("x", [])
    n = holder("n", [], tf.int32)

    def inner(i, s):
        return tf.while_loop(lambda j, u: j < i, lambda j, u: (j + 1, u * x * s), [tf.constant(0), s])[1]

    y = tf.while_loop(lambda i, s: i < n, lambda i, s: (i + 1, inner(i, s) + 1.0), [0, x])[1]
    names = name_all(tf.gradients(y, [x]), ["dx"])
    return run(2, [{"x:0": 0.5, "n:0": 3}, {"x:0": 0.7, "n:0": 0}], names)


@program
def nested_dynamic():
    x = holder("x", [None])
    w = holder("w", [None])

    def inner(i, s):
        def body(j, u, v):
            return j + 1, tf.tanh(u * w), v + u

        return tf.while_loop(lambda j, u, v: j < 2, body, [tf.constant(0), s, x])[2]

    y = tf.while_loop(lambda i, s: i < 2, lambda i, s: (i + 1, inner(i, s) + x), [0, x])[1]
    names = name_all(tf.gradients(y, [x, w]), ["dx", "dw"])
    return run(1, [{"x:0": [0.5, -1.0], "w:0": [0.5]}], names)


@program
def cond_in_loop():
    x = holder("x", [])
    limit = holder("limit", [])

    def body(i, s):
        s = tf.cond(s > limit, lambda: s - x * x, lambda: s * 2.0 + tf.constant(1.0) * x)
        return i + 1, s

    y = tf.while_loop(lambda i, s: i < 6, body, [0, x])[1]
    names = name_all(tf.gradients(y, [x]), ["dx"])
    return run(2, [{"x:0": 3.0, "limit:0": 5.0}, {"x:0": 1.0, "limit:0": 100.0}], names)


@program
def dynamic_cond_in_loop():
    x = holder("x", [None])
    w = tf.get_variable("w", [2], initializer=tf.ones_initializer())

    def body(i, s, t):
        s, t = tf.cond(tf.equal(i % 2, 0), lambda: (s * w, s * t), lambda: (tf.tanh(s), s))
        return i + 1, s, t

    y = tf.while_loop(lambda i, s, t: i < 4, body, [0, x, x])[1]
    names = name_all(tf.gradients(y, [x, w]), ["dx", "dw"])
    return run(1, [{"x:0": [0.5, -0.25]}], names)


@program
def loop_in_cond():
    x = holder("x", [])
    goes = holder("goes", [], tf.bool)

    def loop():
        return tf.while_loop(lambda i, s: i < 3, lambda i, s: (i + 1, s * x), [tf.constant(0), x])[1]

    y = tf.cond(goes, loop, lambda: x + 1.0)
    names = name_all(tf.gradients(y, [x]), ["dx"])
    return run(2, [{"x:0": 3.0, "goes:0": True}, {"x:0": 3.0, "goes:0": False}], names)


@program
def deep():
    x = holder("x", [])

    def inner(i, s):
        def body(j, u):
            return j + 1, tf.cond(u > 10.0, lambda: u - x * x, lambda: u * x)

        return tf.while_loop(lambda j, u: j < i, body, [tf.constant(0), s])[1]

    y = tf.while_loop(lambda i, s: i < 4, lambda i, s: (i + 1, inner(i, s)), [0, x])[1]
    names = name_all(tf.gradients(y, [x]), ["dx"])
    return run(1, [{"x:0": 2.0}], names)


@program
def array():
    x = holder("x", [3, 2])
    rows = tf.TensorArray(tf.float32, 3).unstack(x)
    made = tf.TensorArray(tf.float32, 3)

    def body(i, s, out):
        s = tf.tanh(s + rows.read(i))
        return i + 1, s, out.write(i, s)

    out = tf.while_loop(lambda i, s, o: i < 3, body, [tf.constant(0), tf.zeros([2]), made])[2]
    names = name_all(tf.gradients(out.stack(), [x]), ["dx"])
    return run(1, [{"x:0": [[0.5, -0.5], [0.1, 0.2], [1.0, 2.0]]}], names)


def rows_of(resource):
    use(resource)
    ids = holder("ids", [None], tf.int32)
    w = tf.get_variable("w", [4, 2], initializer=tf.ones_initializer())
    y = tf.while_loop(lambda i, s: i < 3, lambda i, s: (i + 1, s + tf.reduce_sum(tf.gather(w, ids), 0)), [0, tf.constant([1.0, 2.0])])[1]
    grad = tf.gradients(y * y, [w])[0]
    names = name_all([grad.values, grad.indices], ["values", "indices"])
    return run(1, [{"ids:0": [1, 3, 1]}], names)


@program
def rows():
    return rows_of(False)


@program
def resource_rows():
    return rows_of(True)


@program
def static_rows():
    use(True)
    w = tf.get_variable("w", [4, 2], initializer=tf.ones_initializer())

    def body(i, s):
        return i + 1, s * tf.reduce_sum(tf.gather(w, tf.stack([i, i + 1])), 0)

    y = tf.while_loop(lambda i, s: i < 3, body, [0, tf.constant([1.0, 2.0])])[1]
    grad = tf.gradients(y, [w])[0]
    names = name_all([grad.values, grad.indices], ["values", "indices"])
    return run(1, [{}], names)


@program
def rows_leave():
    x = holder("x", [4, 2])
    ids = holder("ids", [None], tf.int32)
    y = tf.while_loop(lambda i, s: i < 2, lambda i, s: (i + 1, tf.identity(s)), [0, x])[1]
    grad = tf.gradients(tf.gather(y, ids), [x])[0]
    names = name_all([grad.values, grad.indices], ["values", "indices"])
    return run(1, [{"x:0": [[1.0, 2.0]] * 4, "ids:0": [0, 2]}], names)


@program
def unused():
    x = holder("x", [None])
    z = holder("z", [2])

    def body(i, a, b, c):
        return i + 1, a * b + c, b * 2.0, c * c

    y = tf.while_loop(lambda i, a, b, c: i < 3, body, [0, x, x, z])[1]
    names = name_all(tf.gradients(y, [x, z]), ["dx", "dz"])
    return run(1, [{"x:0": [1.0, 2.0], "z:0": [0.5, 0.25]}], names)


@program
def anew():
    x = holder("x", [None])
    z = holder("z", [2])
    w = tf.get_variable("w", [], initializer=tf.ones_initializer())

    def body(i, a, b):
        return i + 1, x * w, z * w

    _, a, b = tf.while_loop(lambda i, a, b: i < 3, body, [0, x, z])
    names = name_all(tf.gradients([a, b], [x, z, w]), ["dx", "dz", "dw"])
    return run(1, [{"x:0": [1.0, 2.0], "z:0": [0.5, 0.25]}], names)


@program
def growing():
    x = holder("x", [1])
    y = tf.while_loop(
        lambda i, s: i < 3,
        lambda i, s: (i + 1, tf.concat([s, s * s], 0)),
        [tf.constant(0), x],
        shape_invariants=[tf.TensorShape([]), tf.TensorShape([None])],
    )[1]
    names = name_all(tf.gradients(y, [x]), ["dx"])
    return run(1, [{"x:0": [2.0]}], names)


@program
def twice():
    x = holder("x", [])
    y = tf.while_loop(lambda i, s: i < 3, lambda i, s: (i + 1, s * x), [0, x])[1]
    names = name_all([tf.gradients(y, [x])[0], tf.gradients(y * y, [x])[0]], ["once", "again"])
    return run(1, [{"x:0": 2.0}], names)


@program
def one_after_another():
    x = holder("x", [2])
    a = tf.while_loop(lambda i, s: i < 3, lambda i, s: (i + 1, s * x), [0, x])[1]
    b = tf.while_loop(lambda i, s: i < 2, lambda i, s: (i + 1, s + a * tf.sigmoid(s)), [0, a])[1]
    names = name_all(tf.gradients(b, [x], colocate_gradients_with_ops=True), ["dx"])
    return run(1, [{"x:0": [0.5, 0.75]}], names)


@program
def inside():
    x = holder("x", [])

    def body(i, s):
        return i + 1, s - 0.1 * tf.gradients(s * s * x, [s])[0]

    tf.identity(tf.while_loop(lambda i, s: i < 3, body, [0, x])[1], name="y")
    return run(1, [{"x:0": 2.0}], ["y:0"])


@program
def none():
    x = holder("x", [])
    w = holder("w", [])
    y = tf.while_loop(lambda i, s: i < 3, lambda i, s: (i + 1, s * w), [0, x], back_prop=False)[1]
    assert tf.gradients(y, [x]) == [None]
    names = name_all(tf.gradients(y + x, [x]), ["dx"])
    return run(1, [{"x:0": 2.0, "w:0": 3.0}], names)


@program
def cond_in_cond():
    x = holder("x", [None])
    w = holder("w", [])

    def body(i, s):
        def even():
            return tf.cond(tf.equal(i, 2), lambda: s * s, lambda: s * w)

        return i + 1, tf.cond(tf.equal(i % 2, 0), even, lambda: tf.tanh(s) + x)

    y = tf.while_loop(lambda i, s: i < 4, body, [0, x])[1]
    names = name_all(tf.gradients(y, [x, w]), ["dx", "dw"])
    return run(1, [{"x:0": [0.5, -0.25], "w:0": 0.75}], names)


@program
def loop_in_cond_in_loop():
    x = holder("x", [])
    w = holder("w", [])

    def body(i, s):
        def loop():
            return tf.while_loop(lambda j, u: j < i, lambda j, u: (j + 1, u * w), [tf.constant(0), s])[1]

        return i + 1, tf.cond(tf.equal(i % 2, 0), loop, lambda: s * x)

    y = tf.while_loop(lambda i, s: i < 4, body, [0, x])[1]
    names = name_all(tf.gradients(y, [x, w]), ["dx", "dw"])
    return run(1, [{"x:0": 0.5, "w:0": 0.75}], names)


@program
def asked_in_cond():
    x = holder("x", [])
    goes = holder("goes", [], tf.bool)
    y = tf.while_loop(lambda i, s: i < 3, lambda i, s: (i + 1, s * x), [0, x])[1]

    def inside():
        z = tf.while_loop(lambda i, s: i < 2, lambda i, s: (i + 1, s * x), [tf.constant(0), y])[1]
        return tf.gradients(z, [y])[0]

    tf.identity(tf.cond(goes, inside, lambda: x), name="dy")
    return run(2, [{"x:0": 3.0, "goes:0": True}, {"x:0": 3.0, "goes:0": False}], ["dy:0"])


@program
def asked_in_loop():
    x = holder("x", [])

    def body(i, s):
        z = tf.while_loop(lambda j, u: j < 2, lambda j, u: (j + 1, u * s * x), [tf.constant(0), s])[1]
        s = s - 0.1 * tf.gradients(z, [s])[0]
        return i + 1, s

    tf.identity(tf.while_loop(lambda i, s: i < 3, body, [0, x])[1], name="y")
    return run(1, [{"x:0": 0.5}], ["y:0"])


@program
def read_in_cond():
    use(True)
    x = holder("x", [2])
    w = tf.get_variable("w", [2], initializer=tf.ones_initializer())
    table = tf.get_variable("table", [3, 2], initializer=tf.ones_initializer())

    def body(i, s):
        return i + 1, tf.cond(tf.equal(i % 2, 0), lambda: s * w, lambda: s + tf.gather(table, i))

    y = tf.while_loop(lambda i, s: i < 3, body, [0, x])[1]
    dw, dtable = tf.gradients(y * y, [w, table])
    names = name_all([dw, dtable.values, dtable.indices], ["dw", "values", "indices"])
    return run(1, [{"x:0": [0.5, 2.0]}], names)


@program
def none_within():
    x = holder("x", [])

    def body(i, s):
        t = tf.while_loop(lambda j, u: j < 2, lambda j, u: (j + 1, u * x), [tf.constant(0), s], back_prop=False)[1]
        return i + 1, s * x + t

    y = tf.while_loop(lambda i, s: i < 3, body, [0, x])[1]
    names = name_all(tf.gradients(y, [x]), ["dx"])
    return run(1, [{"x:0": 0.5}], names)


@program
def arrays_in_nested():
    x = holder("x", [2, 3])
    rows = tf.TensorArray(tf.float32, 2).unstack(x)
    sums = tf.TensorArray(tf.float32, 2)

    def outer(i, out):
        row = rows.read(i)

        def inner(j, u):
            return j + 1, u * row + row

        u = tf.while_loop(lambda j, u: j < i + 1, inner, [tf.constant(0), row])[1]
        return i + 1, out.write(i, u)

    out = tf.while_loop(lambda i, o: i < 2, outer, [tf.constant(0), sums])[1]
    names = name_all(tf.gradients(out.stack(), [x]), ["dx"])
    return run(1, [{"x:0": [[0.5, 1.0, 2.0], [0.1, 0.2, 0.3]]}], names)


def through_file(build):
    made = tf.Graph()
    with made.as_default():
        build()
        meta = tf.train.export_meta_graph()
    tf.train.import_meta_graph(meta)


def imported_nested():
    def build():
        x = holder("x", [])
        n = holder("n", [], tf.int32)

        def inner(i, s):
            return tf.while_loop(lambda j, u: j < i, lambda j, u: (j + 1, u * x * s), [tf.constant(0), s])[1]

        tf.identity(tf.while_loop(lambda i, s: i < n, lambda i, s: (i + 1, inner(i, s) + 1.0), [0, x])[1], name="y")

    through_file(build)
    graph = tf.get_default_graph()
    x, y = graph.get_tensor_by_name("x:0"), graph.get_tensor_by_name("y:0")
    names = name_all(tf.gradients(y, [x]), ["dx"])
    return run(1, [{"x:0": 0.5, "n:0": 3}], names)


def imported_cond():
    def build():
        x = holder("x", [None])

        def body(i, s):
            return i + 1, tf.cond(tf.equal(i % 2, 0), lambda: s * x, lambda: tf.tanh(s))

        tf.identity(tf.while_loop(lambda i, s: i < 4, body, [0, x])[1], name="y")

    through_file(build)
    graph = tf.get_default_graph()
    x, y = graph.get_tensor_by_name("x:0"), graph.get_tensor_by_name("y:0")
    names = name_all(tf.gradients(y, [x]), ["dx"])
    return run(1, [{"x:0": [0.5, 0.25]}], names)


IMPORTED = {"nested": imported_nested, "cond": imported_cond}


def rnn(resource):
    use(resource)
    x = holder("x", [3, None, 2])
    labels = holder("labels", [None, 2])
    start = tf.random_uniform_initializer(-0.5, 0.5, seed=3)
    w = tf.get_variable("w", [4, 2], initializer=start)
    bias = tf.get_variable("bias", [2], initializer=tf.zeros_initializer())
    steps = tf.TensorArray(tf.float32, 3, name="steps").unstack(x)
    states = tf.TensorArray(tf.float32, 3, name="states")

    def body(i, state, states):
        joined = tf.concat([steps.read(i), state], 1)
        state = tf.tanh(tf.matmul(joined, w) + bias)
        return i + 1, state, states.write(i, state)

    zero = tf.zeros_like(x[0])
    _, last, states = tf.while_loop(lambda i, s, t: i < 3, body, [tf.constant(0), zero, states])
    loss = tf.reduce_mean(tf.square(last - labels), [0, 1]) + tf.reduce_mean(tf.square(states.stack()), [0, 1, 2])
    loss = tf.identity(loss, name="loss")
    tf.train.GradientDescentOptimizer(0.5).minimize(loss, name="train")
    feed = {
        "x:0": [[[0.5, 1.0], [0.1, 0.2]], [[-0.5, 0.25], [1.0, -1.0]], [[0.3, 0.4], [-0.2, 0.6]]],
        "labels:0": [[0.5, -0.5], [0.25, 0.75]],
    }
    return run(4, [feed] * 4, ["loss:0"])


@program
def rnn_ref():
    return rnn(False)


@program
def rnn_resource():
    return rnn(True)

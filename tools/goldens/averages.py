"""Programs of moving averages as TensorFlow 1 style Python writes them.

Writes tests/goldens/averages/ in the form of programs.py; the TypeScript twins stand in tests/conformance/programs/averages.ts. Names that
Python functions return become a Const, so that they are compared with the nodes.

Usage: python tools/goldens/averages.py
"""

import tensorflow.compat.v1 as tf
from programs import BOTH, OUT, holder, run, use, write
from tensorflow.python.training import moving_averages

PROGRAMS = {}


def program(fn):
    PROGRAMS[fn.__name__] = fn
    return fn


def each(**variants):
    def register(fn):
        for name, args in variants.items():
            PROGRAMS[f"{fn.__name__}_{name}"] = lambda args=args: fn(**args)
        return fn

    return register


def names_of(values, name):
    tf.constant([str(v) for v in values], name=name)


EMA = tf.train.ExponentialMovingAverage
FEEDS = [{"x:0": [[1.0, 2.0], [3.0, 6.0]]}, {"x:0": [[0.5, -2.0], [4.0, 1.0]]}, {"x:0": [[7.0, 0.0], [1.0, 1.0]]}]


@each(**BOTH)
def ema(resource):
    """After each step, with the number of steps; then the restore map."""
    use(resource)
    x = holder("x", [2, 2])
    step = tf.train.get_or_create_global_step()
    with tf.variable_scope("net"):
        w = tf.get_variable("w", initializer=[10.0, 20.0])
        b = tf.get_variable("b", initializer=[1.0, -1.0])
        tf.get_variable("moving", initializer=[5.0], trainable=False)
    moves = [w.assign_sub(tf.reduce_mean(x, 0)), b.assign_add(x[0]), step.assign_add(1)]
    with tf.control_dependencies(moves):
        average = EMA(0.9, num_updates=step)
        tf.group(average.apply(), name="train")
    names_of([average.average_name(v) for v in (w, b, step)], "names")
    names_of(sorted(f"{k}={v.op.name}" for k, v in average.variables_to_restore().items()), "restore")
    names_of(sorted(f"{k}={v.op.name}" for k, v in average.variables_to_restore([w]).items()), "restore_w")
    tf.train.Saver(dict(sorted(average.variables_to_restore().items())))
    tf.global_variables_initializer()
    return run(3, FEEDS)


@each(**BOTH)
def ema_scopes(resource):
    """Shadows made inside scopes; names of variables that have none; a second object of the same name."""
    use(resource)
    first, second = EMA(0.5, name="E"), EMA(0.25, name="E")
    with tf.variable_scope("a"):
        w = tf.get_variable("w", initializer=1.0)
        names_of([first.average_name(w)], "before")
        first.apply([w])
        names_of([first.average_name(w), second.average_name(w)], "after")
    v = tf.get_variable("v", initializer=2.0)
    with tf.name_scope("ns"):
        first.apply([v])
        names_of([first.average_name(v), first.average_name(w)], "in_ns")
    second.apply([w, v])
    names_of([second.average_name(w), second.average_name(v)], "second")
    u = tf.get_variable("u", initializer=3.0)
    names_of([second.average_name(u)], "untracked")
    second.apply([w, u])
    with tf.variable_scope("a", reuse=True):
        names_of([EMA(0.5, name="F").average_name(w)], "reused")
    names_of(sorted(f"{k}={x.op.name}" for k, x in second.variables_to_restore().items()), "restore")


@each(**BOTH)
def ema_tensors(resource):
    """Averages of tensors start at zero, and may be debiased; one has no static shape."""
    use(resource)
    x = holder("x", [2, 2])
    y = tf.reduce_mean(x, 0, name="y")
    loose = tf.placeholder_with_default(tf.constant([1.0, 3.0], name="ones"), [None], name="loose")
    w = tf.get_variable("w", initializer=[4.0, 2.0])
    plain, debiased = EMA(0.9), EMA(0.9, zero_debias=True, name="D")
    tf.group(plain.apply([y, w]), debiased.apply([y, w]), EMA(0.5, name="L").apply([loose]), name="train")
    names_of([plain.average_name(y), debiased.average_name(y)], "names")
    return run(3, FEEDS)


@program
def ema_settings():
    """Dtypes; decays and counts that are numbers or tensors."""
    use(False)
    d = tf.get_variable("d", initializer=tf.constant([1.0, 2.0], tf.float64))
    h = tf.get_variable("h", initializer=tf.constant([1.0, 2.0], tf.float16))
    f = tf.get_variable("f", initializer=[1.0, 2.0])
    count = tf.get_variable("count", initializer=0.0, trainable=False)
    n = tf.constant(3, name="n")
    ops = [
        EMA(0.75, num_updates=5).apply([d]),
        EMA(tf.constant(0.5, name="half"), num_updates=tf.constant(2.0, name="two"), name="T").apply([h]),
        EMA(0.99, num_updates=n, name="N").apply([f]),
        EMA(0.99, num_updates=count, name="C").apply([f]),
    ]
    tf.group(*ops, [v.assign_add(v) for v in (d, f)], name="apart")


@each(**BOTH)
def ema_guarded(resource):
    """Shadows of variables whose initial value needs other variables, made under control dependencies: one initializer for all."""
    use(resource)
    a = tf.get_variable("a", initializer=[1.0, 2.0])
    b = tf.Variable(a * 2.0, name="b")
    with tf.control_dependencies([a.assign_add([1.0, 1.0])]):
        tf.group(EMA(0.5).apply([a, b]), name="train")
    tf.global_variables_initializer()


@each(assign={"verb": "assign"}, assign_add={"verb": "assign_add"})
def read_before_write(verb):
    """An op after a write sees the new value of a reference variable, though the read that it takes came before."""
    use(False)
    v = tf.get_variable("v", initializer=[1.0, 2.0])
    read = v.value()
    with tf.control_dependencies([getattr(v, verb)([5.0, 7.0])]):
        tf.multiply(read, 10.0, name="product")
        tf.identity(read, name="same")
    return run(2, [{}, {}], ["product:0", "same:0"])


@each(**BOTH)
def ema_partitioned(resource):
    """Shadows of parts are parts of one shadow in checkpoints."""
    use(resource)
    x = holder("x", [2, 2])
    with tf.variable_scope("vs", partitioner=tf.fixed_size_partitioner(2)):
        parts = list(tf.get_variable("w", [2, 2], initializer=tf.ones_initializer()))
    moves = [part.assign_sub(x[i : i + 1]) for i, part in enumerate(parts)]
    with tf.control_dependencies(moves):
        tf.group(EMA(0.75, name="E").apply(), name="train")
    names_of(sorted(EMA(0.75, name="E").variables_to_restore()), "restore")
    return run(2, FEEDS[:2])


@each(**BOTH)
def debias(resource):
    """Zero debias in scopes, twice for one variable, with a decay that is a tensor."""
    use(resource)
    x = holder("x", [2, 2])
    y = tf.reduce_mean(x, 0)
    with tf.variable_scope("one"), tf.variable_scope("two"):
        v = tf.get_variable("v", initializer=[10.0, 10.0], trainable=False)
        first = moving_averages.assign_moving_average(v, y, 0.9)
        w = tf.get_variable("w", initializer=[1.0, 1.0], trainable=False)
        moving_averages.assign_moving_average(v, y, tf.constant(0.5, name="half"), name="again")
    plain = moving_averages.assign_moving_average(w, v, tf.constant(0.25), zero_debias=False)
    tf.group(first, name="train")
    tf.group(plain, name="plain")
    return run(3, FEEDS)


if __name__ == "__main__":
    write(PROGRAMS, OUT.parent / "averages", "averages.py")

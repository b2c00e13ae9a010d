"""Programs on names, scopes, templates, getters, partitioned variables and collections, as TensorFlow 1 style Python writes them.

Writes tests/goldens/scopes/ as programs.py writes its folder. The TypeScript twins stand in tests/conformance/programs/scopes.ts.

Usage: python tools/goldens/scopes.py
"""

import pathlib

from programs import BOTH, batch_normalization, core, holder, regularizers, run, tf, use, write

OUT = pathlib.Path(__file__).resolve().parents[2] / "tests" / "goldens" / "scopes"
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


def c(name):
    return tf.constant(0.0, name=name)


@program
def names():
    for name in ["c", "c", "c", "C", "c_1", "c_1", "s"]:
        c(name)
    for scope in ["s", "S", "s/", "a/b", "C"]:
        with tf.name_scope(scope):
            c("x")
            c("X")
    with tf.name_scope("a"):
        c("x")
        with tf.name_scope("_in"):
            c("_y")
            c("-z")
            with tf.name_scope(None):
                c("root")
                with tf.name_scope("a/"):
                    c("x")
            with tf.name_scope(""):
                c("root")
    c("exact/")
    c("deep/exact/")
    with tf.name_scope("deep"):
        c("other")
    c(".dot")
    c("b>c")


@each(**BOTH)
def variable_names(resource):
    use(resource)
    tf.Variable(1.0)
    tf.Variable(2.0)
    tf.Variable(3.0, name="w")
    tf.Variable(3.0, name="W")
    tf.get_variable("w", [1])
    with tf.variable_scope("vs"):
        tf.Variable(1.0, name="w")
        tf.get_variable("w", [1])
    with tf.variable_scope("vs", reuse=True):
        tf.identity(tf.get_variable("w", [1]))
    tf.get_variable("a/b", [1])
    tf.get_variable("typed", dtype=tf.float32, initializer=tf.constant([1.0]))
    tf.get_variable("literal", dtype=tf.float32, initializer=[1.0])
    c("Const")


@program
def jumps():
    use(False)
    with tf.variable_scope("a") as a:
        with tf.variable_scope(None, default_name="d"):
            tf.get_variable("v", [1])
            c("x")
        with tf.variable_scope(None, default_name="d"):
            tf.get_variable("v", [1])
            c("x")
    with tf.variable_scope("b", reuse=tf.AUTO_REUSE):
        with tf.variable_scope(a):
            c("x")
            tf.get_variable("k", [1])
            with tf.variable_scope(None, default_name="d"):
                c("x")
                tf.get_variable("u", [1])
        with tf.variable_scope(a, auxiliary_name_scope=False) as again:
            c("x")
            with tf.name_scope(again.original_name_scope):
                c("x")
            with tf.variable_scope("in"):
                c("x")
                tf.get_variable("k", [1])
    with tf.variable_scope("a", auxiliary_name_scope=False):
        c("x")
        with tf.variable_scope("d"):
            c("x")
    with tf.variable_scope("a/d_1", reuse=True):
        tf.identity(tf.get_variable("v", [1]))
    with tf.variable_scope(""):
        c("x")
        tf.get_variable("root", [1])
    with tf.variable_scope(tf.get_variable_scope(), reuse=True):
        c("x")
        tf.identity(tf.get_variable("root", [1]))
    with tf.variable_scope(None, default_name="e", auxiliary_name_scope=False):
        c("x")
        tf.get_variable("v", [1])


@each(**BOTH)
def defaults(resource):
    use(resource)
    halve = lambda v: v * 0.5
    norm = lambda v: tf.nn.l2_loss(v)
    with tf.variable_scope(
        "s",
        initializer=tf.constant_initializer(2.0),
        regularizer=norm,
        constraint=halve,
        caching_device="/job:worker/device:CPU:0",
        dtype=tf.float64,
    ):
        v = tf.get_variable("v", [2])
        tf.identity(v, name="i")
        with tf.variable_scope("t", regularizer=tf.no_regularizer, dtype=tf.float32):
            tf.get_variable("v", [2])
    with tf.device("/job:ps/task:1"):
        w = tf.get_variable("w", [2], caching_device="/device:CPU:0", initializer=tf.ones_initializer())
    w.assign_add(tf.constant([1.0, 1.0]))
    total = tf.reduce_sum(tf.square(w)) + tf.cast(tf.reduce_sum(v), tf.float32)
    tf.train.GradientDescentOptimizer(0.1).minimize(total, name="train")


@each(**BOTH)
def collections(resource):
    use(resource)
    ones = tf.ones_initializer()
    tf.get_variable("plain", [1], initializer=ones)
    tf.get_variable("frozen", [1], initializer=ones, trainable=False)
    tf.get_variable("mine", [1], initializer=ones, collections=["mine"])
    tf.get_variable("mine_frozen", [1], initializer=ones, collections=["mine"], trainable=False)
    tf.get_variable("local", [1], initializer=ones, collections=[tf.GraphKeys.LOCAL_VARIABLES])
    tf.get_local_variable("own", [1], initializer=ones)
    tf.get_local_variable("both", [1], initializer=ones, collections=["mine"])
    tf.get_variable("read", [1], initializer=ones, synchronization=tf.VariableSynchronization.ON_READ)
    tf.get_variable(
        "model", [1], initializer=ones, collections=[tf.GraphKeys.GLOBAL_VARIABLES, tf.GraphKeys.MODEL_VARIABLES]
    )
    tf.global_variables_initializer()
    tf.local_variables_initializer()


@each(**BOTH)
def getters(resource):
    use(resource)

    def renames(getter, name, *args, **kwargs):
        return getter(name + "_a", *args, **kwargs)

    def doubles(getter, name, *args, **kwargs):
        with tf.name_scope("doubled"):
            return getter(name + "_b", *args, **kwargs) * 2.0

    def freezes(getter, name, *args, **kwargs):
        kwargs["trainable"] = False
        return getter(name, *args, **kwargs)

    def twice(getter, name, *args, **kwargs):
        return getter(name + "/one", *args, **kwargs) + getter(name + "/two", *args, **kwargs)

    with tf.variable_scope("s", custom_getter=renames) as s:
        tf.get_variable("v", [1])
        with tf.variable_scope("t", custom_getter=doubles):
            tf.identity(tf.get_variable("v", [1]))
            with tf.variable_scope("u", custom_getter=freezes):
                tf.identity(tf.get_variable("v", [1]))
        tf.get_variable("own", [1], custom_getter=freezes)
    with tf.variable_scope(s, custom_getter=freezes):
        tf.get_variable("k", [1])
    with tf.variable_scope(s, reuse=True):
        tf.identity(tf.get_variable("v", [1]))
    tf.identity(tf.get_variable("sum", [1], custom_getter=twice))


@each(**BOTH)
def templates(resource):
    use(resource)

    def scale(x, name="y"):
        return x * tf.get_variable(name, [], initializer=tf.ones_initializer())

    x = holder("x", [2])
    t = tf.make_template("scale", scale)
    t(x)
    t(x)
    other = tf.make_template("scale", scale, name="z")
    with tf.variable_scope("inner"):
        other(x)
        t(x)
    other(x)
    now = tf.make_template("now", scale, create_scope_now_=True)
    with tf.variable_scope("elsewhere"):
        now(x)
    now(x)
    tf.make_template("scale", scale, unique_name_="mine")(x)
    with tf.variable_scope("vs") as vs:
        tf.make_template("scale", scale)(x)
    with tf.variable_scope(vs, reuse=True):
        tf.make_template("scale", scale)(x)

    def outer(x):
        return tf.make_template("part", scale)(tf.make_template("part", scale)(x))

    nested = tf.make_template("outer", outer)
    nested(x)

    def frozen(getter, *args, **kwargs):
        return getter(*args, **dict(kwargs, trainable=False))

    tf.make_template("frozen", scale, custom_getter_=frozen)(x)


@each(**BOTH)
def partitions(resource):
    use(resource)
    tf.set_random_seed(7)
    two = tf.fixed_size_partitioner(2)
    w = tf.get_variable("w", [5, 3], partitioner=tf.fixed_size_partitioner(3))
    x = holder("x", [2, 5])
    y = tf.matmul(x, w)
    tf.identity(w, name="whole")
    tf.get_variable("axis1", [2, 3], partitioner=tf.fixed_size_partitioner(2, axis=1), initializer=tf.zeros_initializer())
    tf.get_variable("value", initializer=tf.constant([1.0, 2.0, 3.0]), partitioner=two)
    tf.get_variable("literal", shape=[3], initializer=[1.0, 2.0, 3.0], partitioner=two)
    tf.get_variable("eye", [3, 3], initializer=tf.initializers.identity(), partitioner=two)
    tf.get_variable("unit", [3, 3], initializer=tf.uniform_unit_scaling_initializer(), partitioner=two)
    tf.get_variable("scaled", [4, 3], initializer=tf.variance_scaling_initializer(), partitioner=two)
    tf.get_variable("bytes", [7, 4], partitioner=tf.variable_axis_size_partitioner(40))
    tf.get_variable("most", [7, 4], partitioner=tf.variable_axis_size_partitioner(1, axis=1, max_shards=3))
    tf.get_variable("text", [3], dtype=tf.string, partitioner=tf.variable_axis_size_partitioner(32))
    tf.get_variable("minmax", [8, 2], partitioner=tf.min_max_variable_partitioner(max_partitions=4, min_slice_size=32))
    tf.get_variable("few", [2], partitioner=tf.fixed_size_partitioner(9))
    with tf.variable_scope("s", partitioner=two, regularizer=tf.nn.l2_loss):
        tf.get_variable("scalar", [], initializer=tf.ones_initializer())
        tf.get_variable("v", [2, 2], trainable=False)
        one = tf.get_variable("one", [2], partitioner=tf.fixed_size_partitioner(1))
        tf.identity(one)
        with tf.control_dependencies([y]):
            tf.identity(tf.get_variable("dep", [2]))
    with tf.variable_scope("", reuse=True):
        tf.identity(tf.get_variable("w", [5, 3]))
        tf.identity(tf.get_variable("w/part_1", [2, 3]))
    w.assign(tf.ones([5, 3]))
    w.assign_add([p * 2.0 for p in w])
    w.assign_sub(w)
    tf.global_variables_initializer()


@each(**BOTH)
def partitioned_training(resource):
    use(resource)
    tf.set_random_seed(3)
    with tf.variable_scope("net", partitioner=tf.fixed_size_partitioner(2)):
        w = tf.get_variable("w", [3, 2])
        b = tf.get_variable("b", [2], initializer=tf.zeros_initializer())
    x = holder("x", [None, 3])
    y = tf.identity(tf.matmul(x, w) + b, name="y")
    loss = tf.reduce_sum(tf.square(y))
    step = tf.train.get_or_create_global_step()
    tf.train.AdamOptimizer(0.1).minimize(loss, global_step=step, name="train")
    feed = {"x:0": [[1.0, 2.0, 3.0], [-1.0, 0.5, 2.0]]}
    return run(3, [feed] * 3, ["y:0"])


@each(**BOTH)
def partitioned_layers(resource):
    use(resource)
    tf.set_random_seed(3)
    x = holder("x", [2, 4])
    for reuse in (False, True):
        with tf.variable_scope("net", partitioner=tf.fixed_size_partitioner(2)):
            core.dense(x, 3, kernel_regularizer=regularizers.l2(0.1), name="d", reuse=reuse)
    core.dense(holder("y", [2, 3, 4]), 3, name="d2")


@program
def gan():
    """A discriminator applied twice with one set of variables: where its second application's ops and update ops go."""
    use(False)
    tf.set_random_seed(5)
    z, real = holder("z", [4, 2]), holder("real", [4, 3])

    def generator(z):
        with tf.variable_scope("G", reuse=tf.AUTO_REUSE):
            w = tf.get_variable("w", [2, 3])
            return batch_normalization(tf.matmul(z, w), training=True, name="bn")

    def discriminator(x):
        with tf.variable_scope("D", reuse=tf.AUTO_REUSE):
            h = batch_normalization(tf.matmul(x, tf.get_variable("w", [3, 4])), training=True, name="bn")
            return tf.reduce_mean(tf.matmul(h, tf.get_variable("out", [4, 1])))

    fake = generator(z)
    on_real, on_fake = discriminator(real), discriminator(fake)
    d_loss, g_loss = tf.subtract(on_fake, on_real), tf.negative(on_fake)
    updates = tf.get_collection(tf.GraphKeys.UPDATE_OPS)
    for loss, scope, mine in [(d_loss, "D", updates[2:]), (g_loss, "G", updates[:2])]:
        with tf.control_dependencies(mine):
            variables = tf.trainable_variables(scope + "/")
            tf.train.AdamOptimizer(0.01).minimize(loss, var_list=variables, name=scope + "_train")


if __name__ == "__main__":
    write(PROGRAMS, OUT, "scopes.py")

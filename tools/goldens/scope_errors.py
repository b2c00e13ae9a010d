"""Sentences that TensorFlow 1 style Python raises about names, scopes, variables, fetches and feeds.

Writes tests/goldens/scope-errors/: errors.json (class and text of each error, by situation), manifest.json. The same situations stand in
tests/conformance/scope-errors.test.ts.

Usage: python tools/goldens/scope_errors.py
"""

import json
import os
import pathlib
import re

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")

import tensorflow as tf2
import tensorflow.compat.v1 as tf

tf.disable_v2_behavior()

OUT = pathlib.Path(__file__).resolve().parents[2] / "tests" / "goldens" / "scope-errors"
CASES = {}


def case(fn):
    CASES[fn.__name__] = fn
    return fn


def two():
    return tf.fixed_size_partitioner(2)


@case
def made_twice():
    tf.get_variable("w", [2])
    tf.get_variable("w", [2])


@case
def made_twice_resource():
    tf.get_variable("w", [2], use_resource=True)
    tf.get_variable("w", [2], use_resource=True)


@case
def missing():
    with tf.variable_scope("s", reuse=True):
        tf.get_variable("nope", [2])


@case
def other_shape():
    tf.get_variable("w", [2, 3])
    with tf.variable_scope("", reuse=True):
        tf.get_variable("w", [3, 2])


@case
def other_dtype():
    tf.get_variable("w", [2, 3])
    with tf.variable_scope("", reuse=True):
        tf.get_variable("w", [2, 3], dtype=tf.int32)


@case
def no_shape():
    tf.get_variable("ns")


@case
def constant_and_shape():
    tf.get_variable("c", [2], initializer=[1.0, 2.0])


@case
def value_of_other_dtype():
    tf.get_variable("c", dtype=tf.float64, initializer=tf.constant([1.0]))


@case
def initializer_without_shape():
    tf.get_variable("c", initializer=tf.ones_initializer())


@case
def no_default_initializer():
    tf.get_variable("c", [2], dtype=tf.complex64)


@case
def default_name_with_reuse():
    with tf.variable_scope(None, default_name="d", reuse=True):
        pass


@case
def no_name():
    with tf.variable_scope(None):
        pass


@case
def name_of_no_kind():
    with tf.variable_scope(3):
        pass


@case
def reuse_of_no_kind():
    with tf.variable_scope("s", reuse="yes"):
        pass


@case
def minimize_with_reuse():
    with tf.variable_scope("D"):
        w = tf.get_variable("w", [2])
    with tf.variable_scope("D", reuse=True):
        tf.train.AdamOptimizer().minimize(tf.reduce_sum(tf.square(w)))


@case
def no_gradients():
    w = tf.get_variable("w", [2])
    loss = tf.reduce_sum(tf.constant([1.0]))
    tf.train.GradientDescentOptimizer(0.1).minimize(loss)


@case
def nothing_to_optimize():
    tf.train.GradientDescentOptimizer(0.1).minimize(tf.constant(1.0))


@case
def unknown_initial_shape():
    tf.Variable(tf.placeholder(tf.float32, [None], name="x"), name="v")


# partitioned


@case
def partitioned_made_twice():
    tf.get_variable("w", [4], partitioner=two())
    with tf.variable_scope("", reuse=False):
        tf.get_variable("w", [4], partitioner=two())


@case
def partitioned_missing():
    with tf.variable_scope("", reuse=True):
        tf.get_variable("w", [4], partitioner=two())


@case
def partitioned_other_shape():
    tf.get_variable("w", [4], partitioner=two())
    with tf.variable_scope("", reuse=True):
        tf.get_variable("w", [5])


@case
def partitioned_other_dtype():
    tf.get_variable("w", [4], partitioner=two())
    with tf.variable_scope("", reuse=True):
        tf.get_variable("w", [4], dtype=tf.int32)


@case
def partitioned_other_parts():
    tf.get_variable("w", [4], partitioner=two())
    with tf.variable_scope("", reuse=True):
        tf.get_variable("w", [4], partitioner=tf.fixed_size_partitioner(3))


@case
def partitioned_then_plain():
    tf.get_variable("w", [4], partitioner=two())
    tf.get_variable("w", [4])


@case
def plain_then_partitioned():
    tf.get_variable("w", [4])
    tf.get_variable("w", [4], partitioner=two())


@case
def partitioned_unknown_shape():
    tf.get_variable("w", [None, 4], partitioner=two())


@case
def partitioner_of_other_rank():
    tf.get_variable("w", [4, 4], partitioner=lambda shape, dtype: [2])


@case
def partitioner_of_zero():
    tf.get_variable("w", [4, 4], partitioner=lambda shape, dtype: [0, 1])


@case
def partitioner_of_two_axes():
    tf.get_variable("w", [4, 4], partitioner=lambda shape, dtype: [2, 2])


@case
def partitioner_of_no_list():
    tf.get_variable("w", [4, 4], partitioner=lambda shape, dtype: 2)


@case
def partitioner_without_bytes():
    tf.variable_axis_size_partitioner(0)


@case
def partitioner_beyond_axes():
    tf.get_variable("w", [4], partitioner=tf.min_max_variable_partitioner(max_partitions=2, axis=1))


# templates


@case
def template_without_name():
    tf.make_template(None, lambda: 0)


@case
def template_trains_more():
    made = tf.make_template("t", lambda: tf.Variable(1.0))
    made()
    made()


@case
def template_same_unique_name():
    def build():
        return tf.get_variable("w", [1])

    tf.make_template("t", build, unique_name_="u")()
    tf.make_template("t", build, unique_name_="u")()


# names


@case
def bad_op_name():
    tf.constant(1, name="a b")


@case
def bad_op_name_start():
    tf.constant(1, name="_a")


@case
def op_name_with_colon():
    tf.constant(1, name="a:0")


@case
def bad_root_scope():
    with tf.name_scope("_a"):
        pass


@case
def bad_inner_scope():
    with tf.name_scope("a"):
        with tf.name_scope("b c"):
            pass


@case
def tensor_name_without_index():
    tf.placeholder(tf.float32, [2], name="x")
    tf.get_default_graph().get_tensor_by_name("x")


@case
def tensor_name_of_nothing():
    tf.get_default_graph().get_tensor_by_name("x")


@case
def tensor_of_missing_op():
    tf.get_default_graph().get_tensor_by_name("nope:0")


@case
def tensor_of_high_index():
    tf.placeholder(tf.float32, [2], name="x")
    tf.get_default_graph().get_tensor_by_name("x:3")


@case
def op_by_tensor_name():
    tf.placeholder(tf.float32, [2], name="x")
    tf.get_default_graph().get_operation_by_name("x:0")


@case
def op_of_missing_name():
    tf.get_default_graph().get_operation_by_name("nope")


@case
def two_graphs():
    a = tf.constant([1.0], name="a")
    with tf.Graph().as_default():
        b = tf.constant([1.0], name="b")
        tf.add(a, b)


@case
def finalized_op():
    tf.get_default_graph().finalize()
    tf.constant(1)


@case
def finalized_collection():
    tf.get_default_graph().finalize()
    tf.add_to_collection("mine", 1)


# sessions


@case
def empty_graph():
    tf.Session().run([])


@case
def closed_session():
    x = tf.constant(1)
    session = tf.Session()
    session.close()
    session.run(x)


@case
def uninitialized():
    w = tf.get_variable("w", [2])
    tf.Session().run(w)


@case
def uninitialized_resource():
    w = tf.get_variable("rw", [2], use_resource=True)
    tf.Session().run(w)


@case
def missing_feed():
    x = tf.placeholder(tf.float32, [2], name="x")
    tf.Session().run(tf.identity(x))


@case
def missing_feed_of_unknown_shape():
    x = tf.placeholder(tf.int64, None, name="x")
    tf.Session().run(tf.identity(x))


@case
def missing_feed_of_unknown_dim():
    x = tf.placeholder(tf.int64, [None, 2], name="x")
    tf.Session().run(tf.identity(x))


@case
def feed_of_other_shape():
    x = tf.placeholder(tf.float32, [2], name="x")
    tf.Session().run(x, {x: [1.0]})


@case
def feed_of_a_tensor():
    x = tf.placeholder(tf.float32, [2], name="x")
    tf.Session().run(x, {x: tf.constant([1.0, 2.0])})


@case
def feed_of_missing_tensor():
    x = tf.placeholder(tf.float32, [2], name="x")
    tf.Session().run(x, {"y:0": [1.0, 2.0]})


@case
def feed_of_other_graph():
    with tf.Graph().as_default():
        y = tf.placeholder(tf.float32, [2], name="y")
    x = tf.placeholder(tf.float32, [2], name="x")
    tf.Session().run(x, {y: [1.0, 2.0]})


@case
def fetch_nothing():
    tf.constant(1)
    tf.Session().run(None)


@case
def fetch_inner_nothing():
    x = tf.constant(1)
    tf.Session().run([x, None])


@case
def fetch_number():
    tf.constant(1)
    tf.Session().run(3)


@case
def fetch_missing_tensor():
    tf.constant(1)
    tf.Session().run("nope:0")


@case
def fetch_missing_op():
    tf.constant(1)
    tf.Session().run("nope")


@case
def fetch_of_other_graph():
    with tf.Graph().as_default():
        y = tf.constant(1, name="y")
    tf.constant(1)
    tf.Session().run(y)


@case
def fetch_op_of_other_graph():
    with tf.Graph().as_default():
        y = tf.no_op(name="y")
    tf.constant(1)
    tf.Session().run(y)


# the global step


@case
def global_step_twice():
    tf.train.create_global_step()
    tf.train.create_global_step()


@case
def global_step_of_floats():
    tf.get_variable("global_step", [], initializer=tf.zeros_initializer())
    tf.train.get_global_step()


@case
def global_step_not_scalar():
    tf.get_variable("global_step", [2], dtype=tf.int64, initializer=tf.zeros_initializer())
    tf.train.get_global_step()


def shown(error):
    text = str(error) if not isinstance(error, KeyError) else error.args[0]
    text = getattr(error, "message", text)
    text = text.split("\n\nOriginal stack trace")[0].split("\n\noriginally defined at:")[0]
    text = re.sub(r"(Originally defined at:).*", r"\1", text, flags=re.DOTALL)
    text = re.sub(r"0x[0-9a-f]+", "0x", text)
    # of a failed run: the line that says what is wrong
    text = re.sub(r"^Graph execution error:\n\n(?:.*\nNode: [^\n]*\n)?", "", text, flags=re.DOTALL).split("\n\t [[")[0]
    return {"class": type(error).__name__, "text": text}


def main():
    errors = {}
    for name, run in CASES.items():
        with tf.Graph().as_default():
            try:
                run()
            except Exception as error:
                errors[name] = shown(error)
            else:
                errors[name] = None
    OUT.mkdir(parents=True, exist_ok=True)
    (OUT / "errors.json").write_text(json.dumps(errors, indent=1) + "\n")
    manifest = {
        "tensorflow": tf2.__version__,
        "command": "python tools/goldens/scope_errors.py",
        "files": ["errors.json"],
    }
    (OUT / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n")


if __name__ == "__main__":
    main()

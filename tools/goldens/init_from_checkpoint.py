"""Graphs whose initial values come from checkpoints, as init_from_checkpoint and warm_start build them.

Writes tests/goldens/init-from-checkpoint/: from.* (the checkpoint), NAME.pb.gz (deterministic GraphDef), values.json.gz (variables and their
values after initialisation), errors.json. The TypeScript twins stand in src/train/restore/init-from-checkpoint.test.ts.

Usage, in the project's root: python tools/goldens/init_from_checkpoint.py
"""

import json
import os
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools" / "goldens"))
import numpy as np  # noqa: E402
import programs  # noqa: E402
from programs import tf, use  # noqa: E402

OUT = ROOT / "tests" / "goldens" / "init-from-checkpoint"
FROM = "tests/goldens/init-from-checkpoint/from"
PROGRAMS = {}
INIT_ONLY = {"feeds": [], "fetches": [], "steps": 0}


def program(fn):
    for kind, resource in (("ref", False), ("resource", True)):

        def build(fn=fn, resource=resource):
            use(resource)
            fn()
            return INIT_ONLY

        PROGRAMS[f"{fn.__name__}_{kind}"] = build
    return fn


def zeros(name, shape, **kwargs):
    return tf.get_variable(name, shape, initializer=tf.zeros_initializer(), **kwargs)


def init(assignment_map):
    tf.train.init_from_checkpoint(FROM, assignment_map)


def write_checkpoint():
    with tf.Graph().as_default(), tf.Session() as session:
        tf.get_variable("w", initializer=np.arange(6, dtype=np.float32).reshape(2, 3))
        tf.get_variable("b", initializer=np.float32(7))
        with tf.variable_scope("old"):
            tf.get_variable("w", initializer=np.full([2, 3], 2, np.float32))
            tf.get_variable("deep/x", initializer=np.array([3, 4], np.int64))
        p = tf.get_variable("p", initializer=np.arange(10, dtype=np.float32).reshape(5, 2))
        del p
        session.run(tf.global_variables_initializer())
        tf.train.Saver().save(session, FROM, write_meta_graph=False, write_state=False)


@program
def names():
    with tf.variable_scope("new"):
        with tf.device("/job:localhost/cpu:0"):
            zeros("w", [2, 3])
        zeros("b", [])
    init({"w": "new/w", "b": "new/b"})


@program
def scopes():
    with tf.variable_scope("new"):
        zeros("w", [2, 3])
        zeros("deep/x", [2], dtype=tf.int64)
    zeros("b", [])
    init({"old/": "new/"})


@program
def root():
    with tf.variable_scope("new"):
        zeros("w", [2, 3])
        zeros("b", [])
    init({"/": "new/"})


@program
def to_root():
    zeros("w", [2, 3])
    zeros("deep/x", [2], dtype=tf.int64)
    init({"old/": "/"})


@program
def objects():
    v, u = zeros("v", [2, 3]), zeros("u", [2, 3])
    tf.get_variable_scope().reuse_variables()
    init([("w", v), ("w", u)])


@program
def partitions():
    p = zeros("mine", [5, 2], partitioner=tf.fixed_size_partitioner(3))
    q = zeros("q", [5, 2], partitioner=tf.fixed_size_partitioner(2))
    with tf.variable_scope("s"):
        zeros("p", [5, 2], partitioner=tf.fixed_size_partitioner(2))
        zeros("b", [])
    init({"p": "mine"})
    init({"p": list(q)})
    init({"/": "s/"})


@program
def warm_all():
    zeros("w", [2, 3])
    zeros("b", [], trainable=False)
    with tf.variable_scope("old"):
        zeros("w", [2, 3])
    tf.train.warm_start(FROM)


@program
def warm_some():
    zeros("w", [2, 3])
    zeros("b", [], trainable=False)
    zeros("c", [])
    zeros("fresh", [4])
    tf.train.warm_start(FROM, ["w", "b", "c"], var_name_to_prev_var_name={"c": "b"})


def errors():
    """What TensorFlow says, by what was done wrong."""
    out = {}

    def attempt(name, build):
        with tf.Graph().as_default():
            use(False)
            try:
                build()
                out[name] = None
            except Exception as e:
                out[name] = [type(e).__name__, str(e)]

    def wrong(target, assignment_map):
        def build():
            with tf.variable_scope("new"):
                zeros(*target)
            init(assignment_map)

        return build

    attempt("missing tensor", wrong(["w", [2, 3]], {"zz": "new/w"}))
    attempt("scope to name", wrong(["w", [2, 3]], {"w": "new/"}))
    attempt("name to scope", wrong(["w", [2, 3]], {"old/": "new/v/u"}))
    attempt("shape", wrong(["w", [2, 3]], {"b": "new/w"}))
    attempt("missing in scope", wrong(["q", [2, 3]], {"old/": "new/"}))
    attempt("no variable", wrong(["w", [2, 3]], {"w": "nope"}))

    def two():
        a = zeros("a", [5, 2], partitioner=tf.fixed_size_partitioner(2))
        b = zeros("b", [5, 2], partitioner=tf.fixed_size_partitioner(2))
        init({"p": [*a, *b]})

    attempt("slices of two", two)

    def warm(**kwargs):
        def build():
            zeros("w", [2, 3])
            zeros("q", [1])
            tf.train.warm_start(FROM, **kwargs)

        return build

    attempt("warm missing", warm())
    attempt("warm unused", warm(vars_to_warm_start="w", var_name_to_prev_var_name={"nope": "w"}))
    attempt("warm mixed", warm(vars_to_warm_start=["w", 3]))
    attempt("warm number", warm(vars_to_warm_start=3))
    attempt("vocab axis", lambda: tf.train.VocabInfo("a", 1, 0, "b", axis=2))
    return out


def main():
    os.chdir(ROOT)
    OUT.mkdir(parents=True, exist_ok=True)
    write_checkpoint()
    programs.write(PROGRAMS, OUT, "init_from_checkpoint.py")
    (OUT / "errors.json").write_text(json.dumps(errors(), indent=1) + "\n")


if __name__ == "__main__":
    main()

"""Graphs of savers as TensorFlow 1 style Python builds them: sharded, of format V1, reshaping, of lists and dictionaries, with partitions.

Writes tests/goldens/savers/: NAME.pb.gz (deterministic GraphDef), values.json.gz (collections, variables), savers.json (SaverDefs as hex,
errors, what files a sequence of saves leaves, state files). The TypeScript twins stand in tests/conformance/programs/savers.ts and in
src/train/*.test.ts.

Usage: python tools/goldens/savers.py
"""

import json
import os
import pathlib
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import programs  # noqa: E402
from programs import tf, use  # noqa: E402

OUT = pathlib.Path(__file__).resolve().parents[2] / "tests" / "goldens" / "savers"
PROGRAMS = {}
DEFS = {}


def program(fn):
    for kind, resource in (("ref", False), ("resource", True)):
        PROGRAMS[f"{fn.__name__}_{kind}"] = lambda fn=fn, resource=resource: (use(resource), fn())[1]
    return fn


def zeros(name, shape, **kwargs):
    return tf.get_variable(name, shape, initializer=tf.zeros_initializer(), **kwargs)


def on_devices():
    with tf.device("/cpu:0"):
        zeros("a", [2])
    with tf.device("/job:ps/task:1"):
        zeros("b", [2, 3])
    zeros("c", [])


def note(*savers):
    DEFS.setdefault(tf.get_default_graph(), []).extend(s.saver_def for s in savers)


@program
def sharded():
    on_devices()
    note(tf.train.Saver(sharded=True), tf.train.Saver(sharded=True, reshape=True, name="again"))


@program
def v1():
    on_devices()
    note(tf.train.Saver(write_version=tf.train.SaverDef.V1), tf.train.Saver(sharded=True, write_version=tf.train.SaverDef.V1))


@program
def deferred():
    later = tf.train.Saver(defer_build=True, filename="runs/m", max_to_keep=None)
    zeros("a", [2])
    with tf.name_scope("scope"):
        later.build()
    later.build()
    note(later)


@program
def lists():
    on_devices()
    a, b, c = tf.global_variables()
    note(tf.train.Saver([[c], b]), tf.train.Saver({"z": a, "y/x": b}, keep_checkpoint_every_n_hours=0.5), tf.train.Saver((a,)))


@program
def partitioned():
    p = zeros("p", [5, 2], partitioner=tf.fixed_size_partitioner(2))
    q = zeros("q", [3], partitioner=tf.fixed_size_partitioner(3))
    zeros("w", [2])
    note(
        tf.train.Saver(),
        tf.train.Saver({"other": p, "list": list(q)}),
        tf.train.Saver(sharded=True, reshape=True),
    )


def main():
    programs.write(PROGRAMS, OUT, "savers.py")
    out = {"defs": {}}
    DEFS.clear()
    for name, build in PROGRAMS.items():
        graph = tf.Graph()
        with graph.as_default():
            build()
        out["defs"][name] = [d.SerializeToString(deterministic=True).hex() for d in DEFS[graph]]
    (OUT / "savers.json").write_text(json.dumps(out, indent=1) + "\n")


if __name__ == "__main__":
    main()

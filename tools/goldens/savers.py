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
import time
from unittest import mock

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


def small(shape=(2,)):
    w = zeros("w", list(shape))
    zeros("r", [], use_resource=True)
    return w


def rotations(folder):
    """Files and state file after each save of a Saver, under a clock of our own."""
    clock = [1000.0]
    out = []

    def run(name, script, before=(), **options):
        where = os.path.join(folder, name)
        os.mkdir(where)
        steps, start = [], clock[0]
        with tf.Graph().as_default(), tf.Session() as session:
            small()
            session.run(tf.global_variables_initializer())
            first = tf.train.Saver(name="first")
            for step in before:
                first.save(session, f"{where}/m", global_step=step, write_meta_graph=False)
            saver = tf.train.Saver(**options)
            for action in script:
                clock[0] += action.get("wait", 0)
                if "recover" in action:
                    saver.recover_last_checkpoints([f"{where}/{p}" for p in action["recover"]])
                saved = None
                if "step" in action:
                    saved = saver.save(session, f"{where}/m", global_step=action["step"], **action.get("options", {}))
                state = pathlib.Path(where, "checkpoint")
                steps.append(
                    {
                        "action": action,
                        "result": saved,
                        "last": saver.last_checkpoints,
                        "files": sorted(os.listdir(where)),
                        "state": state.read_text() if state.exists() else None,
                    }
                )
        out.append({"name": name, "start": start, "before": list(before), "options": options, "steps": steps})

    def saves(*steps, wait=10, **more):
        return [{"step": step, "wait": wait, **more} for step in steps]

    with mock.patch.object(time, "time", lambda: clock[0]):
        run("two", saves(1, 2, 1, 3), max_to_keep=2)
        run("zero", saves(1, 2, 3), max_to_keep=0)
        run("none", saves(1, 2), max_to_keep=None)
        run("hours", saves(1, 2, 3, 4, 5, wait=1000), max_to_keep=1, keep_checkpoint_every_n_hours=0.5)
        run("relative", saves(1, 2), max_to_keep=1, save_relative_paths=True)
        run("padded", saves(7, 123456789), pad_step_number=True)
        run("forgetful", saves(3, 4), before=[1, 2], max_to_keep=1)
        run("recovered", [{"recover": ["gone-0", "m-1", "m-2"]}, *saves(3, 4)], before=[1, 2], max_to_keep=2)
        run("quiet", saves(1, 2, options={"write_state": False, "write_meta_graph": False}), max_to_keep=1)
        run("suffix", saves(1, 2, options={"meta_graph_suffix": "graph", "latest_filename": "state"}), max_to_keep=1)
        run("v1", saves(1, 2, 3), max_to_keep=2, write_version=tf.train.SaverDef.V1)
        run("sharded", saves(1, 2), max_to_keep=1, sharded=True)
        run("sharded_v1", saves(1, 2), max_to_keep=1, sharded=True, write_version=tf.train.SaverDef.V1)
    return out


def errors(folder):
    """What TensorFlow says, by what was done wrong."""
    out = {}

    def attempt(name, body):
        with tf.Graph().as_default(), tf.Session() as session:
            use(False)
            try:
                body(session)
                out[name] = None
            except Exception as e:
                text, *graph = str(e).split("Graph execution error:")
                # of a failed run: what Saver puts before, and the line that follows the node's name
                said = graph[0].split("Node: '")[1].split("\n")[1] if graph else ""
                out[name] = [type(e).__name__, text + said]

    def saved(session):
        small()
        session.run(tf.global_variables_initializer())
        return tf.train.Saver().save(session, f"{folder}/e")

    attempt("saved", saved)
    attempt("nothing", lambda s: tf.train.Saver())
    attempt("no variable", lambda s: tf.train.Saver([3]))
    attempt("twice", lambda s: tf.train.Saver([small()] * 2))
    attempt("two names", lambda s: tf.train.Saver({"a": (w := small()), "b": w}))

    def parts():
        return zeros("p", [4], partitioner=tf.fixed_size_partitioner(2)), zeros("q", [4], partitioner=tf.fixed_size_partitioner(2))

    attempt("mixed slices", lambda s: tf.train.Saver({"p": [*(pq := parts())[0], *pq[1]]}))
    attempt("no slices", lambda s: tf.train.Saver({"p": [small()]}))
    attempt("deferred list", lambda s: tf.train.Saver([small()], defer_build=True))
    attempt("not built", lambda s: (small(), tf.train.Saver(defer_build=True).save(s, f"{folder}/x")))
    attempt("collision", lambda s: (small(), tf.train.Saver().save(s, f"{folder}/checkpoint")))
    attempt("path in name", lambda s: (small(), tf.train.Saver().save(s, f"{folder}/x", latest_filename="a/b")))
    attempt("no folder", lambda s: (small(), s.run(tf.global_variables_initializer()), tf.train.Saver().save(s, f"{folder}/a/b/x")))
    attempt("invalid", lambda s: (small(), tf.train.Saver().restore(s, f"{folder}/nope")))
    attempt("none", lambda s: (small(), tf.train.Saver().restore(s, None)))
    attempt("missing key", lambda s: (small(), zeros("q", [1]), tf.train.Saver().restore(s, f"{folder}/e")))
    attempt("shape", lambda s: (small([3]), tf.train.Saver().restore(s, f"{folder}/e")))
    attempt("dtype", lambda s: (zeros("w", [2], dtype=tf.int32), tf.train.Saver().restore(s, f"{folder}/e")))
    attempt("slice shape", lambda s: (zeros("w", [3], partitioner=tf.fixed_size_partitioner(2)), tf.train.Saver().restore(s, f"{folder}/e")))
    attempt("no save tensor", lambda s: tf.train.Saver(saver_def=tf.train.SaverDef()))
    return out


def main():
    programs.write(PROGRAMS, OUT, "savers.py")
    out = {"defs": {}}
    DEFS.clear()
    for name, build in PROGRAMS.items():
        graph = tf.Graph()
        with graph.as_default():
            build()
        out["defs"][name] = [d.SerializeToString(deterministic=True).hex() for d in DEFS[graph]]
    with tempfile.TemporaryDirectory() as folder:
        out["rotations"] = rotations(folder)
        out["errors"] = errors(folder)
        text = json.dumps(out, indent=1).replace(folder, "FOLDER")
    (OUT / "savers.json").write_text(text + "\n")


if __name__ == "__main__":
    main()

"""Checkpoints of objects that tf.train.Checkpoint writes, what its status objects say, and what CheckpointManager leaves in a folder.

Writes tests/goldens/objects/: plain-1.* (a checkpoint of nested objects with an optimizer, in graph mode, after two steps), objects.json
(values, sentences of errors, the manager's folder after each save under a clock of our own). The TypeScript twins stand in
src/train/objects/*.test.ts.

Usage: python tools/goldens/objects.py
"""

import json
import os
import pathlib
import shutil
import tempfile
import time
from unittest import mock

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")

import numpy as np
import tensorflow as tf2

tf = tf2.compat.v1
OUT = pathlib.Path(__file__).resolve().parents[2] / "tests" / "goldens" / "objects"


def plain():
    """A tree with a list, a dictionary, names to be escaped, an empty list, a variable of two names and an optimizer."""
    with tf.Graph().as_default():
        w = tf.get_variable("w", initializer=np.array([1, 2], np.float32), use_resource=True)
        with tf.variable_scope("s"):
            b = tf.get_variable("b", initializer=np.float32(3), use_resource=False)
        optimizer = tf.train.AdamOptimizer(0.1)
        train = optimizer.minimize(tf.reduce_sum(w * w) + b * b)
        net = {"w": w, "a.b": [b, {"x/y": w}]}
        checkpoint = tf2.train.Checkpoint(optimizer=optimizer, net=net, empty=[], alias=w)
        with tf.Session() as session:
            session.run(tf.global_variables_initializer())
            for _ in range(2):
                session.run(train)
            checkpoint.save(str(OUT / "plain"))
            found = [v for v in tf.global_variables()]
            return {v.op.name: np.asarray(x).reshape(-1).tolist() for v, x in zip(found, session.run(found))}


def attempt(body):
    try:
        body()
    except Exception as e:
        return [type(e).__name__, str(e)]
    return None


def statuses(folder):
    """What the status objects say, eagerly."""
    Checkpoint, Variable = tf2.train.Checkpoint, tf2.Variable
    saved = Checkpoint(a=Variable([1.0, 2.0], name="a"), b=Checkpoint(c=Variable(3.0, name="c"))).save(f"{folder}/s")
    out = {}

    def case(name, build):
        out[name] = attempt(lambda: build(Checkpoint))

    def two(**kwargs):
        return Checkpoint(a=Variable([0.0, 0.0], name="a"), b=Checkpoint(c=Variable(0.0, name="c")), **kwargs)

    case("all", lambda c: two().restore(saved).assert_consumed())
    case("shape", lambda c: c(a=Variable([0.0, 0.0, 0.0], name="a")).restore(saved))
    case("unresolved", lambda c: c(a=Variable([0.0, 0.0])).restore(saved).assert_consumed())
    case("existing only", lambda c: c(a=Variable([0.0, 0.0])).restore(saved).assert_existing_objects_matched())
    case("unmatched", lambda c: two(q=Variable(1.0, name="q")).restore(saved).assert_existing_objects_matched())
    case("nontrivial", lambda c: c(z=Variable(1.0, name="z")).restore(saved).assert_nontrivial_match())
    case("nothing", lambda c: c().read(saved).assert_nontrivial_match())
    case("none consumed", lambda c: two().restore(None).assert_consumed())
    case("none run", lambda c: two().restore(None).run_restore_ops())
    case("missing", lambda c: two().restore(f"{folder}/nope"))
    case("no counter", lambda c: two().restore(two().write(f"{folder}/w")).assert_consumed())
    case("read no counter", lambda c: two().read(two().write(f"{folder}/w")).assert_consumed())
    case("not trackable", lambda c: c(a=3))
    root = Checkpoint(a=Variable(1.0))
    case("root has it", lambda c: c(root=root, a=Variable(2.0)))
    return out


def managers(folder):
    """The folder and its state file after each save, and what a manager that is made anew finds."""
    clock = [1000.0]
    out = []

    def run(name, script, **options):
        where = f"{folder}/{name}"
        steps, start = [], clock[0]

        def make():
            step = tf2.Variable(0, dtype=tf2.int64)
            value = tf2.Variable(1.0)
            given = {**options, "step_counter": step} if "checkpoint_interval" in options else options
            checkpoint = tf2.train.Checkpoint(v=value)
            return tf2.train.CheckpointManager(checkpoint, where, **given), step

        manager, step = make()
        for action in script:
            clock[0] += action.get("wait", 0)
            if action.get("again"):
                manager, step = make()
            step.assign_add(action.get("steps", 0))
            saved = None
            if "save" in action:
                saved = manager.save(**action["save"])
            elif action.get("restore"):
                saved = manager.restore_or_initialize()
            state = pathlib.Path(where, "checkpoint")
            steps.append(
                {
                    "action": action,
                    "result": saved and os.path.relpath(saved, where),
                    "latest": manager.latest_checkpoint and os.path.relpath(manager.latest_checkpoint, where),
                    "checkpoints": [os.path.relpath(c, where) for c in manager.checkpoints],
                    "files": sorted(os.listdir(where)) if os.path.isdir(where) else [],
                    "state": state.read_text() if state.exists() else None,
                }
            )
        out.append({"name": name, "start": start, "options": options, "steps": steps})

    save = {"save": {}, "wait": 10}
    with mock.patch.object(time, "time", lambda: clock[0]):
        run("two", [save, save, save, {"again": True}, save, {"restore": True}, save], max_to_keep=2)
        run("all", [save, save, {"again": True}, save], max_to_keep=None, checkpoint_name="model")
        hourly = {"save": {}, "wait": 1200}
        run("hours", [hourly] * 6 + [{"again": True}] + [hourly] * 3, max_to_keep=1, keep_checkpoint_every_n_hours=1)
        run(
            "interval",
            [
                {"restore": True},
                {"save": {}, "steps": 1},
                {"save": {}},
                {"save": {}, "steps": 1},
                {"save": {"check_interval": False}},
                {"save": {}, "steps": 3},
                {"save": {"checkpoint_number": 7}, "steps": 3},
            ],
            max_to_keep=3,
            checkpoint_interval=3,
        )
        run("number", [{"save": {"checkpoint_number": 5}}, {"save": {"checkpoint_number": 5}}, save], max_to_keep=2)
    errors = {
        "zero": attempt(lambda: tf2.train.CheckpointManager(tf2.train.Checkpoint(), folder, max_to_keep=0)),
        "no step": attempt(
            lambda: tf2.train.CheckpointManager(tf2.train.Checkpoint(), folder, max_to_keep=1, checkpoint_interval=2)
        ),
    }
    return out, errors


def main():
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir(parents=True)
    values = plain()
    (OUT / "checkpoint").unlink()
    with tempfile.TemporaryDirectory() as folder:
        said = statuses(folder)
        runs, errors = managers(folder)
        text = json.dumps({"values": values, "said": said, "managers": runs, "managerErrors": errors}, indent=1)
        (OUT / "objects.json").write_text(text.replace(folder, "FOLDER") + "\n")
    manifest = {"by": f"tensorflow {tf2.__version__}", "command": "python tools/goldens/objects.py"}
    (OUT / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n")


if __name__ == "__main__":
    main()

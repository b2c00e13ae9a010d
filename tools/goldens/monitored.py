"""Monitored training and summaries of TensorFlow 1, from TensorFlow itself.

Writes tests/goldens/monitored/: NAME.pb.gz and values.json.gz (graphs of programs, as programs.py), training.json (what hooks log, save and
write in some trainings, with a clock that the script sets), images.json (pixels of image summaries), shuffle.json (orders of tf.data).

Usage: python tools/goldens/monitored.py
"""

import glob
import io
import json
import logging
import os
import pathlib
import shutil
import tempfile
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")

import numpy as np
import tensorflow as tf2
import tensorflow.compat.v1 as tf
from tensorflow.python.training import basic_session_run_hooks as hooks_module
from tensorflow.python.training import training_util

import programs

tf.disable_v2_behavior()

OUT = pathlib.Path(__file__).resolve().parents[2] / "tests" / "goldens" / "monitored"
PROGRAMS = {}


def program(fn):
    PROGRAMS[fn.__name__] = fn
    return fn


def use(resource):
    tf.get_variable_scope().set_use_resource(resource)


def model():
    """One vector, pulled to zero."""
    step = tf.train.get_or_create_global_step()
    w = tf.get_variable("w", initializer=[1.0, 2.0])
    # what is fetched is read before the step: otherwise TensorFlow's answer is that of a race
    now = tf.identity(w, name="now")
    loss = tf.reduce_sum(now * now, name="loss")
    with tf.control_dependencies([now, training_util._get_or_create_global_step_read()]):
        train = tf.train.GradientDescentOptimizer(0.125).minimize(loss, step)
    tf.summary.scalar("loss", loss)
    tf.summary.histogram("w", now)
    return now, loss, train


def scaffold(resource):
    use(resource)
    model()
    tf.get_variable("seen", initializer=0, trainable=False, collections=[tf.GraphKeys.LOCAL_VARIABLES])
    tf.train.Scaffold().finalize()


@program
def scaffold_ref():
    scaffold(False)


@program
def scaffold_resource():
    scaffold(True)


@program
def scaffold_bare():
    tf.constant(1.0)
    tf.train.Scaffold().finalize()


@program
def summary_names():
    x = tf.placeholder(tf.float32, [2, 4, 4, 3], name="x")
    t = tf.placeholder(tf.string, [2], name="t")
    mean = tf.reduce_mean(x)
    tf.summary.scalar("loss", mean)
    tf.summary.scalar("loss", mean)
    with tf.name_scope("tower"):
        tf.summary.scalar("loss", mean)
        tf.summary.histogram("x", x, family="layers")
        tf.summary.histogram("x y", x, collections=["other"])
        tf.summary.scalar("/a b:c", mean, family="odd family")
    tf.summary.text("note", t)
    tf.summary.audio("sound", tf.reshape(x, [2, -1]), 8000, max_outputs=1, collections=["other"])
    tf.summary.merge_all()
    tf.summary.merge_all(scope="tower", name="tower_only")
    tf.summary.merge(tf.get_collection("other"), collections=["merged"])


class Clock:
    """What hooks take for the time."""

    now = 1000.0

    def time(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


def events_of(folder):
    """Kinds, steps and values of all event files of a folder, in order."""
    out = []
    for path in sorted(glob.glob(os.path.join(folder, "events*")), key=os.path.getmtime):
        for e in tf.train.summary_iterator(path):
            kind = e.WhichOneof("what")
            if kind == "summary":
                values = {}
                for v in e.summary.value:
                    values[v.tag] = v.simple_value if v.HasField("simple_value") else v.histo.sum
                out.append([kind, e.step, values])
            elif kind == "session_log":
                out.append([kind, e.step, [e.session_log.status, os.path.basename(e.session_log.checkpoint_path)]])
            else:
                out.append([kind, e.step, None])
    return out


def train(folder, make_hooks, seconds=0.25, most=20, **options):
    """Runs until it should stop. Returns what hooks logged, saved and wrote."""
    clock = Clock()
    hooks_module.time = clock
    log = io.StringIO()
    handler = logging.StreamHandler(log)
    logger = tf.get_logger()
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    before = len(events_of(folder))
    if before:
        time.sleep(1.1)  # TensorFlow would write over an event file of the same second
    saved, steps, error = [], [], None

    class Listener(tf.train.CheckpointSaverListener):
        def after_save(self, session, step):
            saved.append(int(step))

    with tf.Graph().as_default():
        use(True)
        w, loss, op = model()
        try:
            default = hooks_module.CheckpointSaverHook
            hooks_module.CheckpointSaverHook = lambda *a, **k: default(*a, **{**k, "listeners": [Listener()]})
            with tf.train.MonitoredTrainingSession(checkpoint_dir=folder, hooks=make_hooks(w, loss), **options) as s:
                while not s.should_stop() and len(steps) < most:
                    value, _ = s.run([loss, op])
                    steps.append(float(value))
                    clock.now += seconds
        except Exception as e:
            error = "%s: %s" % (type(e).__name__, e)
        finally:
            hooks_module.CheckpointSaverHook = default
    tf.summary.FileWriterCache.clear()
    logger.removeHandler(handler)
    kept = ("loss", "global_step/sec", "Saving checkpoints", "Restoring", "Model diverged", "Tensor(", "It seems")
    lines = [x.replace(folder, "DIR") for x in log.getvalue().splitlines() if x.startswith(kept)]
    files = sorted(f for f in os.listdir(folder) if not f.startswith("events"))
    return {"lines": lines, "saved": saved, "losses": steps, "files": files, "error": error, "events": events_of(folder)[before:]}


def trainings():
    t, out = tf.train, {}
    folder = tempfile.mkdtemp()
    logging_hook = lambda w, loss: [t.LoggingTensorHook({"w": w, "loss": loss}, every_n_iter=2)]
    every = dict(save_checkpoint_steps=2, save_summaries_steps=2, log_step_count_steps=2)
    out["first"] = train(folder, lambda w, loss: [t.StopAtStepHook(last_step=5), *logging_hook(w, loss)], **every)
    out["again"] = train(folder, lambda w, loss: [t.StopAtStepHook(num_steps=3), *logging_hook(w, loss)], **every)
    out["at_last_step"] = train(folder, lambda w, loss: [t.StopAtStepHook(last_step=8)], **every)
    shutil.rmtree(folder)
    folder = tempfile.mkdtemp()
    out["defaults"] = train(folder, lambda w, loss: [t.StopAtStepHook(num_steps=3)], seconds=250)
    shutil.rmtree(folder)
    folder = tempfile.mkdtemp()
    out["seconds"] = train(
        folder, lambda w, loss: [t.StopAtStepHook(num_steps=6), t.LoggingTensorHook([loss, "now:0"], every_n_secs=0.5)],
        save_checkpoint_secs=0.75, save_summaries_secs=0.5, log_step_count_steps=4)
    shutil.rmtree(folder)
    folder = tempfile.mkdtemp()
    out["at_end"] = train(folder, lambda w, loss: [t.StopAtStepHook(num_steps=2), t.LoggingTensorHook({"loss": loss}, at_end=True)],
                          save_checkpoint_steps=100, save_summaries_steps=None, save_summaries_secs=None, log_step_count_steps=None)
    shutil.rmtree(folder)
    folder = tempfile.mkdtemp()
    out["nan"] = train(folder, lambda w, loss: [t.NanTensorHook(loss / 0.0 - loss / 0.0)], save_checkpoint_steps=1)
    out["nan_stop"] = train(folder, lambda w, loss: [t.NanTensorHook(loss / 0.0 - loss / 0.0, fail_on_nan_loss=False)], save_checkpoint_steps=1)
    shutil.rmtree(folder)
    return out


def said(work):
    with tf.Graph().as_default():
        try:
            work()
        except Exception as e:
            return "%s: %s" % (type(e).__name__, e)
    raise SystemExit("no error")


def no_step(**options):
    tf.get_variable("w", initializer=1.0)
    with tempfile.TemporaryDirectory() as folder:
        tf.train.MonitoredTrainingSession(checkpoint_dir=folder, **options)


def float_step():
    tf.get_variable("global_step", initializer=1.0)
    tf.train.get_global_step()


def vector_step():
    tf.get_variable("global_step", initializer=[1])
    tf.train.get_global_step()


def fed_twice(by_user):
    x = tf.placeholder(tf.float32, [], name="x")
    hooks = [tf.train.FeedFnHook(lambda: {x: 1.0}) for _ in range(1 if by_user else 2)]
    with tf.train.MonitoredSession(hooks=hooks) as s:
        s.run(x, {x: 2.0} if by_user else None)


def run_after_stop():
    tf.train.create_global_step()
    one = tf.constant(1.0)
    with tf.train.MonitoredSession(hooks=[tf.train.StopAtStepHook(last_step=0)]) as s:
        s.run(one)
        s.run(one)


def closed_twice():
    tf.constant(1.0)
    s = tf.train.MonitoredSession()
    s.close()
    s.close()


def finalized():
    tf.constant(1.0)
    with tf.train.MonitoredSession():
        tf.constant(2.0)


def errors():
    t = tf.train
    return {
        "no step": said(no_step),
        "no step, saver only": said(lambda: no_step(log_step_count_steps=None, save_summaries_steps=None, save_summaries_secs=None)),
        "no step, summaries only": said(lambda: no_step(log_step_count_steps=None)),
        "no step, stop": said(lambda: t.StopAtStepHook(last_step=1).begin()),
        "step twice": said(lambda: [t.create_global_step(), t.create_global_step()]),
        "float step": said(float_step),
        "vector step": said(vector_step),
        "saver without": said(lambda: t.CheckpointSaverHook("d")),
        "saver with both": said(lambda: t.CheckpointSaverHook("d", save_secs=1, save_steps=1)),
        "stop without": said(lambda: t.StopAtStepHook()),
        "stop with both": said(lambda: t.StopAtStepHook(1, 1)),
        "logging without": said(lambda: t.LoggingTensorHook(["x"])),
        "logging zero": said(lambda: t.LoggingTensorHook(["x"], every_n_iter=0)),
        "counter without": said(lambda: t.StepCounterHook(every_n_steps=None)),
        "fed by two hooks": said(lambda: fed_twice(False)),
        "fed by hook and user": said(lambda: fed_twice(True)),
        "run after stop": said(run_after_stop),
        "closed twice": said(closed_twice),
        "finalized": said(finalized),
    }


def images():
    """Pixels of image summaries: the PNG's bytes are libpng's affair."""
    rng = np.random.RandomState(3)
    bad = rng.uniform(0, 1, [1, 2, 3, 3])
    bad[0, 0, 1, 2] = np.nan
    bad[0, 1, 0, 0] = np.inf
    cases = {
        "uint8": np.arange(48, dtype=np.uint8).reshape([1, 4, 4, 3]) * 5,
        "positive": rng.uniform(0, 3, [2, 3, 5, 1]).astype(np.float32),
        "signed": rng.standard_normal([1, 5, 3, 4]).astype(np.float32),
        "half": rng.uniform(-1, 0.5, [1, 3, 3, 1]).astype(np.float16),
        "double": rng.uniform(0, 1e-3, [1, 3, 3, 3]),
        "small": np.full([1, 2, 2, 1], 1e-7, np.float32),
        "not_finite": bad.astype(np.float32),
        "negative": -rng.uniform(1, 2, [1, 2, 2, 3]).astype(np.float32),
    }
    out = {}
    for name, x in cases.items():
        with tf.Graph().as_default(), tf.Session() as s:
            summary = tf.Summary.FromString(s.run(tf.summary.image("x", tf.constant(x))))
            pixels = [s.run(tf.image.decode_png(v.image.encoded_image_string, x.shape[3])) for v in summary.value]
            out[name] = {
                "dtype": x.dtype.name,
                "shape": list(x.shape),
                "values": [float(v) if np.isfinite(v) else str(v) for v in x.reshape(-1)],
                "tags": [v.tag for v in summary.value],
                "pixels": [p.reshape(-1).tolist() for p in pixels],
            }
    return out


def order(dataset, count):
    with tf.Graph().as_default():
        element = tf2.compat.v1.data.make_one_shot_iterator(dataset()).get_next()
        with tf.Session() as s:
            return [np.asarray(s.run(element)).reshape(-1).tolist() for _ in range(count)]


def shuffles():
    data = tf2.data.Dataset
    return {
        "whole": order(lambda: data.range(10).shuffle(10, seed=7), 10),
        "small_buffer": order(lambda: data.range(10).shuffle(3, seed=7), 10),
        "large_buffer": order(lambda: data.range(10).shuffle(100, seed=5), 10),
        "repeated": order(lambda: data.range(6).shuffle(4, seed=1).repeat(3), 18),
        "same_each_time": order(lambda: data.range(6).shuffle(4, seed=1, reshuffle_each_iteration=False).repeat(3), 18),
        "repeat_then_shuffle": order(lambda: data.range(6).repeat(3).shuffle(4, seed=2), 18),
        "batches": order(lambda: data.range(7).shuffle(7, seed=3).repeat(2).batch(3), 5),
        "whole_batches": order(lambda: data.range(7).shuffle(7, seed=3).batch(3, drop_remainder=True).repeat(2), 4),
    }


if __name__ == "__main__":
    programs.write(PROGRAMS, OUT, "monitored.py", beside=["training.json", "images.json", "shuffle.json"])
    facts = {
        "training": {"trainings": trainings(), "errors": errors()},
        "images": images(),
        "shuffle": shuffles(),
    }
    for name, value in facts.items():
        (OUT / f"{name}.json").write_text(json.dumps(value, indent=None, separators=(",", ":")) + "\n")

"""Devices as TensorFlow parses, merges and gives them: specs, nested scopes with functions, replica device setters over a training graph.

Writes tests/goldens/devices/devices.json and manifest.json. The twins of the scopes and of the graph stand in src/train/device-setter.test.ts.

Usage: python tools/goldens/devices.py
"""

import contextlib
import json
import os
import pathlib

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")

import tensorflow.compat.v1 as tf
from tensorflow.python.framework import device as pydev

tf.disable_v2_behavior()

OUT = pathlib.Path(__file__).resolve().parents[2] / "tests" / "goldens" / "devices"

SPECS = [
    "", "/", "/job:ps", "job:ps", "/job:ps/task:1", "/job:ps/replica:0/task:1/device:GPU:2", "/cpu:0", "/gpu:1", "/CPU:0",
    "/GPU", "/cpu", "/device:gpu:0", "/device:GPU", "/device:GPU:*", "/gpu:*", "/job:*", "/task:*", "/job:ps/cpu:0/gpu:1",
    "/foo:1", "/task:x", "/device:a:b:c", "/job:ps/job:worker", "/job:PS", "/JOB:ps", "/device:CUSTOM:1", "/tpu:0",
    "/device:tpu:0", "//job:ps", "/cpu:x",
]


def by_inputs(op):
    return "/job:%s/task:%d" % (op.type, len(op.inputs)) + op.device


def constant(text):
    return lambda op: text


def spec(op):
    return pydev.DeviceSpec(job="q", task=3)


FUNCTIONS = {"by_inputs": by_inputs, "to_gpu": constant("/gpu:0"), "to_none": constant(""), "spec": spec}
STACKS = [
    ["/job:worker", "/cpu:0"],
    ["/cpu:0", "/job:worker"],
    ["/gpu:1", "/cpu"],
    ["/device:GPU:1", "/device:GPU:*"],
    ["/job:a/task:1", None, "/cpu:0"],
    ["/job:a/task:1", ""],
    ["/job:a", "/task:2"],
    ["/job:ps/task:1/gpu:3", "/job:worker"],
    ["/job:w", "by_inputs"],
    ["by_inputs", "/gpu:1"],
    ["by_inputs", "by_inputs"],
    ["/task:9", "by_inputs", "/gpu:1"],
    ["by_inputs", None, "/cpu:0"],
    ["/job:x", "to_none"],
    ["/job:x", "to_gpu"],
    ["to_gpu", "/cpu:1"],
    ["spec"],
    ["/job:x/gpu:2", "spec"],
]

SETTERS = {
    "two servers": {"ps_tasks": 2},
    "resource variables": {"ps_tasks": 3, "use_resource": True},
    "none": {"ps_tasks": 0},
    "a worker with a task and a device": {"ps_tasks": 2, "worker_device": "/job:worker/task:1/gpu:0"},
    "a server's device": {"ps_tasks": 2, "ps_device": "/job:ps/cpu:0"},
    "no job of servers": {"ps_tasks": 2, "ps_device": "/cpu:0"},
    "nothing is merged": {"ps_tasks": 2, "merge_devices": False},
    "a cluster": {"cluster": {"ps": ["a:1", "b:1", "c:1"], "worker": ["d:1"]}},
    "a cluster with tasks left out": {"cluster": {"ps": {0: "a:1", 5: "b:1"}}},
    "a cluster without servers": {"cluster": {"worker": ["d:1"]}},
    "ops of one's own": {"ps_tasks": 2, "ps_ops": ["MatMul"]},
    "a strategy of one's own": {"ps_tasks": 9, "ps_strategy": "rows"},
}


def rows(op):
    shape = op.get_attr("shape").dim
    return shape[0].size if shape else 0


def entered(graph, stack):
    with graph.as_default(), contextlib.ExitStack() as scopes:
        for item in stack:
            scopes.enter_context(tf.device(FUNCTIONS.get(item, item)))
        a = tf.constant(1.0, name="a")
        tf.identity(a, name="b")
    return [graph.get_operation_by_name(n).device for n in "ab"]


def training(config):
    config = dict(config)
    use_resource = config.pop("use_resource", False)
    if "ps_strategy" in config:
        config["ps_strategy"] = rows
    graph = tf.Graph()
    with graph.as_default(), tf.device(tf.train.replica_device_setter(**config)):
        x = tf.placeholder(tf.float32, [None, 4], name="x")
        step = tf.train.get_or_create_global_step()
        with tf.variable_scope("net", use_resource=use_resource):
            w = tf.get_variable("w", [4, 8], initializer=tf.ones_initializer())
            b = tf.get_variable("b", [8], initializer=tf.zeros_initializer())
            with tf.device("/job:ps/task:7"):
                tf.get_variable("kept", [2], initializer=tf.zeros_initializer())
            with tf.device("/job:other"):
                tf.get_variable("other", [3], initializer=tf.zeros_initializer())
            with tf.device("/cpu:1"):
                h = tf.nn.relu(tf.nn.bias_add(tf.matmul(x, w.value()), b.value()))
        loss = tf.reduce_mean(tf.square(h))
        tf.train.MomentumOptimizer(0.1, 0.9).minimize(loss, global_step=step)
        tf.global_variables_initializer()
    return {op.name: op.device for op in graph.get_operations()}


def parsed(text):
    try:
        return {"text": pydev.DeviceSpec.from_string(text).to_string()}
    except ValueError as e:
        return {"error": str(e)}


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    golden = {
        "specs": [{"spec": s, **parsed(s)} for s in SPECS],
        "stacks": [{"stack": s, "devices": entered(tf.Graph(), s)} for s in STACKS],
        "setters": [{"claim": name, "config": c, "devices": training(c)} for name, c in SETTERS.items()],
    }
    (OUT / "devices.json").write_text(json.dumps(golden, separators=(",", ":")) + "\n")
    manifest = {"tensorflow": tf.__version__, "command": "python tools/goldens/devices.py"}
    (OUT / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n")


main()

"""Moving averages: what worker.py does with them."""
import json
import subprocess
import sys

import numpy as np
import tensorflow as tf2

tf = tf2.compat.v1


def encoded(values):
    from __main__ import encode

    return {name: encode(v) for name, v in values.items()}


def ema_restore(meta, prefix, name):
    """Opens a MetaGraph and restores a checkpoint by variables_to_restore; gives the map and the variables."""
    graph = tf.Graph()
    with graph.as_default(), tf.Session(graph=graph) as s:
        tf.train.import_meta_graph(meta)
        average = tf.train.ExponentialMovingAverage(0.9, name=name)
        names = average.variables_to_restore()
        tf.train.Saver(names).restore(s, prefix)
        values = encoded({v.op.name: s.run(v) for v in names.values()})
    return {"map": {k: v.op.name for k, v in names.items()}, "values": values}


def ema_train(prefix, steps, resource):
    """Trains y = x w + b with a moving average that counts steps; saves, and gives all variables."""
    # with new conditionals TensorFlow cannot initialise shadows of reference variables that are made under control dependencies
    tf.disable_control_flow_v2()
    try:
        return trained(prefix, steps, resource)
    finally:
        tf.enable_control_flow_v2()


def trained(prefix, steps, resource):
    graph = tf.Graph()
    with graph.as_default(), tf.Session(graph=graph) as s:
        tf.get_variable_scope().set_use_resource(resource)
        x = tf.constant(np.arange(12, dtype=np.float32).reshape(6, 2) / 6)
        with tf.variable_scope("net"):
            w = tf.get_variable("w", initializer=[[0.5], [-0.25]])
            b = tf.get_variable("b", initializer=[0.0])
        loss = tf.reduce_mean(tf.square(tf.matmul(x, w) + b - 1.0))
        step = tf.train.get_or_create_global_step()
        minimize = tf.train.MomentumOptimizer(0.05, 0.9).minimize(loss, global_step=step)
        with tf.control_dependencies([minimize]):
            train = tf.train.ExponentialMovingAverage(0.95, num_updates=step, name="E").apply()
        saver = tf.train.Saver()
        s.run(tf.global_variables_initializer())
        for _ in range(steps):
            s.run(train)
        saver.save(s, prefix)
        return encoded({v.op.name: s.run(v) for v in tf.global_variables()})


def recalibrated_outputs(keras_path, saved_path, x):
    """What Keras and TensorFlow compute with files whose statistics were written elsewhere; in a process with eager execution."""
    code = (
        "import sys, json, numpy as np, keras, tensorflow as tf\n"
        "keras_path, saved_path, x = json.load(sys.stdin)\n"
        "x = np.load(x)\n"
        "one = keras.saving.load_model(keras_path)(x, training=False).numpy().tolist()\n"
        "saved = tf.saved_model.load(saved_path)\n"
        "two = np.asarray(saved.serve(x)).tolist()\n"
        "print(json.dumps([one, two]))\n"
    )
    given = json.dumps([keras_path, saved_path, x])
    done = subprocess.run([sys.executable, "-c", code], input=given, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(done.stderr[-2000:])
    return json.loads(done.stdout.splitlines()[-1])


COMMANDS = [ema_restore, ema_train, recalibrated_outputs]

"""Commands of worker.py: what TensorFlow, Keras 2 and Keras 3 make of object-based checkpoints and SavedModels that we wrote.

They run eagerly, in the process of eager.py; the models are those of tools/goldens/object_models.py.
"""
import importlib
import os
import sys

import eager
import numpy as np
import tensorflow as tf


def objects(action, **arguments):
    """Calls a function of this file, eagerly."""
    return eager.call("objects", action, **arguments)


def outputs(path, package, kind, optimizer, options):
    """Of the model with the checkpoint restored, optimizer too; None where this Python lacks the package."""
    sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "tools", "goldens"))
    from object_models import inputs_of, model_of

    try:
        k = importlib.import_module(package)
        if package == "tf_keras":
            make = getattr(importlib.import_module(f"tf_keras.optimizers.{optimizer[0]}"), optimizer[1])
        else:
            make = getattr(k.optimizers, optimizer[1])
    except ImportError:
        return None
    model, _ = model_of(k, kind)
    x = inputs_of(kind)
    model.compile(make(0.01, **options), "mse")
    model.fit(x, np.zeros((len(x), 2)), verbose=0)  # so that the slots are there, and wrong
    status = tf.train.Checkpoint(model=model, optimizer=model.optimizer).read(path)
    status.assert_existing_objects_matched().assert_consumed()
    slots = [float(np.abs(v.numpy()).sum()) for v in model.optimizer.variables] if package == "keras" else []
    return {"y": model(x, training=False).numpy().tolist(), "step": int(model.optimizer.iterations.numpy()), "slots": slots}


def tree(path):
    """Values of a tree of trackables restored from names such as `dense/kernel`, and its count of saves."""
    dense = tf.train.Checkpoint(kernel=tf.Variable(tf.zeros([2])), bias=tf.Variable(tf.zeros([2])))
    root = tf.train.Checkpoint(dense=dense, **{"a.b": tf.Variable(tf.zeros([2]))})
    root.restore(path).assert_existing_objects_matched().assert_consumed()
    values = {"kernel": dense.kernel, "bias": dense.bias, "a.b": getattr(root, "a.b")}
    return {**{n: v.numpy().tolist() for n, v in values.items()}, "saves": int(root.save_counter.numpy())}


def served(path, x):
    """What the default signature of a SavedModel gives for x."""
    signature = tf.saved_model.load(path).signatures["serving_default"]
    (name,) = signature.structured_input_signature[1]
    (y,) = signature(**{name: tf.constant(x, tf.float32)}).values()
    return y.numpy().tolist()


COMMANDS = [objects]

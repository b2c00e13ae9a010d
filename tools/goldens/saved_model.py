"""Writes tests/goldens/saved-model with real TensorFlow and Keras: python tools/goldens/saved_model.py

SavedModels of TF1 (two tags, a partitioned variable), of a tf.Module with and without variables, and Keras 3's export, which has every
variable twice. manifest.json has their variables by TensorFlow's own loader, with inputs and outputs.
"""

import base64
import json
import os
import shutil

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
import keras
import numpy as np
import tensorflow as tf

OUT = os.path.join(os.path.dirname(__file__), "..", "..", "tests", "goldens", "saved-model")
t = tf.compat.v1


def at(name):
    return os.path.join(OUT, name)


def encoded(array):
    array = np.asarray(array)
    return {"dtype": array.dtype.name, "shape": list(array.shape), "base64": base64.b64encode(array.tobytes()).decode()}


def tf1():
    with t.Graph().as_default(), t.Session() as session:
        x = t.placeholder(tf.float32, [None, 2], name="x")
        w = t.get_variable("dense/kernel", initializer=np.arange(6, dtype=np.float32).reshape(2, 3))
        b = t.get_variable("dense/bias", initializer=np.float32([1, 2, 3]))
        rows = t.get_variable("emb", [5, 2], partitioner=t.fixed_size_partitioner(2), initializer=t.constant_initializer(0.5))
        y = tf.matmul(x, w) + b + tf.reduce_sum(tf.convert_to_tensor(rows))
        session.run(t.global_variables_initializer())
        builder = t.saved_model.Builder(at("tf1"))
        signature = t.saved_model.predict_signature_def({"x": x}, {"y": y})
        builder.add_meta_graph_and_variables(session, ["serve"], {"serving_default": signature}, strip_default_attrs=True)
        builder.add_meta_graph(["gpu", "serve"])
        builder.save()
        values = {"dense/kernel": w.eval(), "dense/bias": b.eval(), "emb": tf.convert_to_tensor(rows).eval()}
    return {"name": "tf1", "tags": [["serve"], ["gpu", "serve"]], "variables": {n: encoded(v) for n, v in values.items()}}


class Scale(tf.Module):
    def __init__(self):
        self.scale = tf.Variable([[1.0, 2.0]], name="scale")

    @tf.function(input_signature=[tf.TensorSpec([None, 1])])
    def __call__(self, x):
        return x @ self.scale


class Twice(tf.Module):
    @tf.function(input_signature=[tf.TensorSpec([None, 1])])
    def __call__(self, x):
        return x * 2


def tf2():
    module = Scale()
    tf.saved_model.save(module, at("tf2"))
    tf.saved_model.save(Twice(), at("none"))
    shutil.rmtree(os.path.join(at("none"), "variables"))
    return [
        {"name": "tf2", "tags": [["serve"]], "variables": {"scale": encoded(module.scale)}},
        {"name": "none", "tags": [["serve"]], "variables": {}},
    ]


def keras3():
    keras.utils.set_random_seed(0)
    layers = keras.layers
    model = keras.Sequential([keras.Input((4,)), layers.Dense(3, name="d"), layers.BatchNormalization(name="bn")], name="net")
    model.compile("adam", "mse")
    model.fit(np.random.rand(8, 4), np.random.rand(8, 3), verbose=0)
    model.export(at("keras3"), verbose=False)
    return {"name": "keras3", "tags": [["serve"]], "variables": {v.path: encoded(v) for v in model.variables if "seed" not in v.path}}


def main():
    shutil.rmtree(OUT, ignore_errors=True)
    os.makedirs(OUT)
    cases = [tf1(), *tf2(), keras3()]
    manifest = {
        "by": f"tensorflow {tf.__version__}, keras {keras.__version__}",
        "command": "python tools/goldens/saved_model.py",
        "cases": cases,
    }
    with open(at("manifest.json"), "w") as f:
        json.dump(manifest, f, indent=1)
        f.write("\n")


main()

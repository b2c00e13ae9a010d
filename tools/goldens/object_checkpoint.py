"""Writes tests/goldens/object-checkpoint with real Keras 2 and 3: PYTHONPATH=<source of tf_keras> python tools/goldens/object_checkpoint.py

Checkpoints of tf.train.Checkpoint: models of Keras 2 (both of its kinds of optimizers) and of Keras 3 after some training, and a tree
of plain objects. manifest.json has for each what it holds, by TensorFlow's reader, what Keras says belongs together, and, of Keras 2's,
the checkpoint that Keras 3 writes of the same model with the same values. What broken graphs must say stands in broken.json.
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
import tf_keras
from object_models import inputs_of, model_of
from tensorflow.core.protobuf import trackable_object_graph_pb2 as graph_pb2
from tf_keras.optimizers import adam as later_adam
from tf_keras.optimizers.legacy import adam as legacy_adam
from tf_keras.optimizers.legacy import gradient_descent as legacy_sgd
from tf_keras.optimizers.legacy import rmsprop as legacy_rmsprop

OUT = os.path.join(os.path.dirname(__file__), "..", "..", "tests", "goldens", "object-checkpoint")
GRAPH = "_CHECKPOINTABLE_OBJECT_GRAPH"
VALUE = "/.ATTRIBUTES/VARIABLE_VALUE"


def encoded(array):
    array = np.asarray(array)
    if array.dtype == object or array.dtype.kind == "S":
        return {"strings": [base64.b64encode(s).decode() for s in array.ravel().tolist()]}
    return {"base64": base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()}


def read(prefix):
    reader = tf.train.load_checkpoint(prefix)
    dtypes = reader.get_variable_to_dtype_map()
    graph = graph_pb2.TrackableObjectGraph.FromString(reader.get_tensor(GRAPH))
    full_names = {a.checkpoint_key: a.full_name for node in graph.nodes for a in node.attributes}
    return {
        key: {
            "dtype": dtypes[key].name,
            "shape": shape,
            "fullName": full_names.get(key, ""),
            **({} if dtypes[key] == tf.variant else encoded(reader.get_tensor(key))),
        }
        for key, shape in sorted(reader.get_variable_to_shape_map().items())
        if key != GRAPH
    }


def trained(k, kind, optimizer, seed=0):
    keras.backend.clear_session()
    tf_keras.backend.clear_session()
    k.utils.set_random_seed(seed)
    keras.utils.set_random_seed(seed)
    model, shape = model_of(k, kind)
    random = np.random.RandomState(seed)
    x = random.randint(0, 7, (8, *shape)) if kind == "nest" else random.rand(8, *shape)
    model.compile(optimizer, "mse")
    model.fit(x, random.rand(8, 2), epochs=2, batch_size=4, verbose=0, shuffle=False)
    return model


def save(name, **objects):
    return tf.train.Checkpoint(**objects).write(os.path.join(OUT, name))


def slots_of_keras2(model):
    """(variable's name, slot, slot's name) of all slots, from the optimizer itself."""
    optimizer = model.optimizer
    if hasattr(optimizer, "get_slot_names"):
        pairs = [(v, s, optimizer.get_slot(v, s)) for s in optimizer.get_slot_names() for v in model.trainable_variables]
    else:
        lists = {"m": optimizer._momentums, "v": optimizer._velocities}
        pairs = [(v, s, x) for s, items in lists.items() for v, x in zip(model.trainable_variables, items)]
    return [[v.name.split(":")[0], s, x.name.split(":")[0]] for v, s, x in pairs]


def keras3_of(model2, kind, make, lists):
    """Keras 3's own checkpoint of a Keras 2 model: what has the same values, by Keras 3's keys."""
    model = trained(keras, kind, make())
    optimizer, optimizer2 = model.optimizer, model2.optimizer
    optimizer._iterations.assign(optimizer2.iterations.numpy())
    for slot, items in lists.items():
        for i, v2 in enumerate(model2.trainable_variables):
            x = optimizer2.get_slot(v2, slot) if hasattr(optimizer2, "get_slot_names") else getattr(optimizer2, items)[i]
            getattr(optimizer, items)[i].assign(x.numpy())
    scratch = os.path.join(OUT, "scratch")
    # A model without optimizer, so that weights have the keys of their layers.
    bare, _ = model_of(keras, kind)
    bare.set_weights(model2.get_weights())
    tf.train.Checkpoint(model=bare).write(scratch)
    weights = {k: v for k, v in read(scratch).items() if k.startswith("model/")}
    tf.train.Checkpoint(optimizer=optimizer).write(scratch)
    rest = {k: v for k, v in read(scratch).items() if k.startswith("optimizer/") and "/_trainable_variables/" not in k}
    for file in os.listdir(OUT):
        if file.startswith("scratch"):
            os.remove(os.path.join(OUT, file))
    return {**weights, **rest}


def keras2():
    adam = {"m": "_momentums", "v": "_velocities"}
    rms = {"rms": "_velocities", "momentum": "_momentums", "mg": "_average_gradients"}
    o3 = keras.optimizers
    cases = [
        ("k2-seq-adam", "seq", legacy_adam.Adam(0.01), lambda: o3.Adam(0.01), adam),
        ("k2-seq-later", "seq", later_adam.Adam(0.01), lambda: o3.Adam(0.01), adam),
        ("k2-conv-sgd", "conv", legacy_sgd.SGD(0.01, 0.9), lambda: o3.SGD(0.01, 0.9), {"momentum": "momentums"}),
        (
            "k2-nest-rms",
            "nest",
            legacy_rmsprop.RMSprop(0.01, momentum=0.9, centered=True),
            lambda: o3.RMSprop(0.01, momentum=0.9, centered=True),
            rms,
        ),
    ]
    out = []
    for name, kind, optimizer, make3, lists in cases:
        model = trained(tf_keras, kind, optimizer)
        save(name, model=model, optimizer=optimizer)
        out.append(
            {
                "name": name,
                "tensors": read(os.path.join(OUT, name)),
                "slots": slots_of_keras2(model),
                "kind": kind,
                "outputs": model(inputs_of(kind), training=False).numpy().tolist(),
                "keras3": keras3_of(model, kind, make3, lists),
            }
        )
    return out


def keras3():
    o3 = keras.optimizers
    m, v = ["m", "_momentums"], ["v", "_velocities"]
    cases = [
        ("k3-seq-adam", "seq", o3.Adam(0.01, amsgrad=True), [m, v, ["vhat", "_velocity_hats"]]),
        ("k3-conv-sgd", "conv", o3.SGD(0.01, 0.9, use_ema=True), [["momentum", "momentums"], ["average", "_model_variables_moving_average"]]),
        ("k3-nest-rms", "nest", o3.RMSprop(0.01, momentum=0.9), [["rms", "_velocities"], ["momentum", "_momentums"]]),
        ("k3-seq-nadam", "seq", o3.Nadam(0.01), [m, v]),
        ("k3-seq-adafactor", "seq", o3.Adafactor(0.01), [["r", "_r"], ["c", "_c"], ["v", "_v"]]),
        ("k3-seq-ftrl", "seq", o3.Ftrl(0.01), [["accumulator", "_accumulators"], ["linear", "_linears"]]),
        ("k3-seq-adadelta", "seq", o3.Adadelta(0.01), [["accum_grad", "_accumulated_grads"], ["accum_var", "_accumulated_delta_vars"]]),
        ("k3-seq-adamax", "seq", o3.Adamax(0.01), [["m", "_m"], ["v", "_u"]]),
    ]
    out = []
    for name, kind, optimizer, lists in cases:
        model = trained(keras, kind, optimizer)
        save(name, model=model, optimizer=optimizer)
        indices = {id(x): i for i, x in enumerate(optimizer.variables)}
        # By its index in optimizer.variables: names are not unique.
        slots = [
            [v.path, slot, f"optimizer/_variables/{indices[id(x)]}{VALUE}"]
            for slot, items in lists
            for v, x in zip(model.trainable_variables, getattr(optimizer, items))
            if id(x) in indices
        ]
        out.append({"name": name, "tensors": read(os.path.join(OUT, name)), "slots": slots})
    return out


class Plain(tf.Module):
    def __init__(self):
        self.w = tf.Variable([1.0, 2.0])
        self.items = [tf.Variable(3.0), {"x.y/z": tf.Variable(4.0, name="w")}]
        self.pair = (tf.Variable(5, dtype=tf.int64),)


class State(tf.train.experimental.PythonState):
    def serialize(self):
        return "the state"

    def deserialize(self, text):
        pass


def plain():
    table = tf.lookup.experimental.MutableHashTable(tf.string, tf.int64, -1)
    table.insert(["a"], [7])
    steps = iter(tf.data.Dataset.range(3))
    parts = {"net": Plain(), "table": table, "state": State(), "steps": steps, "a.b": Plain()}
    tf.train.Checkpoint(**parts).save(os.path.join(OUT, "plain"))
    return [{"name": "plain-1", "tensors": read(os.path.join(OUT, "plain-1")), "slots": []}]


def main():
    broken = os.path.join(OUT, "broken.json")
    kept = open(broken).read() if os.path.exists(broken) else None
    shutil.rmtree(OUT, ignore_errors=True)
    os.makedirs(OUT)
    cases = [*keras2(), *keras3(), *plain()]
    os.remove(os.path.join(OUT, "checkpoint"))
    if kept is not None:
        open(broken, "w").write(kept)
    manifest = {
        "by": f"tensorflow {tf.__version__}, keras {keras.__version__}, tf_keras {tf_keras.__version__}",
        "command": "PYTHONPATH=<source of tf_keras> python tools/goldens/object_checkpoint.py",
        "cases": cases,
    }
    with open(os.path.join(OUT, "manifest.json"), "w") as f:
        json.dump(manifest, f, indent=1)
        f.write("\n")


if __name__ == "__main__":
    main()

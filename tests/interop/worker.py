"""TensorFlow on the other end of a pipe: one JSON request a line, one JSON answer a line.

A tensor is {"dtype", "shape", "data"}: base64 of its little-endian bytes, for strings a list of base64.
Each command is a function below; "session" numbers count up from 0 and stay open.
"""
import base64
import json
import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.dont_write_bytecode = True
answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)  # whatever TensorFlow prints must not stand between the answers

import numpy as np  # noqa: E402
import tensorflow as tf2  # noqa: E402

tf = tf2.compat.v1
tf.disable_eager_execution()
import array_files  # noqa: E402
import checkpoints_v1  # noqa: E402
import converted  # noqa: E402
import exchange  # noqa: E402
import fine_tuned  # noqa: E402
import keras_file  # noqa: E402
import loop_gradients  # noqa: E402
import moving_averages  # noqa: E402
import monitored  # noqa: E402
import objects  # noqa: E402
import partitioned  # noqa: E402
import programs  # noqa: E402
import recurrent  # noqa: E402
import transforms  # noqa: E402
import savers  # noqa: E402

sessions = []


def decode(t):
    if t["dtype"] == "string":
        flat = np.array([base64.b64decode(s) for s in t["data"]] + [None], dtype=object)[:-1]
        return flat.reshape(t["shape"])
    dtype = tf.as_dtype(t["dtype"]).as_numpy_dtype
    return np.frombuffer(base64.b64decode(t["data"]), dtype=dtype).reshape(t["shape"])


def encode(a, dtype=None):
    a = np.asarray(a)
    if a.dtype == object or a.dtype.kind in "SU":
        flat = [s if isinstance(s, bytes) else str(s).encode() for s in a.reshape(-1).tolist()]
        return {"dtype": "string", "shape": list(a.shape), "data": [base64.b64encode(s).decode() for s in flat]}
    name = dtype or tf.as_dtype(a.dtype).name
    return {"dtype": name, "shape": list(a.shape), "data": base64.b64encode(a.tobytes()).decode()}


class Opened:
    """A graph with its session, and the saver of its MetaGraph."""

    def __init__(self, load):
        self.graph = tf.Graph()
        with self.graph.as_default():
            self.saver = load()
        self.session = tf.Session(graph=self.graph)


def opened(load):
    sessions.append(Opened(load))
    return len(sessions) - 1


def open_meta(path):
    return opened(lambda: tf.train.import_meta_graph(path))


def open_graph(path):
    def load():
        definition = tf.GraphDef()
        with open(path, "rb") as f:
            definition.ParseFromString(f.read())
        tf.import_graph_def(definition, name="")

    return opened(load)


def feeds_of(feeds):
    return {name: decode(t) for name, t in feeds.items()}


def run(session, fetches, targets, feeds):
    s = sessions[session]
    ops = [s.graph.get_operation_by_name(name) for name in targets]
    values, _ = s.session.run([list(fetches), ops], feeds_of(feeds))
    return [encode(v) for v in values]


def train(session, loss, target, batches, first, steps):
    """Losses of `steps` steps; step i is fed batch i mod the number of batches."""
    s = sessions[session]
    decoded = [feeds_of(b) for b in batches]
    op = s.graph.get_operation_by_name(target)
    values = [s.session.run([loss, op], decoded[i % len(decoded)])[0] for i in range(first, first + steps)]
    return [float(v) for v in values]


def variables(session):
    s = sessions[session]
    with s.graph.as_default():
        found = tf.global_variables()
    return {v.op.name: encode(a) for v, a in zip(found, s.session.run(found))}


def save(session, prefix):
    s = sessions[session]
    return s.saver.save(s.session, prefix, write_meta_graph=False)


def restore(session, prefix):
    s = sessions[session]
    s.saver.restore(s.session, prefix)


def freeze(session, outputs, path):
    s = sessions[session]
    frozen = tf.graph_util.convert_variables_to_constants(s.session, s.graph.as_graph_def(), outputs)
    with open(path, "wb") as f:
        f.write(frozen.SerializeToString())


def save_tensors(prefix, tensors):
    """Constants carry the values: feeds would pass through numpy types that not all dtypes have."""
    names = list(tensors)
    with tf.Graph().as_default(), tf.Session() as s:
        values = [constant(tensors[n]) for n in names]
        s.run(tf.raw_ops.SaveV2(prefix=prefix, tensor_names=names, shape_and_slices=[""] * len(names), tensors=values))


def constant(t):
    """A Const of the tensor's own bytes."""
    proto = tf.make_tensor_proto(0)
    proto.Clear()
    proto.dtype = tf.as_dtype(t["dtype"]).as_datatype_enum
    for d in t["shape"]:
        proto.tensor_shape.dim.add().size = d
    if t["dtype"] == "string":
        proto.string_val.extend(base64.b64decode(s) for s in t["data"])
    else:
        proto.tensor_content = base64.b64decode(t["data"])
    node = tf.NodeDef(name="c%d" % len(tf.get_default_graph().get_operations()), op="Const")
    node.attr["dtype"].type = proto.dtype
    node.attr["value"].tensor.CopyFrom(proto)
    graph = tf.GraphDef(node=[node])
    return tf.import_graph_def(graph, return_elements=[node.name + ":0"], name="")[0]


def load_tensors(prefix, dtypes):
    names = list(dtypes)
    with tf.Graph().as_default(), tf.Session() as s:
        kinds = [tf.as_dtype(d) for d in dtypes.values()]
        read = tf.raw_ops.RestoreV2(
            prefix=prefix, tensor_names=names, shape_and_slices=[""] * len(names), dtypes=kinds)
        values = s.run(read)
    return {n: encode(v, None if dtypes[n] == "string" else dtypes[n]) for n, v in zip(names, values)}


def program(name, path, arguments):
    """Runs a function of programs.py in a new graph and writes what it makes. It returns names."""
    return getattr(programs, name)(path, **arguments)


COMMANDS = [
    open_meta, open_graph, run, train, variables, save, restore, freeze, save_tensors, load_tensors, program]


COMMANDS += array_files.COMMANDS
COMMANDS += checkpoints_v1.COMMANDS
COMMANDS += converted.COMMANDS
COMMANDS += exchange.COMMANDS
COMMANDS += fine_tuned.COMMANDS
COMMANDS += loop_gradients.COMMANDS
COMMANDS += moving_averages.COMMANDS
COMMANDS += objects.COMMANDS
COMMANDS += partitioned.COMMANDS
COMMANDS += recurrent.COMMANDS
COMMANDS += savers.COMMANDS
COMMANDS += keras_file.COMMANDS
COMMANDS += monitored.COMMANDS
COMMANDS += transforms.COMMANDS


def main():
    known = {f.__name__: f for f in COMMANDS}

    def say(answer):
        answers.write(json.dumps(answer) + "\n")
        answers.flush()

    say({"result": tf2.__version__})
    for line in sys.stdin:
        request = json.loads(line)
        try:
            say({"result": known[request.pop("command")](**request)})
        except Exception as e:  # the test shows it and goes on with the next request
            say({"error": "%s: %s" % (type(e).__name__, e)})


main()

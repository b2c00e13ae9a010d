"""Import and export: what worker.py does with MetaGraphs and SavedModels."""
import ctypes
import os

import tensorflow as tf2
from tensorflow.python.eager import context

tf = tf2.compat.v1


def wire():
    import __main__ as worker

    return worker.encode, worker.decode


def exchange_train(meta, prefix, scope, feeds, steps, saved):
    """Imports a MetaGraph under a scope, goes on training from a checkpoint, and saves; gives the losses and the checkpoint's keys."""
    _, decode = wire()
    with tf.Graph().as_default() as graph, tf.Session(graph=graph) as session:
        saver = tf.train.import_meta_graph(meta, import_scope=scope)
        saver.restore(session, prefix)
        loss, train = graph.get_tensor_by_name(f"{scope}/loss:0"), graph.get_operation_by_name(f"{scope}/train")
        values = {f"{scope}/{k}:0": decode(v) for k, v in feeds.items()}
        losses = [float(session.run([loss, train], values)[0]) for _ in range(steps)]
        saver.save(session, saved, write_meta_graph=False)
    return {"losses": losses, "keys": sorted(tf.train.NewCheckpointReader(saved).get_variable_to_shape_map())}


def exchange_gradient(meta, scope, y, x, feeds, input_map=None):
    """Imports a MetaGraph and differentiates: a tensor and its gradient."""
    encode, decode = wire()
    inside = (lambda name: f"{scope}/{name}") if scope else (lambda name: name)
    with tf.Graph().as_default() as graph, tf.Session(graph=graph) as session:
        outer = {k: tf.placeholder(tf.as_dtype(v["dtype"]), v["shape"]) for k, v in (input_map or {}).items()}
        tf.train.import_meta_graph(meta, import_scope=scope or None, input_map=outer)
        session.run(tf.global_variables_initializer())
        at = lambda name: outer[name] if name in outer else graph.get_tensor_by_name(inside(name))
        gradient = tf.gradients(at(y), at(x))[0]
        values = {at(k): decode(v) for k, v in feeds.items()}
        return [encode(v) for v in session.run([at(y), gradient], values)]


def exchange_loop(meta):
    """Writes a MetaGraph with a loop that has a conditional inside, as TensorFlow 1 builds them."""
    tf.disable_control_flow_v2()
    try:
        with tf.Graph().as_default():
            n, x = tf.placeholder(tf.int32, [], name="n"), tf.placeholder(tf.float32, [2], name="x")
            with tf.name_scope("net"):
                w = tf.Variable([1.5, 0.5], name="w", use_resource=False)
                body = lambda i, v: (i + 1, tf.cond(tf.equal(i % 2, 0), lambda: v * w, lambda: tf.square(v)))
                out = tf.while_loop(lambda i, v: i < n, body, [tf.constant(0), x], name="loop")
                tf.reduce_sum(out[1], name="y")
            tf.train.export_meta_graph(meta)
    finally:
        tf.enable_control_flow_v2()


def exchange_functional(path):
    """Writes a GraphDef with TensorFlow 2's loop and conditional."""
    with tf.Graph().as_default() as graph:
        n, x = tf.placeholder(tf.int32, [], name="n"), tf.placeholder(tf.float32, [2], name="x")
        out = tf.while_loop(lambda i, v: i < n, lambda i, v: (i + 1, v * 2.0), [0, x], name="loop")
        tf.identity(tf.cond(n > 3, lambda: out[1] * 10.0, lambda: out[1] + 1.0), name="y")
        tf.io.write_graph(graph, os.path.dirname(path), os.path.basename(path), as_text=False)


def exchange_imported(path, prefix, fetch, feeds):
    """Runs a GraphDef under a prefix."""
    encode, decode = wire()
    with open(path, "rb") as file:
        graph_def = tf.GraphDef.FromString(file.read())
    with tf.Graph().as_default() as graph, tf.Session(graph=graph) as session:
        tf.import_graph_def(graph_def, name=prefix)
        at = lambda name: graph.get_tensor_by_name(f"{prefix}/{name}" if prefix else name)
        return encode(session.run(at(fetch), {at(k): decode(v) for k, v in feeds.items()}))


def exchange_saved_v1(folder, tags, signature, feeds):
    """Loads a SavedModel as TensorFlow 1 does and calls a signature."""
    encode, decode = wire()
    with tf.Graph().as_default() as graph, tf.Session(graph=graph) as session:
        meta = tf.saved_model.load(session, tags, folder)
        called = meta.signature_def[signature]
        values = {called.inputs[k].name: decode(v) for k, v in feeds.items()}
        outputs = session.run({k: v.name for k, v in called.outputs.items()}, values)
    return {"method": called.method_name, "outputs": {k: encode(v) for k, v in outputs.items()}}


def exchange_saved_v2(folder, signature, feeds):
    """Loads a SavedModel as TensorFlow 2 does and calls a signature."""
    encode, decode = wire()
    with context.eager_mode():
        model = tf2.saved_model.load(folder)
        outputs = model.signatures[signature](**{k: tf2.constant(decode(v)) for k, v in feeds.items()})
        return {"variables": sorted(v.name for v in model.variables), "outputs": {k: encode(v.numpy()) for k, v in outputs.items()}}


def exchange_served(folder, tags):
    """Loads a SavedModel with the loader of TensorFlow Serving, which is C++; "" is success."""
    lib = ctypes.CDLL(os.path.join(os.path.dirname(tf2.__file__), "libtensorflow_cc.so.2"))
    pointer = ctypes.c_void_p
    for name in ("TF_NewStatus", "TF_NewGraph", "TF_NewSessionOptions", "TF_LoadSessionFromSavedModel"):
        getattr(lib, name).restype = pointer
    lib.TF_Message.restype = ctypes.c_char_p
    status, graph, options = (pointer(f()) for f in (lib.TF_NewStatus, lib.TF_NewGraph, lib.TF_NewSessionOptions))
    names = (ctypes.c_char_p * len(tags))(*[t.encode() for t in tags])
    lib.TF_LoadSessionFromSavedModel(options, None, folder.encode(), names, len(tags), graph, None, status)
    return lib.TF_Message(status).decode()


def exchange_saved_train(folder, steps, feeds):
    """Loads a SavedModel for training and trains it by its train op; gives the losses."""
    _, decode = wire()
    with tf.Graph().as_default() as graph, tf.Session(graph=graph) as session:
        meta = tf.saved_model.load(session, ["train"], folder)
        train = graph.get_operation_by_name(meta.collection_def["saved_model_train_op"].node_list.value[0])
        values = {graph.get_tensor_by_name(k): decode(v) for k, v in feeds.items()}
        return [float(session.run(["loss:0", train], values)[0]) for _ in range(steps)]


def exchange_shared(path, init, fetch, feeds):
    """Whether running `init` gives the variables of `fetch` values."""
    _, decode = wire()
    with open(path, "rb") as file:
        graph_def = tf.GraphDef.FromString(file.read())
    with tf.Graph().as_default() as graph, tf.Session(graph=graph) as session:
        tf.import_graph_def(graph_def, name="")
        session.run(graph.get_operation_by_name(init))
        try:
            session.run(fetch, {k: decode(v) for k, v in feeds.items()})
        except tf.errors.FailedPreconditionError:
            return "apart"
    return "shared"


COMMANDS = [
    exchange_train, exchange_gradient, exchange_loop, exchange_functional, exchange_imported, exchange_saved_v1, exchange_saved_v2,
    exchange_served, exchange_saved_train, exchange_shared]

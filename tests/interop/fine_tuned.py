"""Commands of worker.py: graphs whose functions varscope took apart, differentiated; models that it trained on, trained on."""

import base64

import loop_gradients
import tensorflow as tf2
from tensorflow.python.eager import context

tf = tf2.compat.v1


def feeds_of(feeds):
    import __main__ as worker

    return worker.feeds_of(feeds)


def fine_tuned_gradients(path, y, xs, init, feeds):
    """tf.gradients of an imported MetaGraph: null where there is none."""
    import __main__ as worker

    with tf.Graph().as_default() as graph, tf.Session() as session:
        tf.train.import_meta_graph(path)
        grads = tf.gradients(graph.get_tensor_by_name(y), [graph.get_tensor_by_name(x) for x in xs])
        grads = [tf.convert_to_tensor(g) if isinstance(g, tf.IndexedSlices) else g for g in grads]
        session.run(graph.get_operation_by_name(init))
        values = iter(session.run([g for g in grads if g is not None], feeds_of(feeds)))
        return [None if g is None else worker.encode(next(values)) for g in grads]


def fine_tuned_checkpoint(model, checkpoint, input, output, x, target, back, steps=3, rate=0.05):
    """Losses of steps from a checkpoint of the model's objects, by TensorFlow 2, and after them; it writes a checkpoint, too."""
    fed = feeds_of({"x": x, "target": target})
    with context.eager_mode():
        loaded = tf2.saved_model.load(model)
        tf2.train.Checkpoint(loaded).read(checkpoint).assert_consumed()
        f = loaded.signatures["serving_default"]
        losses = []
        for i in range(steps + 1):
            with tf2.GradientTape() as tape:
                y = f(**{input: tf2.constant(fed["x"])})[output]
                loss = tf2.reduce_mean(tf2.math.squared_difference(y, fed["target"]))
            losses.append(float(loss))
            if i < steps:
                for v, dv in zip(f.trainable_variables, tape.gradient(loss, f.trainable_variables)):
                    v.assign_sub(rate * dv)
        tf2.train.Checkpoint(loaded).write(back)
        return losses


def fine_tuned_model(folder, loss, feeds, steps=3):
    """Losses of the train op of a SavedModel, by TensorFlow 1."""
    with tf.Graph().as_default() as graph, tf.Session() as session:
        meta = tf.saved_model.load(session, ["serve"], folder)
        train = graph.get_operation_by_name(meta.collection_def["saved_model_train_op"].node_list.value[0])
        losses = [float(session.run([loss, train], feeds_of(feeds))[0]) for _ in range(steps)]
        return {"losses": losses, "trainable": [v.name for v in tf.trainable_variables()]}


def called(block):
    """Each block of a program in a function of its own."""

    def call(spec, values, counters, model):
        n = len(values)
        f = tf2.function(lambda *given: block(spec, given[:n], given[n:], model))
        return f(*values, *counters)

    return call


def of_functions(spec, shape, feed, **_):
    """A program of functions and TensorFlow 2's control flow: its graph, and the gradients' values."""
    with tf.Graph().as_default() as graph:
        tf.get_variable_scope().set_use_resource(True)
        x = tf.placeholder(tf.float32, shape, name="x")
        items = loop_gradients.VARIABLES.items()
        model = {n: tf.get_variable(n, loop_gradients.SHAPES[n], initializer=tf.constant_initializer(v)) for n, v in items}
        ys = loop_gradients.block(spec, [x], [], model)
        init = tf.global_variables_initializer().name
        data = base64.b64encode(graph.as_graph_def().SerializeToString(deterministic=True)).decode()
        grads = tf.gradients(ys, [x, *model.values()])
        dense = [tf.zeros([1]) if g is None else tf.convert_to_tensor(g) for g in grads]
        with tf.Session() as session:
            session.run(init)
            values = [v.ravel().tolist() for v in session.run([*ys, *dense], {x: feed})]
        return {"graph": data, "init": init, "ys": [y.name for y in ys], "values": values}


def function_gradients(programs, feed):
    """For each program of loop_gradients.py: its graph and values; null where TensorFlow does not build or run it."""
    block = loop_gradients.block
    loop_gradients.block = called(block)
    results = []
    try:
        for program in programs:
            try:
                results.append(of_functions(**program, feed=feed))
            except (ValueError, tf.errors.InvalidArgumentError):
                results.append(None)  # a shape that grows from round to round
    finally:
        loop_gradients.block = block
    return results


COMMANDS = [function_gradients, fine_tuned_gradients, fine_tuned_checkpoint, fine_tuned_model]

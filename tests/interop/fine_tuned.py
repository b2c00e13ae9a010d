"""Commands of worker.py: graphs whose functions varscope took apart, differentiated; models that it trained on, trained on."""

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


def fine_tuned_checkpoint(model, checkpoint, x, target, steps=3, rate=0.05):
    """Losses of steps from a checkpoint of the model's objects, by TensorFlow 2."""
    fed = feeds_of({"x": x, "target": target})
    with context.eager_mode():
        loaded = tf2.saved_model.load(model)
        tf2.train.Checkpoint(loaded).read(checkpoint).assert_consumed()
        f = loaded.signatures["serving_default"]
        losses = []
        for _ in range(steps):
            with tf2.GradientTape() as tape:
                y = f(images=tf2.constant(fed["x"]))["logits"]
                loss = tf2.reduce_mean(tf2.math.squared_difference(y, fed["target"]))
            losses.append(float(loss))
            for v, dv in zip(f.trainable_variables, tape.gradient(loss, f.trainable_variables)):
                v.assign_sub(rate * dv)
        return losses


def fine_tuned_model(folder, loss, feeds, steps=3):
    """Losses of the train op of a SavedModel, by TensorFlow 1."""
    with tf.Graph().as_default() as graph, tf.Session() as session:
        meta = tf.saved_model.load(session, ["serve"], folder)
        train = graph.get_operation_by_name(meta.collection_def["saved_model_train_op"].node_list.value[0])
        losses = [float(session.run([loss, train], feeds_of(feeds))[0]) for _ in range(steps)]
        return {"losses": losses, "trainable": [v.name for v in tf.trainable_variables()]}


COMMANDS = [fine_tuned_gradients, fine_tuned_checkpoint, fine_tuned_model]

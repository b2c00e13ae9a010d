"""Savers and checkpoints of objects: TensorFlow restores what we saved, goes on, and saves for us."""
import os

import numpy as np
import tensorflow as tf2
from tensorflow.python.eager import context

tf = tf2.compat.v1


def numbers(values):
    return {k: np.asarray(v).reshape(-1).tolist() for k, v in values.items()}


def resave(meta, prefix, out):
    """Imports a MetaGraph, restores through its saver, adds 1 to each variable, saves through the saver's own nodes."""
    with tf.Graph().as_default(), tf.Session() as session:
        saver = tf.train.import_meta_graph(meta)
        saver.restore(session, prefix)
        found = tf.global_variables()
        values = dict(zip([v.op.name for v in found], session.run(found)))
        session.run([tf.assign_add(v, tf.ones_like(v)) for v in found])
        return {"values": numbers(values), "path": saver.save(session, out, write_meta_graph=False)}


def initialized(graph, initializers, fetches):
    """Runs the initializers of a GraphDef."""
    definition = tf.GraphDef()
    with open(graph, "rb") as f:
        definition.ParseFromString(f.read())
    with tf.Graph().as_default() as g, tf.Session() as session:
        tf.import_graph_def(definition, name="")
        session.run([g.get_operation_by_name(name) for name in initializers])
        return numbers(dict(zip(fetches, session.run(list(fetches)))))


def train_objects(path, steps, out):
    """Goes on with a training whose objects a checkpoint has: losses, and where it was saved."""
    with tf.Graph().as_default():
        weights = tf.get_variable("other_name", initializer=np.zeros([3], np.float32), use_resource=True)
        bias = tf.get_variable("another", initializer=np.float32(0), use_resource=True)
        optimizer = tf.train.AdamOptimizer(0.1)
        x = tf.constant([[1.0, 2.0, 3.0], [-1.0, 0.5, 2.0]])
        error = tf.reduce_sum(x * weights, axis=1) + bias - tf.constant([1.0, -1.0])
        loss = tf.reduce_sum(error * error)
        train = optimizer.minimize(loss)
        checkpoint = tf2.train.Checkpoint(net={"weights": weights, "more": [bias]}, optimizer=optimizer)
        with tf.Session() as session:
            if path is None:
                session.run(tf.global_variables_initializer())
            else:
                checkpoint.restore(path).assert_consumed().run_restore_ops(session)
            losses = [float(session.run([loss, train])[0]) for _ in range(steps)]
            with session.as_default():
                saved = checkpoint.save(out)
            return {"losses": losses, "path": saved}


def eager_objects(directory):
    """tf.Variables of another structure of classes, restored by a manager; then changed and saved by it."""
    with context.eager_mode():

        class Net(tf2.Module):
            def __init__(self):
                self.layers = [tf2.Variable([0.0, 0.0]), {"a.b/c": tf2.Variable(0, dtype=tf2.int64)}]

        net = Net()
        checkpoint = tf2.train.Checkpoint(net=net, step=tf2.Variable(0.0))
        manager = tf2.train.CheckpointManager(checkpoint, directory, max_to_keep=3)
        status = checkpoint.restore(manager.latest_checkpoint)
        status.assert_consumed()
        values = [net.layers[0].numpy().tolist(), int(net.layers[1]["a.b/c"]), float(checkpoint.step)]
        net.layers[0].assign([7.0, 8.0])
        saved = manager.save()
        return {
            "values": values,
            "counter": int(checkpoint.save_counter),
            "saved": os.path.basename(saved),
            "checkpoints": [os.path.basename(c) for c in manager.checkpoints],
        }


def eager_names(path):
    """A name-based checkpoint in objects."""
    with context.eager_mode():
        checkpoint = tf2.train.Checkpoint(deep=[tf2.Variable([0.0, 0.0], name="w"), tf2.Variable(0.0, name="s/b")])
        checkpoint.restore(path).assert_consumed()
        return [v.numpy().tolist() for v in checkpoint.deep]


def by_names(out):
    with tf.Graph().as_default(), tf.Session() as session:
        tf.get_variable("w", initializer=np.array([1, 2], np.float32))
        tf.get_variable("s/b", initializer=np.float32(3), use_resource=True)
        session.run(tf.global_variables_initializer())
        return tf.train.Saver().save(session, out, write_meta_graph=False)


COMMANDS = [resave, initialized, train_objects, eager_objects, eager_names, by_names]

"""Partitioned variables of TensorFlow 1, saved and restored."""
import numpy as np
import tensorflow as tf2

tf = tf2.compat.v1


def build(rows, columns, parts, axis):
    grid = tf.get_variable("grid", [rows, columns], tf.float32, tf.random_normal_initializer(seed=1),
                           partitioner=tf.fixed_size_partitioner(parts, axis))
    bias = tf.get_variable("bias", [columns], tf.float64, tf.random_normal_initializer(seed=2))
    words = tf.get_variable("words", initializer=tf.constant(["a", "", "ccc"]), use_resource=False)
    return [tf.convert_to_tensor(grid), bias, words]


def in_session(work, *shape):
    with tf.Graph().as_default(), tf.Session() as s:
        return work(s, build(*shape), tf.train.Saver())


def values(found):
    return [np.asarray(v).tolist() if v.dtype != object else [w.decode() for w in v] for v in found]


def save_partitioned(prefix, rows, columns, parts, axis):
    def work(s, fetches, saver):
        s.run(tf.global_variables_initializer())
        saver.save(s, prefix, write_meta_graph=False, write_state=False)
        return values(s.run(fetches))
    return in_session(work, rows, columns, parts, axis)


def restore_partitioned(prefix, rows, columns, parts, axis):
    def work(s, fetches, saver):
        saver.restore(s, prefix)
        return values(s.run(fetches))
    return in_session(work, rows, columns, parts, axis)


COMMANDS = [save_partitioned, restore_partitioned]

"""Moving averages: what worker.py does with them."""
import eager
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
    """What Keras and TensorFlow compute with files whose statistics were written elsewhere; eagerly."""
    return eager.call("moving_averages", "eager_outputs", keras_path, saved_path, x)


def eager_outputs(keras_path, saved_path, x):
    import keras

    x = np.load(x)
    one = keras.saving.load_model(keras_path)(x, training=False).numpy().tolist()
    saved = tf2.saved_model.load(saved_path)  # kept: its functions do not keep its variables
    two = np.asarray(saved.serve(x)).tolist()
    return [one, two]


COMMANDS = [ema_restore, ema_train, recalibrated_outputs]

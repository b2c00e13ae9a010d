"""Commands of worker.py: what Keras 3 and TensorFlow 1 make of files that we converted; the network is that of tools/goldens/convert.py.

Keras runs eagerly, in the process of eager.py.
"""
import eager
import numpy as np
import tensorflow as tf


def keras_outputs(paths, x):
    """For each .keras file, or object-based checkpoint without that ending: predictions for x, the optimizer's step and moments."""
    return eager.call("converted", "predictions", paths, x)


def tf1_outputs(path, x):
    """Predictions of the graph with the checkpoint at `path` restored by Saver, Adam's variables too."""
    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        get = v1.get_variable
        with v1.variable_scope("conv2d"):
            h = tf.nn.conv2d(np.array(x, np.float32), get("kernel", [3, 3, 2, 4]), 1, "SAME") + get("bias", [4])
        with v1.variable_scope("batch_normalization"):
            gamma, beta = get("gamma", [4]), get("beta", [4])
            mean, variance = get("moving_mean", [4], trainable=False), get("moving_variance", [4], trainable=False)
        h = tf.nn.batch_normalization(h, mean, variance, beta, gamma, 1e-3)
        h = tf.reduce_mean(tf.nn.relu(h), [1, 2])
        with v1.variable_scope("dense"):
            h = tf.nn.relu(tf.matmul(h, get("kernel", [4, 5])) + get("bias", [5]))
        with v1.variable_scope("dense_1"):
            y = tf.matmul(h, get("kernel", [5, 3])) + get("bias", [3])
        step = v1.train.get_or_create_global_step()
        v1.train.AdamOptimizer().minimize(tf.reduce_sum(y), global_step=step)
        v1.train.Saver().restore(session, path)
        return {"y": session.run(y).tolist(), "step": int(session.run(step))}


COMMANDS = [keras_outputs, tf1_outputs]


def restored(path):
    """A Keras 3 model and its optimizer with the checkpoint at `path`, all of them found in it."""
    import keras

    layers = keras.layers
    model = keras.Sequential([
        layers.Input([6, 6, 2]), layers.Conv2D(4, 3, padding="same"), layers.BatchNormalization(), layers.ReLU(),
        layers.GlobalAveragePooling2D(), layers.Dense(5, activation="relu"), layers.Dense(3)])
    model.compile(keras.optimizers.Adam(), "mse")
    model.optimizer.build(model.trainable_variables)
    checkpoint = tf.train.Checkpoint(model=model, optimizer=model.optimizer)
    checkpoint.read(path).assert_existing_objects_matched()
    return model


def predictions(paths, x):
    import keras

    found = []
    for path in paths:
        try:
            model = keras.saving.load_model(path) if path.endswith(".keras") else restored(path)
        except Exception as e:  # the test shows it and goes on with the next file
            found.append({"error": "%s: %s" % (type(e).__name__, e)})
            continue
        y = model(np.array(x, np.float32), training=False).numpy()
        moments = [float(np.abs(v.numpy()).sum()) for v in model.optimizer.variables if v.shape != ()]
        found.append({"y": y.tolist(), "step": int(model.optimizer.iterations), "moments": moments})
    return found

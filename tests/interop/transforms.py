"""Models to freeze and fold: of Keras 3, of TensorFlow 1 with the layers of tf_keras, and with variables in loops and in parts."""
import eager
import numpy as np
import tensorflow as tf2

tf = tf2.compat.v1


def keras_export(path):
    """A SavedModel of Keras 3; eagerly."""
    eager.call("keras_export", "write", path)


def save(path, build, feeds):
    """Builds in a new graph, saves MetaGraph and checkpoint, and computes `out` in inference."""
    with tf.Graph().as_default(), tf.Session() as s:
        tf.set_random_seed(3)
        tf.disable_control_flow_v2()
        build()
        s.run(tf.global_variables_initializer())
        rng = np.random.default_rng(1)
        for v in tf.global_variables():
            if np.ptp(s.run(v)) == 0:
                v.load(rng.uniform(0.3, 1.3, v.shape.as_list()).astype("float32"), s)
        tf.train.Saver().save(s, path, write_state=False)
        np.save(path + ".y.npy", s.run("out:0", feeds))


def images(shape):
    return np.random.default_rng(2).normal(size=shape).astype("float32")


def layers_net(path):
    """Two layers of batch normalization of TF 1, fused and in small ops, with the training flag a placeholder. None without tf_keras."""
    try:
        try:
            from tf_keras.src.legacy_tf_layers import normalization
        except ModuleNotFoundError:  # a checkout of its sources
            from tf_keras.legacy_tf_layers import normalization
    except ModuleNotFoundError:
        return None
    x = images([2, 8, 8, 3])

    def build():
        h = tf.placeholder(tf.float32, [None, 8, 8, 3], name="x")
        training = tf.placeholder(tf.bool, [], name="training")
        for i, fused in enumerate([True, False]):
            w = tf.get_variable(f"conv{i}/kernel", [3, 3, h.shape[-1], 4], use_resource=not fused)
            h = tf.nn.conv2d(h, w, 1, "SAME", name=f"conv{i}/Conv2D")
            h = tf.nn.relu(normalization.batch_normalization(h, training=training, fused=fused, name=f"bn{i}"))
        tf.identity(h, name="out")

    save(path, build, {"x:0": x, "training:0": False})
    np.save(path + ".x.npy", x)
    return True


def loops_net(path):
    """A resource variable that a loop reads, a partitioned one, a conditional."""
    x = images([2, 6])

    def build():
        h = tf.placeholder(tf.float32, [None, 6], name="x")
        grid = tf.get_variable("grid", [6, 6], partitioner=tf.fixed_size_partitioner(3, 0), use_resource=False)
        w = tf.get_variable("w", [6, 6], use_resource=True)
        h = tf.matmul(h, tf.convert_to_tensor(grid))
        _, h = tf.while_loop(lambda i, _: i < 4, lambda i, y: (i + 1, tf.tanh(tf.matmul(y, w))), [0, h])
        h = tf.cond(tf.reduce_sum(h) > 100.0, lambda: h * 2.0, lambda: h + tf.reduce_mean(w))
        tf.identity(h, name="out")

    save(path, build, {"x:0": x})
    np.save(path + ".x.npy", x)
    return True


COMMANDS = [keras_export, layers_net, loops_net]

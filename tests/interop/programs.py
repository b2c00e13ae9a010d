"""Models written as TensorFlow users write them, in TF 1 style and with Keras."""
import tensorflow as tf2

from turns import turns  # noqa: F401, a program too

tf = tf2.compat.v1


def conv_bn_adam(path, use_resource):
    """Convolution, fused batch normalization with update ops, pooling, dense, Adam with a decaying rate; a MetaGraph."""
    with tf.Graph().as_default():
        tf.set_random_seed(42)
        with tf.variable_scope("net", use_resource=use_resource):
            x = tf.placeholder(tf.float32, [None, 8, 8, 1], name="x")
            labels = tf.placeholder(tf.int32, [None], name="labels")
            y = tf.nn.relu(batch_norm(conv(x, 8, "conv1"), "bn1"))
            y = tf.nn.relu(batch_norm(conv(y, 16, "conv2"), "bn2"))
            y = tf.nn.max_pool2d(y, 2, 2, "SAME")
            y = tf.reshape(y, [-1, 4 * 4 * 16])
            w = tf.get_variable("w", [256, 10], initializer=tf.glorot_uniform_initializer())
            b = tf.get_variable("b", [10], initializer=tf.zeros_initializer())
            logits = tf.nn.bias_add(tf.matmul(y, w), b, name="logits")
        entropy = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits)
        loss = tf.identity(tf.reduce_mean(entropy) + 1e-4 * tf.nn.l2_loss(w), name="loss")
        step = tf.train.get_or_create_global_step()
        rate = tf.train.exponential_decay(0.001, step, 20, 0.9)
        with tf.control_dependencies(tf.get_collection(tf.GraphKeys.UPDATE_OPS)):
            tf.train.AdamOptimizer(rate).minimize(loss, global_step=step, name="train_op")
        init = tf.global_variables_initializer()
        saver = tf.train.Saver()
        tf.train.export_meta_graph(path, saver_def=saver.as_saver_def())
        return {"x": "net/x:0", "labels": "net/labels:0", "loss": loss.name, "train": "train_op", "init": init.name}


def conv(x, filters, name):
    kernel = tf.get_variable(name, [3, 3, x.shape[-1], filters], initializer=tf.truncated_normal_initializer(stddev=0.2))
    return tf.nn.conv2d(x, kernel, strides=1, padding="SAME")


def batch_norm(x, name, momentum=0.9):
    with tf.variable_scope(name):
        size = [x.shape[-1]]
        gamma = tf.get_variable("gamma", size, initializer=tf.ones_initializer())
        beta = tf.get_variable("beta", size, initializer=tf.zeros_initializer())
        mean = tf.get_variable("moving_mean", size, initializer=tf.zeros_initializer(), trainable=False)
        variance = tf.get_variable("moving_variance", size, initializer=tf.ones_initializer(), trainable=False)
        y, batch_mean, batch_variance = tf.nn.fused_batch_norm(x, gamma, beta, is_training=True)
        for moving, value in ((mean, batch_mean), (variance, batch_variance)):
            update = tf.assign_sub(moving, (moving - value) * (1 - momentum))
            tf.add_to_collection(tf.GraphKeys.UPDATE_OPS, getattr(update, "op", update))
        return y


def keras_frozen(path):
    """A Keras model with batch normalization, traced and frozen as the TF 2 guides say; eagerly."""
    import eager

    return eager.call("keras_frozen", "write", path)

"""A program of TensorFlow's of which tests/interop/turns.ts has the twin: both restore each other's checkpoints and train on."""
import tensorflow as tf2

tf = tf2.compat.v1

OPTIMIZERS = {
    "sgd": lambda: tf.train.GradientDescentOptimizer(0.05),
    "momentum": lambda: tf.train.MomentumOptimizer(0.02, 0.9),
    "nesterov": lambda: tf.train.MomentumOptimizer(0.02, 0.9, use_nesterov=True),
    "adam": lambda: tf.train.AdamOptimizer(0.01),
    "adagrad": lambda: tf.train.AdagradOptimizer(0.1),
    "adadelta": lambda: tf.train.AdadeltaOptimizer(1.0, 0.9),
    "rmsprop": lambda: tf.train.RMSPropOptimizer(0.005, 0.9, 0.5),
    "centered_rmsprop": lambda: tf.train.RMSPropOptimizer(0.005, 0.9, 0.5, centered=True),
    "ftrl": lambda: tf.train.FtrlOptimizer(0.1, l1_regularization_strength=0.001),
}


def turns(path, optimizer, use_resource):
    """A hidden layer, batch normalization by hand, an average of the weights, the optimizer's state; a MetaGraph."""
    with tf.Graph().as_default():
        with tf.variable_scope("net", use_resource=use_resource):
            x = tf.placeholder(tf.float32, [None, 6], name="x")
            labels = tf.placeholder(tf.int32, [None], name="labels")
            w1 = tf.get_variable("w1", [6, 8], initializer=tf.truncated_normal_initializer(stddev=0.3, seed=1))
            b1 = tf.get_variable("b1", [8], initializer=tf.zeros_initializer())
            w2 = tf.get_variable("w2", [8, 3], initializer=tf.truncated_normal_initializer(stddev=0.3, seed=2))
            hidden = tf.nn.relu(tf.nn.bias_add(tf.matmul(x, w1), b1))
            logits = tf.matmul(hidden, w2)
        loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits), name="loss")
        step = tf.train.get_or_create_global_step()
        apply = OPTIMIZERS[optimizer]().minimize(loss, global_step=step)
        average = tf.train.ExponentialMovingAverage(0.9, num_updates=step)
        with tf.control_dependencies([apply]):
            train = average.apply([w1, w2])
        # one after the other: in one run, the averages of reference variables sometimes read what has no value yet
        shadows = [v for v in tf.global_variables() if v.op.name.endswith("ExponentialMovingAverage")]
        others = tf.variables_initializer([v for v in tf.global_variables() if not any(v is s for s in shadows)], name="init")
        averages = tf.variables_initializer(shadows, name="init_averages")
        saver = tf.train.Saver()
        tf.train.export_meta_graph(path, saver_def=saver.as_saver_def())
        return {"loss": loss.name, "train": train.name, "init": [others.name, averages.name]}

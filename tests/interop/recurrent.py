"""Recurrent layers as TensorFlow 1's cells and as Keras's layers: what worker.py does with them."""
import numpy as np
import tensorflow as tf2
from tensorflow.python.keras.layers import recurrent as layers
from tensorflow.python.keras.layers.legacy_rnn import rnn_cell_impl as cells
from tensorflow.python.ops import rnn

tf = tf2.compat.v1
UNITS = 4
LIKE_KERAS_3 = {"return_sequences": True, "recurrent_activation": "sigmoid", "name": "rnn"}
MADE = {
    "tf1 LSTM": lambda x: rnn.dynamic_rnn(cells.LSTMCell(UNITS, name="cell"), x, dtype=tf.float32)[0],
    "keras LSTM": lambda x: layers.LSTM(UNITS, **LIKE_KERAS_3)(x),
    "tf1 GRU": lambda x: rnn.dynamic_rnn(cells.GRUCell(UNITS, name="cell"), x, dtype=tf.float32)[0],
    "keras GRU": lambda x: layers.GRU(UNITS, reset_after=False, **LIKE_KERAS_3)(x),
}


def rnn_train(kind, start, end, steps):
    """Trains with Adam from a checkpoint (or from scratch) to another; gives the loss before each step."""
    with tf.Graph().as_default(), tf.Session() as s:
        x = tf.constant(np.random.default_rng(2).uniform(-1, 1, (3, 6, 5)).astype(np.float32))
        y = MADE[kind](x)
        loss = tf.reduce_mean(tf.square(y - tf.sin(tf.cumsum(x[:, :, :UNITS], axis=1))))
        step = tf.train.AdamOptimizer(0.05).minimize(loss)
        saver = tf.train.Saver()
        s.run(tf.global_variables_initializer())
        if start is not None:
            saver.restore(s, start)
        losses = [float(s.run([loss, step])[0]) for _ in range(steps)]
        saver.save(s, end, write_meta_graph=False)
        return losses


COMMANDS = [rnn_train]

"""A Keras model as Keras users write it: a function of eager.py."""
import numpy as np
import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2


def write(path):
    """Writes a frozen Keras model to `path`, its input and the prediction to path.x.npy and path.y.npy; gives input and output names."""
    tf.keras.utils.set_random_seed(3)
    layers = tf.keras.layers
    model = tf.keras.Sequential([
        tf.keras.Input((8, 8, 3)),
        layers.Conv2D(8, 3, padding="same"),
        layers.BatchNormalization(),
        layers.ReLU(),
        layers.DepthwiseConv2D(3, padding="same"),
        layers.MaxPooling2D(),
        layers.Dropout(0.3),
        layers.GlobalAveragePooling2D(),
        layers.Dense(5, activation="softmax"),
    ])
    x = np.random.default_rng(0).normal(size=(4, 8, 8, 3)).astype("float32")
    bn = model.layers[1]
    bn.moving_mean.assign(np.linspace(-0.5, 0.5, 8))
    bn.moving_variance.assign(np.linspace(0.5, 2, 8))
    traced = tf.function(lambda images: model(images, training=False))
    concrete = traced.get_concrete_function(tf.TensorSpec([None, 8, 8, 3], tf.float32, name="images"))
    frozen = convert_variables_to_constants_v2(concrete)
    with open(path, "wb") as f:
        f.write(frozen.graph.as_graph_def().SerializeToString())
    np.save(path + ".x.npy", x)
    np.save(path + ".y.npy", model(x, training=False).numpy())
    return "%s %s" % (frozen.inputs[0].name, frozen.outputs[0].name)

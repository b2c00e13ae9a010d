"""A Keras model as Keras users write it: a function of eager.py."""
import numpy as np
import tensorflow as tf


def write(path):
    """Exports a Keras 3 model as a SavedModel to `path`, its input and prediction to path.x.npy and path.y.npy."""
    tf.keras.utils.set_random_seed(5)
    layers = tf.keras.layers
    inputs = tf.keras.Input((12, 12, 3))
    x = layers.Conv2D(8, 3, padding="same", use_bias=False)(inputs)
    x = layers.BatchNormalization()(x)
    x = layers.ReLU()(x)
    y = layers.SeparableConv2D(8, 3, padding="same")(x)
    y = layers.BatchNormalization(scale=False)(y)
    x = layers.Add()([x, y])
    x = layers.Conv2DTranspose(6, 3, strides=2, padding="same")(x)
    x = layers.BatchNormalization(center=False)(x)
    x = layers.ReLU()(x)
    x = layers.GlobalAveragePooling2D()(x)
    x = layers.Dense(7)(x)
    x = layers.BatchNormalization()(x)
    x = layers.Dropout(0.5)(layers.ReLU()(x))
    model = tf.keras.Model(inputs, layers.Dense(4)(x))
    for i, v in enumerate(model.variables):
        if "moving" in v.path or "beta" in v.path or "gamma" in v.path:
            low = 0.4 if "variance" in v.path or "gamma" in v.path else -0.4
            v.assign(np.random.default_rng(i).uniform(low, low + 1, v.shape))
    images = np.random.default_rng(0).normal(size=(3, 12, 12, 3)).astype("float32")
    model.export(path, verbose=False)
    np.save(path + ".x.npy", images)
    np.save(path + ".y.npy", model.predict(images, verbose=0))

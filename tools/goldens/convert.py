"""One small network as TensorFlow 1 and as Keras 3, trained and untrained: what `varscope convert --like` must turn into each other.

python tools/goldens/convert.py    (TensorFlow 2.21, Keras 3; writes tests/goldens/convert/)

tf1          checkpoint of Saver after 5 steps of Adam; names are those of tf.layers
tf1-new      the same graph after its initializers
same.keras   Keras after 5 steps; layers have the names of tf.layers
new.keras    the same, untrained, its optimizer built
named.keras  untrained, with layer names of its own
keras2       object-based checkpoint of tf_keras after 5 steps (only where tf_keras is installed)
values.json  x, and what each trained model gives for it
"""

import json
import os
import pathlib
import shutil

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import keras  # noqa: E402
import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402

OUT = pathlib.Path(__file__).resolve().parents[2] / "tests" / "goldens" / "convert"
v1 = tf.compat.v1
STEPS = 5
rng = np.random.RandomState(5)
X = rng.normal(size=[6, 6, 6, 2]).astype(np.float32)
LABELS = np.array([0, 1, 2, 0, 1, 2])


def tf1_graph():
    """conv2d, batch_normalization, dense, dense_1, as tf.layers calls its variables."""
    v1.set_random_seed(11)
    x = v1.placeholder(tf.float32, [None, 6, 6, 2], name="x")
    labels = v1.placeholder(tf.int64, [None], name="labels")
    get, glorot, zero = v1.get_variable, v1.glorot_uniform_initializer(), v1.zeros_initializer()
    with v1.variable_scope("conv2d"):
        h = tf.nn.bias_add(tf.nn.conv2d(x, get("kernel", [3, 3, 2, 4], initializer=glorot), 1, "SAME"), get("bias", [4], initializer=zero))
    with v1.variable_scope("batch_normalization"):
        gamma, beta = get("gamma", [4], initializer=v1.ones_initializer()), get("beta", [4], initializer=zero)
        mean = get("moving_mean", [4], initializer=zero, trainable=False)
        variance = get("moving_variance", [4], initializer=v1.ones_initializer(), trainable=False)
        y, m, v = v1.nn.fused_batch_norm(h, gamma, beta, epsilon=1e-3, is_training=True)
        updates = [v1.assign_sub(mean, (mean - m) * 0.01), v1.assign_sub(variance, (variance - v) * 0.01)]
        z = tf.nn.batch_normalization(h, mean, variance, beta, gamma, 1e-3)

    def head(h):
        h = tf.reduce_mean(tf.nn.relu(h), [1, 2])
        with v1.variable_scope("dense", reuse=v1.AUTO_REUSE):
            h = tf.nn.relu(tf.matmul(h, get("kernel", [4, 5], initializer=glorot)) + get("bias", [5], initializer=zero))
        with v1.variable_scope("dense_1", reuse=v1.AUTO_REUSE):
            return tf.matmul(h, get("kernel", [5, 3], initializer=glorot)) + get("bias", [3], initializer=zero)

    loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=head(y)))
    step = v1.train.get_or_create_global_step()
    with tf.control_dependencies(updates):
        train = v1.train.AdamOptimizer(0.05).minimize(loss, global_step=step)
    return {"x": x, "labels": labels, "train": train, "y": head(z)}


def keras_model(names, layers=keras.layers, models=keras):
    conv, bn, dense, last = names
    model = models.Sequential([
        layers.Input([6, 6, 2]) if layers is keras.layers else layers.InputLayer([6, 6, 2]),
        layers.Conv2D(4, 3, padding="same", name=conv),
        layers.BatchNormalization(name=bn),
        layers.ReLU(),
        layers.GlobalAveragePooling2D(),
        layers.Dense(5, activation="relu", name=dense),
        layers.Dense(3, name=last),
    ])
    model.compile(models.optimizers.Adam(0.05), models.losses.SparseCategoricalCrossentropy(from_logits=True))
    return model


NAMES = ["conv2d", "batch_normalization", "dense", "dense_1"]


def main():
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir(parents=True)
    values = {"x": X.tolist()}
    with tf.Graph().as_default(), v1.Session() as session:
        net = tf1_graph()
        saver = v1.train.Saver()
        session.run(v1.global_variables_initializer())
        saver.save(session, str(OUT / "tf1-new"), write_meta_graph=False, write_state=False)
        for _ in range(STEPS):
            session.run(net["train"], {net["x"]: X, net["labels"]: LABELS})
        saver.save(session, str(OUT / "tf1"), write_meta_graph=False, write_state=False)
        values["tf1"] = session.run(net["y"], {net["x"]: X}).tolist()
    keras.utils.set_random_seed(3)
    trained = keras_model(NAMES)
    trained.fit(X, LABELS, batch_size=6, epochs=STEPS, shuffle=False, verbose=0)
    trained.save(OUT / "same.keras")
    values["same"] = trained.predict(X, verbose=0).tolist()
    for file, names in (("new", NAMES), ("named", ["stem", "stem_bn", "hidden", "logits"])):
        model = keras_model(names)
        model.optimizer.build(model.trainable_variables)
        model.save(OUT / f"{file}.keras")
    versions = {"tensorflow": tf.__version__, "keras": keras.__version__}
    try:
        import tf_keras
        tf_keras.utils.set_random_seed(4)
        model = keras_model(NAMES, tf_keras.layers, tf_keras)
        model.fit(X, LABELS, batch_size=6, epochs=STEPS, shuffle=False, verbose=0)
        tf.train.Checkpoint(model=model, optimizer=model.optimizer).write(str(OUT / "keras2"))
        values["keras2"] = model.predict(X, verbose=0).tolist()
        versions["tf_keras"] = tf_keras.__version__
    except ImportError:
        print("no tf_keras: keras2 is not made")
    (OUT / "values.json").write_text(json.dumps(values) + "\n")
    files = sorted(p.name for p in OUT.iterdir())
    manifest = {**versions, "command": "python tools/goldens/convert.py", "files": files}
    (OUT / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n")


main()

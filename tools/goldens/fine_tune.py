"""SavedModels of TensorFlow 2 and the losses of training them on: python tools/goldens/fine_tune.py

Writes tests/goldens/fine-tune/: modules without a training step (convolution, batch norm, dense; a conditional, a loop and an op with a gradient of its
own), and in manifest.json the losses of steps that TensorFlow takes after it loaded them, Keras 3's export of tests/goldens/saved-model included.
"""

import json
import os
import pathlib
import shutil

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["CUDA_VISIBLE_DEVICES"] = "-1"

import numpy as np
import tensorflow as tf

OUT = pathlib.Path(__file__).resolve().parents[2] / "tests" / "goldens" / "fine-tune"
RANDOM = np.random.default_rng(9)
train = tf.compat.v1.train
OPTIMIZERS = {
    "sgd": lambda: train.GradientDescentOptimizer(0.1),
    "momentum": lambda: train.MomentumOptimizer(0.05, 0.9),
    "adam": lambda: train.AdamOptimizer(0.02),
}


def normal(*shape):
    return np.float32(RANDOM.normal(size=shape))


class Conv(tf.Module):
    """Convolution, batch norm as in inference, dense. Two variables have one name."""

    def __init__(self):
        self.kernel = tf.Variable(normal(3, 3, 2, 4), name="kernel")
        self.gamma = tf.Variable(np.float32([1, 2, 1, 0.5]), name="gamma")
        self.beta = tf.Variable(normal(4), name="beta")
        self.mean = tf.Variable(normal(4), name="moving_mean", trainable=False)
        self.variance = tf.Variable(np.float32([1, 2, 3, 4]), name="moving_variance", trainable=False)
        self.dense = tf.Module()
        self.dense.kernel = tf.Variable(normal(4, 3), name="kernel")
        self.dense.bias = tf.Variable(normal(3), name="bias")

    @tf.function(input_signature=[tf.TensorSpec([None, 5, 5, 2], name="images")])
    def __call__(self, images):
        y = tf.nn.conv2d(images, self.kernel, 1, "SAME")
        y = tf.compat.v1.nn.fused_batch_norm(y, self.gamma, self.beta, self.mean, self.variance, is_training=False)[0]
        y = tf.reduce_mean(tf.nn.relu(y), [1, 2])
        return {"logits": y @ self.dense.kernel + self.dense.bias, "count": tf.shape(images)[0]}


@tf.custom_gradient
def damped(x):
    """x, through which half of the gradient goes."""
    return tf.identity(x), lambda dy: dy * 0.5


class Control(tf.Module):
    """A loop, a conditional, and swish and another function whose gradients are their own."""

    def __init__(self):
        self.w = tf.Variable(normal(3, 3) / 2, name="w")
        self.v = tf.Variable(normal(3), name="v")
        self.steps = tf.Variable(3, name="steps", trainable=False)

    @tf.function
    def cell(self, x):
        return damped(tf.nn.silu(x @ self.w))

    @tf.function(input_signature=[tf.TensorSpec([None, 3], name="x")])
    def __call__(self, x):
        turn = lambda i, a: (i + 1, tf.cond(i > 0, lambda: a + self.cell(a), lambda: a * self.v))
        return {"y": tf.while_loop(lambda i, a: i < self.steps, turn, [0, x])[1]}


def tuned(folder, key, output, x, target, optimizer, module=None, steps=5):
    """Losses before each step and after the last, of the loaded model or the module that was saved: TensorFlow 2.21 cannot differentiate a loop over
    variables once it is loaded ("a variable without handle data")."""
    model = module or tf.saved_model.load(str(OUT / folder))  # functions do not keep their variables alive
    f = module or model.signatures["serving_default"]
    variables = (module or f).trainable_variables
    steps_of = OPTIMIZERS[optimizer]()
    losses = []
    for i in range(steps + 1):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.square(f(**{key: tf.constant(x)})[output] - target))
        losses.append(float(loss))
        if i < steps:
            steps_of.apply_gradients(zip(tape.gradient(loss, variables), variables))
    flat = lambda a: {"shape": list(a.shape), "values": [float(v) for v in a.ravel()]}
    return {
        "folder": folder, "input": key, "output": output, "optimizer": optimizer, "x": flat(x), "target": flat(target),
        "trainable": sorted([list(v.shape) for v in variables]), "losses": losses,
    }  # fmt: skip


def main():
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir(parents=True)
    conv, control = Conv(), Control()
    tf.saved_model.save(conv, str(OUT / "conv"), signatures=conv.__call__)
    tf.saved_model.save(control, str(OUT / "control"), signatures=control.__call__)
    for folder in OUT.iterdir():
        (folder / "fingerprint.pb").unlink(missing_ok=True)
    runs = [
        tuned("conv", "images", "logits", normal(2, 5, 5, 2), normal(2, 3), "momentum"),
        tuned("control", "x", "y", normal(2, 3), normal(2, 3), "adam", control),
        tuned("../saved-model/keras3", "keras_tensor", "output_0", normal(2, 4), normal(2, 3), "sgd"),
    ]
    manifest = {"by": f"tensorflow {tf.__version__}", "command": "python tools/goldens/fine_tune.py", "runs": runs}
    (OUT / "manifest.json").write_text(json.dumps(manifest, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()

"""MetaGraphs with a conditional and a loop over variables, in both styles, that train through the loop; with checkpoint, outputs and losses.

Writes tests/goldens/control-flow-meta/. src/cli/run-loops.test.ts runs them on the command line.

Usage: python tools/goldens/control_flow_meta.py
"""

import gzip
import json
import pathlib
import tempfile

import numpy as np
import tensorflow as tf

OUT = pathlib.Path(__file__).resolve().parents[2] / "tests" / "goldens" / "control-flow-meta"
v1 = tf.compat.v1
v1.disable_eager_execution()
X = np.linspace(-1, 1, 12).reshape(4, 3).astype(np.float32)


def build():
    x = v1.placeholder(tf.float32, [None, 3], name="x")
    p = v1.placeholder(tf.bool, [], name="p")
    w = v1.get_variable("w", [3, 3], initializer=v1.random_normal_initializer(seed=1), use_resource=True)
    b = v1.get_variable("b", [3], initializer=v1.random_normal_initializer(seed=2), use_resource=True)
    y = v1.cond(p, lambda: tf.matmul(x, w) + b, lambda: x * b)
    body = lambda i, a: (i + 1, tf.nn.tanh(tf.matmul(a, w)) + b)
    z = v1.while_loop(lambda i, a: i < 3, body, [tf.constant(0), y])[1]
    tf.identity(z, name="out")
    loss = tf.reduce_mean(tf.square(z), name="loss")
    v1.train.GradientDescentOptimizer(0.1).minimize(loss, name="train")


def write(style, folder):
    (v1.enable_control_flow_v2 if style == "v2" else v1.disable_control_flow_v2)()
    with tf.Graph().as_default(), v1.Session() as session:
        build()
        saver = v1.train.Saver()
        session.run(v1.global_variables_initializer())
        saver.save(session, f"{folder}/{style}", write_state=False)
        feeds = lambda taken: {"x:0": X, "p:0": taken}
        outputs = [session.run("out:0", feeds(taken)).tolist() for taken in (True, False)]
        losses = []
        for _ in range(5):
            losses.append(float(session.run(["loss:0", "train"], feeds(True))[0]))
    for file in pathlib.Path(folder).glob(f"{style}.*"):
        data = file.read_bytes()
        if file.suffix == ".meta":
            (OUT / f"{file.name}.gz").write_bytes(gzip.compress(data, mtime=0))
        else:
            (OUT / file.name).write_bytes(data)
    return {"style": style, "outputs": outputs, "losses": losses}


if __name__ == "__main__":
    OUT.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        models = [write(style, folder) for style in ("v1", "v2")]
    manifest = {
        "by": f"tensorflow {tf.__version__}",
        "command": "python tools/goldens/control_flow_meta.py",
        "x": X.tolist(),
        "models": models,
    }
    (OUT / "manifest.json").write_text(json.dumps(manifest) + "\n")

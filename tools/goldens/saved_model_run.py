"""SavedModels that TensorFlow wrote, with what they answer: python tools/goldens/saved_model_run.py

Writes tests/goldens/saved-model-run/: TF1 models with assets, tables, loops and conditionals (one as text with a legacy init op), TF2 modules with
functions, loops and a table from a file; manifest.json has calls of their signatures by TensorFlow's own loaders.
"""

import json
import os
import pathlib
import shutil
import tempfile

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["CUDA_VISIBLE_DEVICES"] = "-1"

import numpy as np
import tensorflow as tf

OUT = pathlib.Path(__file__).resolve().parents[2] / "tests" / "goldens" / "saved-model-run"
t = tf.compat.v1
WORDS = pathlib.Path("words.txt")


def encoded(value):
    array = np.asarray(value)
    if array.dtype == object or array.dtype.kind in "SU":
        return {"dtype": "string", "shape": list(array.shape), "values": [v.decode() if isinstance(v, bytes) else v for v in array.ravel()]}
    return {"dtype": array.dtype.name, "shape": list(array.shape), "values": array.ravel().tolist()}


def call1(name, tags, feeds, signature="serving_default"):
    with t.Graph().as_default(), t.Session() as session:
        meta = t.saved_model.load(session, tags, str(OUT / name))
        s = meta.signature_def[signature]
        outputs = session.run({k: v.name for k, v in s.outputs.items() if v.name}, {s.inputs[k].name: v for k, v in feeds.items()})
    return {"name": name, "tags": tags, "signature": signature, "feeds": {k: encoded(v) for k, v in feeds.items()}, "outputs": {k: encoded(v) for k, v in outputs.items()}}


def call2(name, feeds, signature="serving_default"):
    outputs = tf.saved_model.load(str(OUT / name)).signatures[signature](**{k: tf.constant(v) for k, v in feeds.items()})
    return {"name": name, "tags": ["serve"], "signature": signature, "feeds": {k: encoded(v) for k, v in feeds.items()}, "outputs": {k: encoded(v.numpy()) for k, v in outputs.items()}}


def with_table(name, as_text=False):
    """Words to rows of a matrix; the vocabulary is an asset."""
    with t.Graph().as_default() as graph, t.Session() as session:
        text = t.placeholder(tf.string, [None], name="text")
        file = t.constant(str(WORDS), name="file")
        table = t.raw_ops.HashTableV2(key_dtype=tf.string, value_dtype=tf.int64, shared_name="words")
        fill = t.raw_ops.InitializeTableFromTextFileV2(table_handle=table, filename=file, key_index=-2, value_index=-1)
        ids = t.raw_ops.LookupTableFindV2(table_handle=table, keys=text, default_value=tf.constant(3, tf.int64))
        rows = t.get_variable("rows", initializer=np.arange(8, dtype=np.float32).reshape(4, 2), use_resource=not as_text)
        y = t.gather(rows, ids)
        t.add_to_collection("table_initializer", fill)
        init = t.tables_initializer()
        session.run(t.global_variables_initializer())
        builder = t.saved_model.Builder(str(OUT / name))
        signature = t.saved_model.predict_signature_def({"text": text}, {"ids": ids, "rows": y})
        if as_text:
            t.add_to_collection("legacy_init_op", init)
        options = dict(assets_collection=[file], **({} if as_text else {"main_op": init}))
        builder.add_meta_graph_and_variables(session, ["serve"], {"serving_default": signature}, **options)
        if not as_text:
            train = t.saved_model.predict_signature_def({"text": text}, {"ids": ids})
            builder.add_meta_graph(["train", "gpu"], {"only_ids": train})
        builder.save(as_text=as_text)


def control1():
    """A loop with a conditional inside, both as TensorFlow 1 builds them, and a sparse signature."""
    t.disable_control_flow_v2()
    with t.Graph().as_default(), t.Session() as session:
        n, x = t.placeholder(tf.int32, [], name="n"), t.placeholder(tf.float32, [None], name="x")
        w = t.get_variable("w", initializer=np.float32([1.5]), use_resource=False)
        body = lambda i, v: (i + 1, t.cond(t.equal(i % 2, 0), lambda: v * w[0], lambda: v - 1.0))
        _, y = t.while_loop(lambda i, v: i < n, body, [t.constant(0), x], shape_invariants=[tf.TensorShape([]), tf.TensorShape([None])])
        session.run(t.global_variables_initializer())
        sparse = t.sparse_placeholder(tf.float32, [None, 3], name="sparse")
        twice = tf.SparseTensor(sparse.indices, sparse.values * 2.0, sparse.dense_shape)
        signatures = {
            "serving_default": t.saved_model.predict_signature_def({"n": n, "x": x}, {"y": y}),
            "sparse": t.saved_model.predict_signature_def({"s": sparse}, {"twice": twice}),
        }
        builder = t.saved_model.Builder(str(OUT / "control1"))
        builder.add_meta_graph_and_variables(session, ["serve"], signatures)
        builder.save()
    t.enable_control_flow_v2()


class Words(tf.Module):
    def __init__(self):
        self.file = tf.saved_model.Asset(str(WORDS))
        init = tf.lookup.TextFileInitializer(self.file, tf.string, tf.lookup.TextFileIndex.WHOLE_LINE, tf.int64, tf.lookup.TextFileIndex.LINE_NUMBER)
        self.table = tf.lookup.StaticHashTable(init, 3)
        self.rows = tf.Variable(np.arange(8, dtype=np.float32).reshape(4, 2), name="rows")

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
    def __call__(self, text):
        ids = self.table.lookup(text)
        return {"ids": ids, "rows": tf.gather(self.rows, ids)}


class Loop(tf.Module):
    def __init__(self):
        self.w = tf.Variable(1.5, name="w")
        self.calls = tf.Variable(0, name="calls", trainable=False)

    @tf.function(input_signature=[tf.TensorSpec([], tf.int32, "n"), tf.TensorSpec([None], tf.float32, "x")])
    def __call__(self, n, x):
        self.calls.assign_add(1)
        for i in tf.range(n):
            if i % 2 == 0:
                x = x * self.w
            else:
                x = x - 1.0
        return {"y": x, "calls": self.calls.read_value()}


def main():
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir(parents=True)
    os.chdir(tempfile.mkdtemp())  # files keep the paths that they are given
    WORDS.write_text("emerson\nlake\npalmer\n")
    with_table("table1")
    with_table("legacy1", as_text=True)
    control1()
    words, loop = Words(), Loop()
    tf.saved_model.save(words, str(OUT / "table2"), signatures=words.__call__)
    tf.saved_model.save(loop, str(OUT / "control2"), signatures=loop.__call__)
    text = np.array(["lake", "none", "emerson"], dtype=object)
    x = np.float32([1, -2])
    calls = [
        call1("table1", ["serve"], {"text": text}),
        call1("table1", ["train", "gpu"], {"text": text}, "only_ids"),
        call1("legacy1", ["serve"], {"text": text}),
        call1("control1", ["serve"], {"n": np.int32(5), "x": x}),
        call2("table2", {"text": ["lake", "none", "emerson"]}),
        call2("control2", {"n": np.int32(5), "x": x}),
        call2("../saved-model/keras3", {"keras_tensor": np.linspace(-1, 1, 8, dtype=np.float32).reshape(2, 4)}),
    ]
    for folder in OUT.iterdir():
        (folder / "fingerprint.pb").unlink(missing_ok=True)
    manifest = {"by": f"tensorflow {tf.__version__}", "command": "python tools/goldens/saved_model_run.py", "calls": calls}
    (OUT / "manifest.json").write_text(json.dumps(manifest, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()

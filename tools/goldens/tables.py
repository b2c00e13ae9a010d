"""Runs of lookup tables in TensorFlow, one after the other in one session: python tools/goldens/tables.py

Writes tests/goldens/tables/: vocabulary files, and manifest.json with graphs (GraphDef, base64) and their runs: what came back, or which
sentence was said. FILE/ in a graph's file names stands for the folder.
"""

import base64
import json
import os
import pathlib

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")

import numpy as np
import tensorflow.compat.v1 as tf

tf.disable_v2_behavior()
raw = tf.raw_ops
OUT = pathlib.Path(__file__).resolve().parents[2] / "tests" / "goldens" / "tables"
CASES = {}


def case(*runs):
    def add(fn):
        CASES[fn.__name__] = (fn, runs)
        return fn

    return add


def table(kind="HashTableV2", key=tf.string, value=tf.int64, **attrs):
    return getattr(raw, kind)(key_dtype=key, value_dtype=value, name=attrs.pop("name", "table"), **attrs)


def find(t, keys, default=-1, name="find", value=tf.int64):
    return raw.LookupTableFindV2(table_handle=t, keys=keys, default_value=tf.constant(default, value), name=name)


def size(t, name="size"):
    return raw.LookupTableSizeV2(table_handle=t, name=name)


@case(["size:0"], ["find:0"], [("init",)], ["find:0", "size:0"], [("init",)], [("other",)], ["find:0"])
def static_table():
    t = table(shared_name="t")
    raw.InitializeTableV2(table_handle=t, keys=["a", "b", "c"], values=tf.constant([1, 2, 3], tf.int64), name="init")
    raw.InitializeTableV2(table_handle=t, keys=["a"], values=tf.constant([9], tf.int64), name="other")
    find(t, tf.constant([["b", "zz"], ["a", "c"]]))
    size(t)


@case([("twice",)], [("uneven",)], [("types",)], [("insert",)], [("same",)], ["size:0"])
def static_errors():
    t = table(shared_name="t")
    raw.InitializeTableV2(table_handle=t, keys=["a", "a"], values=tf.constant([1, 2], tf.int64), name="twice")
    raw.InitializeTableV2(table_handle=t, keys=["a", "a"], values=tf.constant([1, 1], tf.int64), name="same")
    raw.InitializeTableV2(table_handle=t, keys=["a", "b"], values=tf.placeholder_with_default(tf.constant([1], tf.int64), [None]), name="uneven")
    raw.InitializeTableV2(table_handle=t, keys=["a"], values=tf.constant([1], tf.int32), name="types")
    raw.LookupTableInsertV2(table_handle=t, keys=["a"], values=tf.constant([1], tf.int64), name="insert")
    size(t)


@case(["size:0"], [("insert",)], ["find:0", "size:0"], [("change",)], ["find:0"], [("remove",)], ["size:0"], [("import",)], ["keys:0", "keys:1"])
def mutable_table():
    t = table("MutableHashTableV2", shared_name="m")
    put = lambda op, keys, values, name: op(table_handle=t, keys=keys, values=tf.constant(values, tf.int64), name=name)
    put(raw.LookupTableInsertV2, ["a", "b"], [1, 2], "insert")
    put(raw.LookupTableInsertV2, ["b", "c"], [5, 6], "change")
    put(raw.LookupTableImportV2, ["only"], [7], "import")
    raw.LookupTableRemoveV2(table_handle=t, keys=["a", "never"], name="remove")
    find(t, ["a", "b", "c"])
    size(t)
    raw.LookupTableExportV2(table_handle=t, Tkeys=tf.string, Tvalues=tf.int64, name="keys")


@case(["keys:0"], [("import",)], ["find:0", "size:0"], [("import",)], [("other",)], [("shorter",)], ["find:0"], [("insert",)], [("remove",)])
def static_import():
    t = table(shared_name="t")
    put = lambda op, keys, values, name: op(table_handle=t, keys=keys, values=tf.constant(values, tf.int64), name=name)
    put(raw.LookupTableImportV2, ["a", "b"], [1, 2], "import")
    put(raw.LookupTableImportV2, ["a", "b"], [1, 3], "other")
    put(raw.LookupTableImportV2, ["a"], [1], "shorter")
    put(raw.LookupTableInsertV2, ["a"], [1], "insert")
    raw.LookupTableRemoveV2(table_handle=t, keys=["a"], name="remove")
    find(t, ["a", "b", "c"])
    raw.LookupTableExportV2(table_handle=t, Tkeys=tf.string, Tvalues=tf.int64, name="keys")
    size(t)


@case([("twice",)], [("types",)], [("uneven",)], ["size:0"])
def static_import_errors():
    t = table(shared_name="t")
    uneven = tf.placeholder_with_default(tf.constant([1], tf.int64), [None])
    raw.LookupTableImportV2(table_handle=t, keys=["a", "a"], values=tf.constant([1, 2], tf.int64), name="twice")
    raw.LookupTableImportV2(table_handle=t, keys=["a"], values=tf.constant([1], tf.int32), name="types")
    raw.LookupTableImportV2(table_handle=t, keys=["a", "b"], values=uneven, name="uneven")
    size(t)


@case([("init",)], ["same:0", "other:0"], ["clash:0"])
def sharing():
    a = table(shared_name="shared", name="a")
    b = table(shared_name="shared", name="b")
    c = table(name="c")
    d = table(name="d", shared_name="shared", value=tf.float32)
    raw.InitializeTableV2(table_handle=a, keys=["x"], values=tf.constant([1], tf.int64), name="init")
    size(b, "same")
    size(c, "other")
    size(d, "clash")


@case([("init",)], ["find:0"])
def numbers_to_text():
    t = table(key=tf.int64, value=tf.string, shared_name="t")
    keys = tf.constant([10, -3], tf.int64)
    raw.InitializeTableV2(table_handle=t, keys=keys, values=["ten", "minus"], name="init")
    find(t, tf.constant([-3, 4, 10], tf.int64), "?", value=tf.string)


@case([("init",)], ["find:0"])
def floats():
    t = table(value=tf.float32, shared_name="t")
    raw.InitializeTableV2(table_handle=t, keys=["a"], values=[0.5], name="init")
    find(t, ["a", "b"], 2.5, value=tf.float32)


def from_file(t, name="init", file="FILE/words.txt", key=-2, value=-1, **attrs):
    raw.InitializeTableFromTextFileV2(table_handle=t, filename=file, key_index=key, value_index=value, name=name, **attrs)


@case([("init",)], ["find:0", "size:0"])
def vocabulary():
    t = table(shared_name="t")
    from_file(t)
    find(t, ["emerson", "lake", "palmer", "none"])
    size(t)


@case([("init",)], ["find:0"])
def numbers_of_lines():
    t = table(key=tf.int64, value=tf.string, shared_name="t")
    from_file(t, key=-1, value=-2)
    find(t, tf.constant([1, 9], tf.int64), "?", value=tf.string)


@case([("init",)], ["find:0", "size:0"])
def numbers_from_an_offset():
    t = table(shared_name="t")
    from_file(t, offset=2)
    find(t, ["emerson", "lake", "palmer", "none"])
    size(t)


@case([("init",)], ["find:0"])
def columns():
    t = table(value=tf.int64, shared_name="t")
    from_file(t, file="FILE/columns.csv", key=0, value=2, delimiter=",")
    find(t, ["b", "a", "c"])


@case([("few",)], ["size:0"])
def some_lines():
    t = table(shared_name="t")
    from_file(t, "few", vocab_size=2)
    size(t)


@case([("many",)], [("short",)], [("missing",)], [("bad",)], [("int32",)])
def file_errors():
    t = table(shared_name="t")
    from_file(t, "many", vocab_size=7)
    from_file(t, "short", file="FILE/columns.csv", key=0, value=5, delimiter=",")
    from_file(t, "missing", file="FILE/nowhere.txt")
    from_file(t, "bad", file="FILE/columns.csv", key=1, value=0, delimiter=",")
    from_file(table(value=tf.int32, shared_name="u", name="u"), "int32")


@case(["read:0"], ["lost:0"])
def read_file():
    raw.ReadFile(filename="FILE/words.txt", name="read")
    raw.ReadFile(filename="FILE/nowhere.txt", name="lost")


def encoded(value):
    array = np.asarray(value)
    if array.dtype == object or array.dtype.kind == "S":
        return {"dtype": "string", "shape": list(array.shape), "values": [base64.b64encode(bytes(v)).decode() for v in array.ravel()]}
    return {"dtype": array.dtype.name, "shape": list(array.shape), "values": array.ravel().tolist()}


def sentence(e):
    """What the kernel said: the line before the node's."""
    lines = e.message.split("\n")
    at = next(i for i, line in enumerate(lines) if line.startswith("\t [[{{node"))
    return f"{type(e).__name__}: {lines[at - 1]}".replace(str(OUT), "FILE")


def run_case(build, runs):
    with tf.Graph().as_default() as graph:
        build()
        text = graph.as_graph_def().SerializeToString(deterministic=True)
    results = []
    here = tf.GraphDef.FromString(text)
    for node in here.node:
        for i, s in enumerate(node.attr["value"].tensor.string_val if node.op == "Const" else []):
            node.attr["value"].tensor.string_val[i] = s.replace(b"FILE/", f"{OUT}/".encode())
    with tf.Graph().as_default() as graph, tf.Session() as session:
        tf.import_graph_def(here, name="")
        shapes = {n.name: [y.shape.as_list() if y.shape.rank is not None else None for y in graph.get_operation_by_name(n.name).outputs] for n in here.node}
        for what in runs:
            try:
                done = session.run([graph.get_operation_by_name(w[0]) if isinstance(w, tuple) else w for w in what])
                results.append({"values": [encoded(v) for v in done if v is not None]})
            except tf.errors.OpError as e:
                results.append({"error": sentence(e)})
    asked = [[w[0] if isinstance(w, tuple) else w for w in what] for what in runs]
    return {"graph": base64.b64encode(text).decode(), "runs": asked, "results": results, "shapes": shapes}


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    (OUT / "words.txt").write_bytes("emerson\nlake\r\npalmer\nÄ\n".encode())
    (OUT / "columns.csv").write_bytes(b"a,x,1\nb,y,2\n")
    cases = {name: run_case(*given) for name, given in CASES.items()}
    manifest = {"by": f"tensorflow {tf.__version__}", "command": "python tools/goldens/tables.py", "cases": cases}
    (OUT / "manifest.json").write_text(json.dumps(manifest, separators=(",", ":")))


if __name__ == "__main__":
    main()

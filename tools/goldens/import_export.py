"""What TensorFlow makes of graphs that are imported into others, and of MetaGraphs in and out of scopes.

Writes tests/goldens/import-export/: graphs.json.gz (GraphDefs, base64), imports.json.gz (each case: steps, what came back or which sentence was
said, and the graph that is then there), meta.json.gz (the same of MetaGraphs, with those that were exported), manifest.json.

Usage: python tools/goldens/import_export.py
"""

import base64
import gzip
import json
import os
import pathlib

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")

import contextlib

import tensorflow.compat.v1 as tf
from tensorflow.python.framework import function
from tensorflow.python.framework import meta_graph
from tensorflow.python.framework import tensor_util

tf.disable_v2_behavior()
tf.get_logger().setLevel("ERROR")

OUT = pathlib.Path(__file__).resolve().parents[2] / "tests" / "goldens" / "import-export"
GRAPHS = {}


def source(fn):
    with tf.Graph().as_default() as graph:
        fn()
        GRAPHS[fn.__name__] = graph.as_graph_def(add_shapes=fn.__name__ == "shapes").SerializeToString(deterministic=True)
    return fn


@source
def chain():
    a = tf.placeholder(tf.float32, [None, 2], name="a")
    b = tf.constant([1.0, 2.0], name="b")
    c = tf.add(a, b, name="c")
    tf.identity(a, name="unused")
    with tf.control_dependencies([c]):
        tf.identity(b, name="d")


@source
def scoped():
    with tf.name_scope("s"):
        x = tf.constant(1.0, name="x")
        y = tf.constant(2.0, name="y")
    tf.add(x, y, name="z")


@source
def places():
    with tf.device("/job:worker/task:1"):
        w = tf.Variable([1.0, 2.0], name="w", use_resource=False)
    with tf.device("/gpu:0"):
        tf.identity(w, name="near")
    with tf.colocate_with(w.op):
        tf.constant(1.0, name="beside")
    p = tf.Variable([1.0], name="p", use_resource=False)
    with tf.colocate_with(p.op):
        tf.constant(1.0, name="beside_p")


@source
def loop():
    n = tf.placeholder(tf.int32, [], name="n")
    tf.while_loop(lambda i, x: i < n, lambda i, x: (i + 1, x * 2.0), [tf.constant(0), tf.constant(1.0)], name="loop")


@source
def branches():
    p = tf.placeholder(tf.bool, [], name="p")
    x = tf.placeholder(tf.float32, [2], name="x")
    tf.cond(p, lambda: x * 2.0, lambda: x + 1.0, name="branch")


@source
def functional():
    tf.enable_control_flow_v2()
    n = tf.placeholder(tf.int32, [], name="n")
    x = tf.placeholder(tf.float32, [2], name="x")
    out = tf.while_loop(lambda i, v: i < n, lambda i, v: (i + 1, v * 2.0), [0, x], name="loop")
    tf.cond(n > 3, lambda: out[1] * 2.0, lambda: out[1] + 1.0, name="branch")
    tf.disable_control_flow_v2()


@source
def custom_gradient():
    @function.Defun(tf.float32, tf.float32, func_name="CubeGrad")
    def backward(x, dy):
        return 3.0 * x * x * dy

    @function.Defun(tf.float32, func_name="Cube", grad_func=backward)
    def cube(x):
        return x * x * x

    tf.identity(cube(tf.placeholder(tf.float32, [2], name="x")), name="y")


@source
def shapes():
    x = tf.placeholder(tf.float32, [None, 3], name="x")
    tf.reshape(x, tf.placeholder(tf.int32, [None], name="to"), name="y").set_shape([3, None])


def edited(name, fn):
    graph = tf.GraphDef.FromString(GRAPHS["chain"])
    fn(graph)
    GRAPHS[name] = graph.SerializeToString(deterministic=True)


def node(graph, name):
    return next(n for n in graph.node if n.name == name)


edited("missing_input", lambda g: node(g, "c").input.__setitem__(1, "missing"))
edited("bad_output", lambda g: node(g, "c").input.__setitem__(1, "b:3"))
edited("missing_control", lambda g: node(g, "d").input.__setitem__(1, "^missing"))
edited("unknown_op", lambda g: setattr(node(g, "c"), "op", "NoSuchOp"))
edited("unknown_attr", lambda g: node(g, "c").attr["novel"].CopyFrom(tf.AttrValue(i=3)))
edited("twice", lambda g: setattr(node(g, "unused"), "name", "c"))
edited("bad_name", lambda g: setattr(node(g, "unused"), "name", "un:used"))
edited("dtype", lambda g: node(g, "unused").attr["T"].CopyFrom(tf.AttrValue(type=3)))
edited("missing_attr", lambda g: node(g, "unused").attr.pop("T"))
edited("cycle", lambda g: node(g, "c").input.__setitem__(1, "c"))


def colocated_with_nothing(graph):
    node(graph, "c").attr["_class"].CopyFrom(tf.AttrValue(list=tf.AttrValue.ListValue(s=[b"loc:@nowhere"])))


edited("lost_colocation", colocated_with_nothing)

PLAIN = dict(graph="chain")
CASES = {
    "default names": [PLAIN, PLAIN],
    "no prefix": [dict(graph="chain", prefix=""), dict(graph="chain", prefix="")],
    "no prefix, scopes": [dict(graph="scoped", prefix=""), dict(graph="scoped", prefix="")],
    "a prefix": [dict(graph="chain", prefix="net"), dict(graph="chain", prefix="net"), dict(graph="chain", prefix="Net")],
    "a prefix that is taken exactly": [dict(graph="chain", prefix="net/"), dict(graph="chain", prefix="net/")],
    "a nested prefix": [dict(graph="chain", prefix="a/b"), dict(graph="chain", prefix="a")],
    "inside name scopes": [dict(graph="chain", prefix="inner", scope="outer"), dict(graph="chain", prefix="", scope="outer")],
    "input map": [dict(graph="chain", prefix="one"), dict(graph="chain", prefix="two", inputMap={"a:0": "one/c:0", "b": "one/b:0"})],
    "input map of control edges": [dict(graph="chain", prefix="one"), dict(graph="chain", prefix="two", inputMap={"^c": "one/d:0"})],
    "input map of values": [dict(graph="chain", prefix="one", inputMap={"b:0": [3.0, 4.0]})],
    "input map of values without prefix": [dict(graph="chain", prefix="", inputMap={"b:0": [3.0, 4.0]})],
    "input map with unknown names": [PLAIN, dict(graph="chain", inputMap={"zz:0": "import/c:0"})],
    "input map with an unused name": [PLAIN, dict(graph="chain", inputMap={"c:0": "import/c:0"})],
    "return elements": [dict(graph="chain", returns=["c:0", "d", "a:0", "c"])],
    "return elements that are mapped": [PLAIN, dict(graph="chain", inputMap={"a:0": "import/c:0"}, returns=["a:0", "c:0"])],
    "return elements that are missing": [dict(graph="chain", returns=["zz"])],
    "return tensors that are missing": [dict(graph="chain", returns=["zz:0"])],
    "return outputs that are missing": [dict(graph="chain", returns=["c:4"])],
    "a device": [dict(graph="places", device="/job:ps/cpu:0")],
    "places": [dict(graph="places", prefix="one"), dict(graph="places", prefix="")],
    "control dependencies": [dict(graph="chain", prefix="one"), dict(graph="chain", prefix="two", after=["one/d"])],
    "colocation around": [dict(graph="chain", prefix="one"), dict(graph="chain", prefix="two", beside="one/b")],
    "inside a conditional": [dict(graph="chain", prefix="one"), dict(graph="scoped", prefix="two", within="cond")],
    "loops": [dict(graph="loop"), dict(graph="loop"), dict(graph="loop", prefix=""), dict(graph="loop", prefix="")],
    "conditionals": [dict(graph="branches"), dict(graph="branches")],
    "functions": [dict(graph="functional"), dict(graph="functional")],
    "gradients of functions": [dict(graph="custom_gradient"), dict(graph="custom_gradient")],
    "known shapes": [dict(graph="shapes")],
}
for broken in ("missing_input", "bad_output", "missing_control", "unknown_op", "unknown_attr", "twice", "bad_name", "dtype", "missing_attr", "cycle", "lost_colocation"):
    CASES[broken] = [dict(graph=broken)]


def shown_attr(value):
    kind = value.WhichOneof("value")
    if kind == "s":
        return value.s.decode()
    if kind == "list" and value.list.s:
        return [s.decode() for s in value.list.s]
    return None


def dims(shape):
    return None if shape.rank is None else [d if d is None else int(d) for d in shape.as_list()]


def shown(graph):
    """The nodes: name, op, inputs, device, what has names in its attributes, shapes."""
    nodes = []
    for op in graph.get_operations():
        attrs = {k: shown_attr(v) for k, v in op.node_def.attr.items() if k in ("_class", "frame_name", "shared_name", "container")}
        nodes.append({
            "name": op.name,
            "op": op.type,
            # the edges: node_def spells back edges of a uniquified loop as they were
            "input": [x.name for x in op.inputs] + sorted(f"^{c.name}" for c in op.control_inputs),
            "device": op.device,
            "attrs": {k: v for k, v in attrs.items() if v},
            "shapes": [dims(y.shape) for y in op.outputs],
        })
    return nodes


def sentence(e):
    return f"{type(e).__name__}: {e}".split("\n")[0]


def elements(graph, mapping):
    return {k: graph.get_tensor_by_name(v) if isinstance(v, str) else v for k, v in mapping.items()}


def import_step(graph, step):
    with contextlib.ExitStack() as stack:
        if "scope" in step:
            stack.enter_context(tf.name_scope(step["scope"]))
        if "device" in step:
            stack.enter_context(tf.device(step["device"]))
        if "after" in step:
            stack.enter_context(tf.control_dependencies([graph.get_operation_by_name(n) for n in step["after"]]))
        if "beside" in step:
            stack.enter_context(tf.colocate_with(graph.get_operation_by_name(step["beside"])))
        done = tf.import_graph_def(
            tf.GraphDef.FromString(GRAPHS[step["graph"]]),
            name=step.get("prefix"),
            input_map=elements(graph, step["inputMap"]) if "inputMap" in step else None,
            return_elements=step.get("returns"),
        )
    return done


def run_import(graph, step):
    if step.get("within") != "cond":
        return import_step(graph, step)
    p = tf.placeholder(tf.bool, [], name="p")

    def branch():
        import_step(graph, step)
        return graph.get_tensor_by_name("cond/two/z:0")

    tf.cond(p, branch, lambda: tf.constant(0.0))
    return None


def run_case(steps):
    results = []
    with tf.Graph().as_default() as graph:
        for step in steps:
            try:
                done = run_import(graph, step)
                results.append({"returned": done if done is None else [x.name for x in done]})
            except Exception as e:  # the sentence is what is wanted
                results.append({"error": sentence(e)})
        library = graph.as_graph_def().library
        return {
            "steps": steps,
            "results": results,
            "nodes": shown(graph),
            "functions": sorted(f.signature.name for f in library.function),
            "gradients": [[g.function_name, g.gradient_func] for g in library.gradient],
        }


META = {}


def meta_source(fn):
    with tf.Graph().as_default():
        META[fn.__name__] = fn()
    return fn


@meta_source
def network():
    x = tf.placeholder(tf.float32, [None, 2], name="x")
    p = tf.placeholder(tf.bool, [], name="p")
    with tf.variable_scope("net"), tf.device("/job:ps/task:0"):
        w = tf.get_variable("w", initializer=[[1.0], [2.0]], use_resource=False)
        r = tf.get_variable("r", initializer=[3.0], use_resource=True)
        parts = tf.get_variable("parts", [3, 1], initializer=tf.zeros_initializer(), partitioner=tf.fixed_size_partitioner(2))
        tf.get_variable("local", initializer=0.0, collections=["local_variables"], trainable=False)
        h = tf.matmul(x, w) + r + tf.reduce_sum(tf.convert_to_tensor(parts))
        y = tf.cond(p, lambda: tf.cond(h[0, 0] > 0, lambda: h * 2.0, lambda: h), lambda: h + 1.0, name="mode")
        n = tf.constant(3, name="n")
        body = lambda i, v: (i + 1, tf.cond(tf.equal(i, 1), lambda: v * w[0], lambda: v))
        z = tf.while_loop(lambda i, v: i < n, body, [tf.constant(0), y], name="loop")
        tf.nn.relu(z[1], name="out")
    tf.identity(w, name="outside")
    graph = tf.get_default_graph()
    for key, items in {
        "texts": ["hello", "net/words"],
        "ints": [1, 2],
        "floats": [1.5, 2.0],
        "ops": [graph.get_operation_by_name("net/out"), graph.get_operation_by_name("outside")],
        "tensors": [graph.get_tensor_by_name("net/out:0"), x],
        "mixed": [graph.get_tensor_by_name("net/out:0"), 3],
        "things": [object()],
    }.items():
        for item in items:
            tf.add_to_collection(key, item)
    saver = tf.train.Saver(name="net/save")
    tf.train.Saver([w], name="extra")
    tf.add_to_collection("savers", saver)
    return tf.train.export_meta_graph(saver_def=saver.saver_def)


@meta_source
def bare():
    tf.identity(tf.placeholder(tf.float32, [2], name="x"), name="y")
    return tf.train.export_meta_graph()


@meta_source
def variables():
    tf.get_variable("v", initializer=[1.0], use_resource=False)
    return tf.train.export_meta_graph()


EXPORTS = {
    "as it is": {},
    "without devices": dict(clear_devices=True),
    "without other savers": dict(clear_extraneous_savers=True),
    "without defaults": dict(strip_default_attrs=True),
    "of a scope": dict(export_scope="net"),
    "of a scope, clean": dict(export_scope="net", clear_devices=True, clear_extraneous_savers=True, strip_default_attrs=True),
}
IMPORTS = {
    "at the root": [dict(meta="network")],
    "under a scope": [dict(meta="network", importScope="imp")],
    "under a scope, twice": [dict(meta="network", importScope="imp"), dict(meta="network", importScope="imp")],
    "at the root, twice": [dict(meta="network"), dict(meta="network")],
    "without devices": [dict(meta="network", clearDevices=True)],
    "in a name scope": [dict(meta="network", scope="outer")],
    "under a scope in a name scope": [dict(meta="network", importScope="imp", scope="outer")],
    "of a scope's export": [dict(meta="network", importScope="a"), dict(exported="of a scope", importScope="b")],
    "of a scope's export, fed": [
        dict(meta="network"),
        dict(exported="of a scope", importScope="b", inputMap={"$unbound_inputs_x": "x:0", "$unbound_inputs_p": "p:0"}),
    ],
    "without saver and variables": [dict(meta="bare")],
    "without saver": [dict(meta="variables", importScope="imp")],
    "with other elements": [dict(meta="network", returns=["net/out:0"], importScope="imp")],
}


def saver_of(meta):
    return tf.train.Saver(saver_def=meta.saver_def, name="") if meta.HasField("saver_def") else None


def export_case(options):
    with tf.Graph().as_default():
        saver = tf.train.import_meta_graph(META["network"])
        return tf.train.export_meta_graph(saver_def=saver.saver_def, **options)


def meta_step(graph, step, exported):
    source_def = exported[step["exported"]] if "exported" in step else META[step["meta"]]
    source_def = type(source_def).FromString(source_def.SerializeToString())  # importing changes the message
    with contextlib.ExitStack() as stack:
        if "scope" in step:
            stack.enter_context(tf.name_scope(step["scope"]))
        options = dict(clear_devices=step.get("clearDevices", False), import_scope=step.get("importScope"))
        if "inputMap" in step:
            options["input_map"] = elements(graph, step["inputMap"])
        saver = tf.train.import_meta_graph(source_def, **options)
    return {"saver": None if saver is None else [saver.saver_def.filename_tensor_name, saver.saver_def.save_tensor_name, saver.saver_def.restore_op_name]}


def lean(meta):
    """Without what no test compares."""
    for op in meta.meta_info_def.stripped_op_list.op:
        name = op.name
        op.Clear()
        op.name = name
    for node in meta.graph_def.node:
        node.attr.pop("_output_shapes", None)
    return meta


def encoded(meta):
    return base64.b64encode(meta.SerializeToString(deterministic=True)).decode()


def meta_case(steps, exported):
    results = []
    with tf.Graph().as_default() as graph:
        for step in steps:
            try:
                results.append(meta_step(graph, step, exported))
            except Exception as e:  # the sentence is what is wanted
                results.append({"error": sentence(e)})
        names = {key: [v.name for v in graph.get_collection(key)] for key in ("variables", "local_variables", "trainable_variables")}
        return {"steps": steps, "results": results, "variables": names, "after": encoded(lean(tf.train.export_meta_graph()))}


def write(name, value):
    with gzip.GzipFile(OUT / name, "wb", mtime=0) as f:
        f.write(json.dumps(value).encode())


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    cases = {name: run_case(steps) for name, steps in CASES.items()}
    write("graphs.json.gz", {k: base64.b64encode(v).decode() for k, v in GRAPHS.items()})
    manifest = {"by": f"tensorflow {tf.__version__}", "command": "python tools/goldens/import_export.py"}
    (OUT / "manifest.json").write_text(json.dumps(manifest) + "\n")
    write("imports.json.gz", cases)
    exported = {name: export_case(options) for name, options in EXPORTS.items()}
    write("meta.json.gz", {
        "sources": {k: encoded(v) for k, v in META.items()},
        "exports": {k: {"options": EXPORTS[k], "meta": encoded(lean(v))} for k, v in exported.items()},
        "imports": {k: meta_case(v, exported) for k, v in IMPORTS.items()},
    })


if __name__ == "__main__":
    main()

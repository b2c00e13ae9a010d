"""Golden values of ops: runs the cases of src/ops/<family>.cases.json through TensorFlow.

    python tools/goldens/ops.py            all families
    python tools/goldens/ops.py math nn    these

Writes tests/goldens/ops/<family>.json.gz (values, inferred shapes, gradients, NodeDefs), updates op-defs.json (facts of
TensorFlow's OpDefs, for every op that has a case) and manifest.json. What a case may say is told in
tests/conformance/ops.test.ts, which checks all of it against src/ops. Needs tensorflow 2.21.
"""

import gzip
import hashlib
import json
import os
import re
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")

import numpy as np
import tensorflow as tf
from tensorflow.core.framework import types_pb2
from tensorflow.python.framework import op_def_library, op_def_registry, tensor_util

from ops_encode import encode_attr, encode_shape, encode_tensor, encode_text, numpy_of

ROOT = Path(__file__).resolve().parents[2]
OUT = ROOT / "tests" / "goldens" / "ops"
v1 = tf.compat.v1


def make_value(spec):
    """The numpy array that an input of a case describes."""
    if "values" in spec:
        return numpy_of(spec)
    rng = np.random.RandomState(spec.get("seed", 1))
    dtype, shape, fill = tf.as_dtype(spec["dtype"]), spec["shape"], spec.get("fill", "normal")
    low, high = spec.get("min", 0), spec.get("max", 1)
    if fill == "bool":
        return rng.randint(0, 2, shape).astype(bool)
    if fill == "int":
        return rng.randint(low, high + 1, shape).astype(dtype.as_numpy_dtype)
    draw = (lambda: rng.standard_normal(shape)) if fill == "normal" else (lambda: rng.uniform(low, high, shape))
    values = draw() + 1j * draw() if dtype.is_complex else draw()
    if fill == "normal" and "min" in spec:
        values = np.clip(values, low, high)
    return np.asarray(values).astype(dtype.as_numpy_dtype)


class Case:
    """One case as a TensorFlow graph."""

    def __init__(self, op, case):
        self.op, self.case = op, case
        self.op_def = op_def_registry.get(op)
        if self.op_def is None:
            raise SystemExit(f"TensorFlow has no op {op}")
        self.feeds, self.flat, self.variables, self.inits = {}, [], [], []

    def input(self, spec):
        """An input as a Placeholder, Const or variable; lists are nested."""
        if isinstance(spec, list):
            return [self.input(s) for s in spec]
        i = len(self.flat)
        if "made" in spec or "of" in spec:
            x = self.operand(spec, f"in_{i}")
            self.flat.append((x, None, spec))
            return x
        value = make_value(spec)
        dtype = tf.as_dtype(spec["dtype"])
        name = f"in_{i}"
        shapes = self.case.get("shapes")
        shape = shapes[i] if shapes else list(value.shape)
        if spec.get("resource"):
            x = self.resource(spec, value, dtype, name)
        elif spec.get("ref"):
            x = tf.raw_ops.VariableV2(shape=value.shape, dtype=dtype, container="", shared_name="", name=name)
            self.inits.append(tf.raw_ops.Assign(ref=x, value=tf.constant(value, dtype), validate_shape=True).op)
            self.variables.append((i, x))
        elif i in self.case.get("const", []):
            x = tf.constant(value, dtype, name=name)
        else:
            x = v1.placeholder(dtype, shape, name=name)
            self.feeds[x] = value
        self.flat.append((x, {"dtype": spec["dtype"], **encode_tensor(value, dtype)}, spec))
        return x

    def operand(self, spec, name):
        """What another op made, an input or output of the op that the case is about, or a Const."""
        if isinstance(spec, list):
            return [self.operand(s, f"{name}_{i}") for i, s in enumerate(spec)]
        if "of" in spec:
            return self.flat[spec["of"]][0].op.outputs[spec.get("output", 0)]
        if "out" in spec:
            return self.result.outputs[spec["out"]]
        if "made" in spec:
            return self.make(spec, name).outputs[spec.get("output", 0)]
        return tf.constant(make_value(spec), tf.as_dtype(spec["dtype"]), name=name)

    def make(self, spec, name):
        """An op with operands, as `made` and `then` describe it."""
        op_def = op_def_registry.get(spec["made"])
        args = {}
        for i, (arg, given) in enumerate(zip(op_def.input_arg, spec.get("inputs", []), strict=True)):
            args[arg.name] = self.operand(given, f"{name}_{i}")
        for key, value in spec.get("attrs", {}).items():
            args[key] = self.attr(key, value, op_def)
        add_defaults(op_def, args)
        op_def_library.apply_op(spec["made"], name=name, **args)
        return v1.get_default_graph().get_operation_by_name(name)

    def resource(self, spec, value, dtype, name):
        shape = spec.get("handleShape", list(value.shape))
        handle = tf.raw_ops.VarHandleOp(dtype=dtype, shape=shape, shared_name=name, container="", name=name)
        if spec["resource"] == "empty":
            return handle
        self.inits.append(tf.raw_ops.AssignVariableOp(resource=handle, value=tf.constant(value, dtype)))
        self.variables.append((len(self.flat), tf.raw_ops.ReadVariableOp(resource=handle, dtype=dtype)))
        return handle

    def attr(self, name, value, op_def):
        kind = next(a.type for a in op_def.attr if a.name == name)
        one = re.sub(r"^list\((.*)\)$", r"\1", kind)
        if one == "func":
            return [f["func"] for f in value] if kind != one else value["func"]
        convert = {
            "type": tf.as_dtype,
            "shape": lambda v: tf.TensorShape(v["dims"]),
            "tensor": lambda v: tensor_util.make_tensor_proto(make_value(v), tf.as_dtype(v["dtype"])),
            "string": lambda v: v.encode(),
            "float": lambda v: float(v),
        }.get(one, lambda v: v)
        return [convert(v) for v in value] if kind.startswith("list(") else convert(value)

    def build(self):
        args = {}
        specs = self.case.get("inputs", [])
        if len(specs) != len(self.op_def.input_arg):
            raise SystemExit(f"{self.op}: {len(self.op_def.input_arg)} inputs wanted, the case has {len(specs)}")
        for arg, spec in zip(self.op_def.input_arg, specs):
            args[arg.name] = self.input(spec)
        for name, value in self.case.get("attrs", {}).items():
            args[name] = self.attr(name, value, self.op_def)
        add_defaults(self.op_def, args)
        graph = v1.get_default_graph()
        # apply_op takes the OpDef's own names; tf.raw_ops renames some
        op_def_library.apply_op(self.op, name="op", **args)
        self.result = graph.get_operation_by_name("op")
        self.then = [self.make(spec, f"then_{i}") for i, spec in enumerate(self.case.get("then", []))]
        return self.result

    def gradients(self, op):
        """Adds tf.gradients with placeholders for dy, or None where the case or the op has none."""
        floating = lambda d: d.is_floating or d.is_complex
        xs = [x for x, _, _ in self.flat if floating(x.dtype.base_dtype)]
        ys = [op.outputs[i] for i in self.case.get("ys", range(len(op.outputs)))]
        ys = [y for y in ys if floating(y.dtype.base_dtype)]
        variables = any(key in spec for _, _, spec in self.flat for key in ("resource", "ref", "made", "of"))
        if not self.case.get("grad", True) or not xs or not ys or variables:
            return None
        dys = [v1.placeholder(y.dtype, y.shape, name=f"dy_{i}") for i, y in enumerate(ys)]
        before = len(op.graph.get_operations())
        try:
            grads = v1.gradients(ys, xs, grad_ys=dys)
        except LookupError:
            return {"none": True}
        nodes = [encode_node(o) for o in op.graph.get_operations()[before:]]
        return {"ys": ys, "dys": dys, "grads": grads, "nodes": nodes}

    def run(self):
        golden = {"claim": self.case["claim"]}
        with v1.Graph().as_default() as graph:
            try:
                op = self.build()
            except (ValueError, tf.errors.OpError) as e:
                return self.failed(golden, "build", e)
            golden["inputs"] = regroup(self.case.get("inputs", []), iter(g for _, g, _ in self.flat))
            golden["node"] = encode_node(op)
            golden["shapes"] = [encode_shape(y.shape) for y in op.outputs]
            if self.case.get("run", True):
                with v1.Session(graph=graph) as session:
                    try:
                        self.run_op(session, op, golden)
                    except tf.errors.OpError as e:
                        return self.failed(golden, "run", e)
        if "error" in self.case:
            raise SystemExit(f"{self.op} {self.case['claim']}: TensorFlow gave no error")
        return golden

    def run_op(self, session, op, golden):
        grad = self.gradients(op)
        session.run(self.inits)
        plain = plain_outputs(op)
        then = [y for o in self.then for y in plain_outputs(o)]
        # one run: stateful ops go on from their state
        values, after, _ = session.run([plain, then, op], self.feeds)
        if then:
            golden["then"] = [encode_tensor(v, y.dtype.base_dtype) for v, y in zip(after, then)]
        if plain:
            golden["outputs"] = [encode_tensor(v, y.dtype.base_dtype) for v, y in zip(values, plain)]
            for i in self.case.get("unset", []):
                golden["outputs"][i] = None
        if self.variables:
            after = session.run([read for _, read in self.variables])
            golden["after"] = {
                str(i): encode_tensor(v, read.dtype.base_dtype) for (i, read), v in zip(self.variables, after)
            }
        if grad is None:
            return
        if "none" in grad:
            golden["noGradient"] = True
            return
        rng = np.random.RandomState(7)
        feeds = dict(self.feeds)
        by_name = dict(zip([y.name for y in plain], values))
        dy_values = []
        for y, dy in zip(grad["ys"], grad["dys"]):
            shape = by_name[y.name].shape
            value = rng.standard_normal(shape)
            if y.dtype.is_complex:
                value = value + 1j * rng.standard_normal(shape)
            # eighths: exact in every float dtype, and short in the file
            feeds[dy] = np.asarray(np.round(value * 8) / 8).astype(y.dtype.as_numpy_dtype)
            dy_values.append(encode_tensor(feeds[dy], y.dtype))
        golden["gradYs"] = [y.op.outputs.index(y) for y in grad["ys"]]
        golden["dys"] = dy_values
        golden["grads"] = [self.fetch_grad(session, g, feeds) for g in grad["grads"]]
        if self.case.get("gradNodes", True):
            golden["gradNodes"] = grad["nodes"]
            golden["gradNames"] = [grad_name(g) for g in grad["grads"]]

    def fetch_grad(self, session, g, feeds):
        if g is None:
            return None
        if isinstance(g, tf.IndexedSlices):
            values, indices = session.run([g.values, g.indices], feeds)
            return {
                "values": encode_tensor(values, g.values.dtype),
                "indices": encode_tensor(indices, g.indices.dtype),
            }
        return encode_tensor(session.run(g, feeds), g.dtype)

    def failed(self, golden, phase, e):
        message = getattr(e, "message", str(e))
        if self.case.get("error", "\0") not in message:
            raise SystemExit(f"{self.op} {self.case['claim']}: TensorFlow says: {message}")
        if "inputs" not in golden:
            golden["inputs"] = regroup(self.case["inputs"], iter(g for _, g, _ in self.flat))
        code = getattr(e, "error_code", 3)
        names = {v: k for k, v in vars(tf.errors).items() if isinstance(v, int)}
        golden["error"] = {"phase": phase, "code": names[code], "message": message.split("\n")[0]}
        return golden


def plain_outputs(op):
    return [y for y in op.outputs if y.dtype.base_dtype not in (tf.resource, tf.variant)]


def add_defaults(op_def, args):
    """apply_op wants to be told defaults."""
    inferred = {x for a in op_def.input_arg for x in (a.type_attr, a.number_attr, a.type_list_attr)}
    for a in op_def.attr:
        if a.name not in inferred and a.HasField("default_value"):
            args.setdefault(a.name, default_of(a.default_value))


def default_of(value):
    """An AttrValue as apply_op takes it."""
    kind = value.WhichOneof("value")
    if kind == "list":
        filled = [list(items) for _, items in value.list.ListFields()]
        return filled[0] if filled else []
    convert = {"type": tf.as_dtype, "shape": tf.TensorShape}.get(kind, lambda v: v)
    return convert(getattr(value, kind))


def grad_name(g):
    if g is None:
        return None
    return g.values.name if isinstance(g, tf.IndexedSlices) else g.name


def regroup(specs, flat):
    return [regroup(s, flat) if isinstance(s, list) else next(flat) for s in specs]


def encode_node(op):
    """[name, type, inputs with control inputs last, attrs]"""
    node = op.node_def
    attrs = {k: encode_attr(node.attr[k]) for k in sorted(node.attr)}
    return [node.name, node.op, list(node.input), attrs]


def encode_op_def(op):
    d = op_def_registry.get(op)

    def arg(a):
        text = types_pb2.DataType.Name(a.type).removeprefix("DT_") if a.type else a.type_attr
        if a.type:
            text = tf.as_dtype(a.type).name
        if a.type_list_attr:
            text = f"[{a.type_list_attr}]"
        if a.number_attr:
            text = f"{a.number_attr}*{text}"
        return [a.name, f"ref({text})" if a.is_ref else text]

    def one_attr(a):
        out = {"kind": a.type}
        if a.HasField("default_value"):
            out["default"] = encode_attr(a.default_value)
        if a.HasField("allowed_values"):
            out["allowed"] = sorted(set(encode_attr(a.allowed_values)))
        if a.has_minimum:
            out["min"] = a.minimum
        return out

    out = {
        "inputs": [arg(a) for a in d.input_arg],
        "outputs": [arg(a) for a in d.output_arg],
        "attrs": {a.name: one_attr(a) for a in d.attr},
    }
    if d.is_stateful:
        out["stateful"] = True
    if d.allows_uninitialized_input:
        out["allowsUninitialized"] = True
    return out


def write_family(path):
    family = path.name.removesuffix(".cases.json")
    text = path.read_text()
    # white space does not count: the formatter may change it
    source = hashlib.sha256("".join(text.split()).encode()).hexdigest()
    cases = json.loads(text)
    lines = []
    for op, table in cases.items():
        rows = ",\n".join(dump(Case(op, case).run()) for case in table)
        lines.append(f"{encode_text(op)}:[\n{rows}\n]")
    body = ",\n".join(lines)
    golden = f'{{"source":"{source}","ops":{{\n{body}\n}}}}\n'
    (OUT / f"{family}.json.gz").write_bytes(gzip.compress(golden.encode(), 9, mtime=0))
    print(f"{family}: {len(cases)} ops, {sum(map(len, cases.values()))} cases")
    return cases.keys()


def dump(value):
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    paths = sorted((ROOT / "src" / "ops").glob("*.cases.json"))
    wanted = sys.argv[1:]
    missing = set(wanted) - {p.name.removesuffix(".cases.json") for p in paths}
    if missing:
        raise SystemExit(f"no src/ops/{missing.pop()}.cases.json")
    defs = {}
    for path in paths:
        if not wanted or path.name.removesuffix(".cases.json") in wanted:
            defs.update({op: encode_op_def(op) for op in write_family(path)})
    op_defs = OUT / "op-defs.json"
    known = json.loads(op_defs.read_text()) if op_defs.exists() and wanted else {}
    known.update(defs)
    rows = ",\n".join(f"{encode_text(op)}:{dump(known[op])}" for op in sorted(known))
    op_defs.write_text(f"{{\n{rows}\n}}\n")
    manifest = {
        "by": f"tensorflow {tf.__version__}",
        "numpy": np.__version__,
        "command": "python tools/goldens/ops.py",
    }
    (OUT / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n")


if __name__ == "__main__":
    main()

/** @file Passes over attributes and names: defaults, devices and colocations, names, rounded weights. Start at `stripDefaultAttrs`. */

import { toBinary } from "@bufbuild/protobuf";
import { type Tensor, VarscopeError } from "../../base/index.ts";
import { writeAttr } from "../../formats/graph-def/index.ts";
import type { AttrValue as Value } from "../../graph/index.ts";
import { type AttrValue, AttrValueSchema } from "../../proto/graph.gen.ts";
import {
  changeNode,
  controlInputs,
  type Draft,
  dataInputs,
  draftOf,
  graphOf,
  joinInputs,
  makeNode,
  nodeOf,
} from "./draft.ts";
import { type Change, type Left, outputsOf, type Pass } from "./pass.ts";

/**
 * Attributes that have their OpDef's default go: an older TensorFlow that does not know them then reads the graph.
 *
 * @see TensorFlow python/framework/meta_graph.py "strip_graph_default_valued_attrs"
 */
export const stripDefaultAttrs: Pass = (graph) => {
  const draft = draftOf(graph);
  const done: Change[] = [];
  for (const op of graph.operations) {
    const { attr } = draft.nodes.get(op.name)!;
    const gone = Object.keys(attr).filter((key) => {
      const spec = op.def?.attrs[key];
      if (spec?.default === undefined) return false;
      return isSame(attr[key]!, writeAttr(spec.default as Value, spec.kind));
    });
    if (gone.length === 0) continue;
    const kept = Object.entries(attr).filter(([key]) => !gone.includes(key));
    changeNode(draft, op.name, { attr: Object.fromEntries(kept) });
    done.push({
      at: op.name,
      what: `${gone.join(", ")} ${gone.length > 1 ? "are the defaults" : "is the default"}`,
    });
  }
  return result(draft, "strip-default-attrs", done);
};

/** Attributes that a node lacks get their OpDef's default: what a reader without defaults needs. */
export const addDefaultAttrs: Pass = (graph) => {
  const draft = draftOf(graph);
  const done: Change[] = [];
  for (const op of graph.operations) {
    const { attr } = draft.nodes.get(op.name)!;
    const missing = Object.entries(op.def?.attrs ?? {}).filter(
      ([key, spec]) => !(key in attr) && spec.default !== undefined,
    );
    if (missing.length === 0) continue;
    const added = missing.map(([key, spec]) => [key, writeAttr(spec.default as Value, spec.kind)] as const);
    changeNode(draft, op.name, { attr: { ...attr, ...Object.fromEntries(added) } });
    done.push({ at: op.name, what: `${missing.map(([key]) => key).join(", ")} added` });
  }
  return result(draft, "add-default-attrs", done);
};

/** Nodes stand behind their inputs, as simple readers want them. */
export const sortNodes: Pass = (graph) => {
  const draft = draftOf(graph);
  const before = [...draft.nodes.keys()];
  const nodes = graph.operations.map((op) => draft.nodes.get(op.name)!); // importing put them in this order
  const moved = nodes.filter((node, i) => node.name !== before[i]);
  draft.nodes.clear();
  for (const node of nodes) draft.nodes.set(node.name, node);
  return result(
    draft,
    "sort-by-execution-order",
    moved.map((node) => ({ at: node.name, what: "moved" })),
  );
};

function isSame(a: AttrValue, b: AttrValue): boolean {
  const [x, y] = [toBinary(AttrValueSchema, a), toBinary(AttrValueSchema, b)];
  return x.length === y.length && x.every((v, i) => v === y[i]);
}

const result = (draft: Draft, pass: string, done: readonly Change[], left: readonly Left[] = []) => ({
  graph: done.length > 0 ? graphOf(draft) : draft.graph,
  report: { pass, done, left },
});

/** Devices and colocations are forgotten: both pin nodes to places that another machine does not have. */
export const clearDevices: Pass = (graph) => {
  const draft = draftOf(graph);
  const done: Change[] = [];
  for (const node of [...draft.nodes.values()]) {
    const { _class, ...attr } = node.attr;
    if (node.device === "" && _class === undefined) continue;
    draft.nodes.set(node.name, makeNode({ ...node, device: "", attr }));
    const what = [node.device, _class === undefined ? "" : "colocation"].filter((x) => x !== "");
    done.push({ at: node.name, what: `${what.join(" and ")} forgotten` });
  }
  return result(draft, "clear-devices", done);
};

/**
 * Nodes get other names; inputs and colocations follow. Outputs keep theirs.
 *
 * @throws VarscopeError INVALID_ARGUMENT - two nodes would have one name
 */
export const rename: Pass = (graph, options = {}) => {
  const keep = new Set(outputsOf(graph, options));
  const draft = draftOf(graph);
  const names = new Map<string, string>();
  const taken = new Map<string, string>();
  for (const name of draft.nodes.keys()) {
    const to = keep.has(name)
      ? name
      : (options.rename ?? []).reduce((text, [from, into]) => text.replace(from, into), name);
    const other = taken.get(to);
    if (other !== undefined) {
      throw new VarscopeError("INVALID_ARGUMENT", `'${other}' and '${name}' would both be '${to}'`, {
        at: name,
        hint: "narrow the pattern",
      });
    }
    taken.set(to, name);
    if (to !== name) names.set(name, to);
  }
  const old = [...draft.nodes.values()];
  draft.nodes.clear();
  for (const node of old) {
    const input = joinInputs(
      dataInputs(node).map((x) => x.replace(nodeOf(x), names.get(nodeOf(x)) ?? nodeOf(x))),
      controlInputs(node).map((x) => names.get(x) ?? x),
    );
    const name = names.get(node.name) ?? node.name;
    draft.nodes.set(name, makeNode({ ...node, name, input, attr: renamedClass(node.attr, names) }));
  }
  options.origins?.rename(names);
  return result(
    draft,
    "rename",
    [...names].map(([at, to]) => ({ at, what: `is ${to}` })),
  );
};

function renamedClass(attr: Readonly<Record<string, AttrValue>>, names: ReadonlyMap<string, string>) {
  const value = attr._class?.value;
  if (value?.case !== "list") return attr;
  const list = value.value.s.map((bytes) => {
    const text = new TextDecoder().decode(bytes);
    return text.startsWith("loc:@") ? `loc:@${names.get(text.slice(5)) ?? text.slice(5)}` : text;
  });
  return { ...attr, _class: writeAttr(list, "list(string)") };
}

/** Smaller tensors are not worth rounding. @see TensorFlow tools/graph_transforms/round_weights.cc */
const MIN_ROUNDED = 16;

/** Float constants keep so many different values each: a file that compresses well. The results change a little. */
export const roundWeights: Pass = (graph, { steps = 256 } = {}) => {
  const draft = draftOf(graph);
  const done: Change[] = [];
  for (const op of graph.operations) {
    const value = op.type === "Const" ? (op.attrs.value as unknown as Tensor) : undefined;
    if (value?.dtype !== "float32" || value.data.length < MIN_ROUNDED) continue;
    const data = rounded(value.data as Float32Array, steps);
    if (data === null) continue;
    changeNode(draft, op.name, {
      attr: { ...draft.nodes.get(op.name)!.attr, value: writeAttr({ ...value, data } as Tensor, "tensor") },
    });
    done.push({ at: op.name, what: `rounded to ${steps} values` });
  }
  return result(draft, "round-weights", done);
};

/** Each value as the middle of its step between smallest and largest; null where there is nothing to round. */
function rounded(values: Float32Array, steps: number): Float32Array | null {
  let [low, high] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for (const v of values) [low, high] = [Math.min(low, v), Math.max(high, v)];
  if (!Number.isFinite(low) || !Number.isFinite(high) || low === high) return null;
  const width = (high - low) / steps;
  return values.map((v) => low + (Math.min(Math.floor((v - low) / width), steps - 1) + 0.5) * width);
}

/** @file The pass that makes equal nodes one. Start at `mergeDuplicates`. */

import { toBinary } from "@bufbuild/protobuf";
import { crc32c, type Tensor } from "../../base/index.ts";
import type { Operation } from "../../graph/index.ts";
import { AttrValueSchema } from "../../proto/graph.gen.ts";
import { controlInputs, dataInputs, draftOf, graphOf, rewire } from "./draft.ts";
import { type Change, type Left, outputsOf, type Pass, type PassOptions } from "./pass.ts";
import { isControlFlow } from "./residue.ts";

/**
 * Nodes with the same op, attributes, inputs and device become one: the first, or the one that is an output. Ops with effects, random ones,
 * variables and placeholders stay; of equal constants those that come from different variables stay, since other weights differ.
 */
export const mergeDuplicates: Pass = (graph, options = {}) => {
  const keep = new Set(outputsOf(graph, options));
  const draft = draftOf(graph);
  const first = new Map<string, Operation[]>();
  const data = new Map<string, string>();
  const control = new Map<string, string>();
  const done: Change[] = [];
  const left: Left[] = [];
  const nameOf = (name: string): string => control.get(name) ?? name;
  const sameOutput = (input: string): string => input.replace(/^[^:]+/, nameOf);
  for (const op of graph.operations) {
    if (!mayMerge(op)) continue;
    const node = draft.nodes.get(op.name)!;
    const inputs = [
      ...dataInputs(node).map(sameOutput),
      ...controlInputs(node)
        .map((x) => `^${nameOf(x)}`)
        .sort(),
    ];
    const key = [op.type, node.device, inputs.join(), attrKey(op, node.attr)].join("|");
    const group = first.get(key) ?? [];
    first.set(key, group);
    const twin = group.find((other) => sameConstant(op, other) && sameOrigin(op, other, options));
    if (twin === undefined) {
      group.push(op);
      continue;
    }
    if (keep.has(op.name)) {
      left.push({ at: op.name, why: `it is an output, and equal to '${twin.name}'` });
      continue;
    }
    for (const y of op.outputs) data.set(y.index === 0 ? op.name : y.name, sameName(twin, y.index));
    control.set(op.name, twin.name);
    done.push({ at: op.name, what: `is ${twin.name}` });
  }
  for (const name of control.keys()) draft.nodes.delete(name);
  rewire(draft, data, control);
  return {
    graph: done.length > 0 ? graphOf(draft) : graph,
    report: { pass: "merge-duplicates", done, left },
  };
};

const sameName = (op: Operation, index: number): string => (index === 0 ? op.name : `${op.name}:${index}`);

const mayMerge = (op: Operation): boolean =>
  op.def !== undefined &&
  op.def.stateful !== true &&
  op.def.variable === undefined &&
  op.def.access === undefined &&
  op.outputs.length > 0 &&
  !op.type.startsWith("Placeholder") &&
  !isControlFlow(op);

/** Attributes as text; of a large tensor its checksum. */
function attrKey(
  op: Operation,
  attr: Readonly<Record<string, Parameters<typeof toBinary<typeof AttrValueSchema>>[1]>>,
): string {
  return Object.keys(attr)
    .sort()
    .map((key) => {
      const value = key === "value" && op.type === "Const" ? (op.attrs.value as unknown as Tensor) : null;
      if (value !== null && ArrayBuffer.isView(value.data)) {
        const { buffer, byteOffset, byteLength } = value.data;
        return `${value.dtype}[${value.shape}]${crc32c(new Uint8Array(buffer, byteOffset, byteLength))}`;
      }
      return `${key}=${toBinary(AttrValueSchema, attr[key]!).join()}`;
    })
    .join(";");
}

/** Equal checksums do not suffice. */
function sameConstant(a: Operation, b: Operation): boolean {
  if (a.type !== "Const") return true;
  const [x, y] = [a.attrs.value, b.attrs.value].map(
    (t) => (t as unknown as Tensor).data as ArrayLike<unknown>,
  );
  if (!ArrayBuffer.isView(x)) return true; // strings: their bytes are in the key
  for (let i = 0; i < x!.length; i++) if (!Object.is(x![i], y![i])) return false;
  return true;
}

const sameOrigin = (a: Operation, b: Operation, { origins }: PassOptions): boolean =>
  a.type !== "Const" ||
  origins === undefined ||
  origins.of(a) === origins.of(b) ||
  !(origins.isFromVariable(a) || origins.isFromVariable(b));

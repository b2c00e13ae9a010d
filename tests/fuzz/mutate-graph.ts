/**
 * @file Changes of graphs that stay graphs: other inputs, functions, op types and attributes, so that what works on whole graphs meets
 * what no program builds. Start at `mutateGraph`.
 */

import { fromBinary, toBinary } from "@bufbuild/protobuf";
import { type AttrValue, type GraphDef, GraphDefSchema, type NodeDef } from "../../src/proto/index.ts";
import type { Change } from "./mutate-bytes.ts";
import { NUMBERS } from "./mutate-message.ts";
import type { Random } from "./random.ts";

/** The nodes of the graph, or of one of its functions. */
function somewhere(def: GraphDef, r: Random): NodeDef[] {
  const bodies = (def.library?.function ?? []).map((f) => f.nodeDef).filter((nodes) => nodes.length > 0);
  return bodies.length === 0 || r.once(3) ? def.node : r.pick(bodies);
}

type Attack = (def: GraphDef, r: Random) => void;

const onNode =
  (change: (node: NodeDef, nodes: NodeDef[], r: Random, def: GraphDef) => void): Attack =>
  (def, r) => {
    const nodes = somewhere(def, r);
    if (nodes.length > 0) change(r.pick(nodes), nodes, r, def);
  };

const onAttr = (change: (value: AttrValue, r: Random, def: GraphDef) => void): Attack =>
  onNode((node, _, r, def) => {
    const keys = Object.keys(node.attr);
    if (keys.length > 0) change(node.attr[r.pick(keys)]!, r, def);
  });

const rewire = onNode((node, nodes, r) => {
  const others = nodes.flatMap((n) => n.input).filter((x) => x.startsWith("^") === r.once(6));
  const text =
    r.once(3) || others.length === 0 ? `${r.pick(nodes).name}${r.pick(["", ":1", ":99"])}` : r.pick(others);
  if (node.input.length === 0 || r.once(5)) node.input.push(r.once(2) ? `^${r.pick(nodes).name}` : text);
  else node.input[r.below(node.input.length)] = text;
});

const loseInput = onNode((node, _, r) => {
  node.input.splice(r.below(node.input.length + 1), 1);
});

const retype = onNode((node, nodes, r) => {
  node.op = r.pick(nodes).op;
});

const loseNode = onNode((node, nodes) => {
  nodes.splice(nodes.indexOf(node), 1);
});

const takeAttr = onNode((node, nodes, r) => {
  const keys = Object.keys(node.attr);
  const other = r.pick(nodes);
  const others = Object.keys(other.attr);
  if (others.length === 0) return;
  node.attr[keys.length > 0 && !r.once(4) ? r.pick(keys) : r.pick(others)] = other.attr[r.pick(others)]!;
});

const loseAttr = onNode((node, _, r) => {
  const keys = Object.keys(node.attr);
  if (keys.length > 0) delete node.attr[r.pick(keys)];
});

const changeNumber = onAttr(({ value }, r) => {
  if (value.case === "i") value.value = r.pick(NUMBERS);
  else if (value.case === "type") value.value = r.below(30);
  else if (value.case === "b") value.value = !value.value;
  else if (value.case === "shape" && value.value.dim.length > 0)
    r.pick(value.value.dim).size = r.pick(NUMBERS);
  else if (value.case === "list") changeLength(value.value, r);
});

function changeLength(list: object, r: Random): void {
  for (const items of Object.values(list).filter((x) => Array.isArray(x) && x.length > 0) as unknown[][]) {
    if (r.once(2)) items.splice(r.below(items.length), 1);
    else for (let n = r.pick([1, 2, 40]); n > 0; n--) items.push(r.pick(items));
  }
}

/** Functions that call themselves or others. */
const callOther = onNode((node, _, r, def) => {
  const names = (def.library?.function ?? []).map((f) => f.signature?.name ?? "");
  if (names.length === 0) return;
  const functions = Object.values(node.attr).flatMap(({ value }) =>
    value.case === "func" ? [value.value] : value.case === "list" ? value.value.func : [],
  );
  if (functions.length > 0) r.pick(functions).name = r.once(8) ? "nowhere" : r.pick(names);
  else if (r.once(4)) node.op = r.pick(names);
});

const changeSignature: Attack = (def, r) => {
  const functions = def.library?.function ?? [];
  if (functions.length === 0) return;
  const at = r.below(functions.length);
  const f = functions[at]!;
  const args = r.once(2) ? f.signature?.inputArg : f.signature?.outputArg;
  const how = r.below(5);
  if (how === 0) functions.splice(at, 1);
  else if (how === 1) args?.splice(r.below(args.length + 1), 1);
  else if (how === 2 && args !== undefined && args.length > 0) args.push(r.pick(args));
  else if (how === 3 && args !== undefined && args.length > 0)
    Object.assign(
      r.pick(args),
      r.pick([{ type: r.below(30) }, { numberAttr: "N" }, { typeListAttr: "T" }, { typeAttr: "T" }]),
    );
  else f.ret = Object.fromEntries(Object.entries(f.ret).map(([k], _, all) => [k, r.pick(all)[1]]));
};

const changeText = onAttr(({ value }, r) => {
  if (value.case === "s")
    value.value = new TextEncoder().encode(r.pick(["", "x", "__proto__", "loc:@nowhere", "\0"]));
});

const ATTACKS: readonly Attack[] = [
  rewire,
  rewire,
  rewire,
  loseInput,
  retype,
  loseNode,
  takeAttr,
  takeAttr,
  loseAttr,
  changeNumber,
  changeNumber,
  callOther,
  callOther,
  changeSignature,
  changeText,
];

/** Some changes of a GraphDef. */
export function attackGraph(def: GraphDef, r: Random): void {
  do r.pick(ATTACKS)(def, r);
  while (r.once(2));
}

/** The same of its bytes. */
export const mutateGraph: Change = (bytes, r) => {
  const def = fromBinary(GraphDefSchema, bytes);
  attackGraph(def, r);
  return toBinary(GraphDefSchema, def);
};

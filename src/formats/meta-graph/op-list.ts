/**
 * @file Our OpDefs as OpDef messages, which a MetaGraph carries for the ops that it uses: an older or newer
 * TensorFlow learns from them what the writer's defaults were. Start at `strippedOpList`.
 *
 * @see TensorFlow core/framework/op_def.proto; python/framework/meta_graph.py "stripped_op_list_for_graph"
 */

import { create } from "@bufbuild/protobuf";
import { DTYPES, isDType } from "../../base/index.ts";
import {
  type ArgType,
  type AttrSpec,
  type AttrValue,
  argType,
  type Graph,
  type OpDef,
} from "../../graph/index.ts";
import {
  type AttrValue as AttrValueProto,
  type OpDef_ArgDef,
  OpDef_ArgDefSchema,
  type OpDef_AttrDef,
  OpDef_AttrDefSchema,
  type OpDef as OpDefProto,
  OpDefSchema,
  type OpList,
  OpListSchema,
} from "../../proto/graph.gen.ts";
import { writeAttr } from "../graph-def/index.ts";

/** OpDefs of all ops in use, by name; those that a file brought along keep its wording. */
export function strippedOpList(graph: Graph, read?: OpList): OpList {
  const known = new Map((read?.op ?? []).map((op) => [op.name, op]));
  const used = new Map(graph.operations.map((op) => [op.type, op.def]));
  const list: OpDefProto[] = [];
  for (const type of [...used.keys()].sort()) {
    const def = used.get(type);
    const proto = known.get(type) ?? (def === undefined ? undefined : toOpDef(def));
    if (proto !== undefined) list.push(proto);
  }
  return create(OpListSchema, { op: list });
}

/** The message of an OpDef, without descriptions. */
export function toOpDef(def: OpDef): OpDefProto {
  const args = (specs: Readonly<Record<string, string>>): OpDef_ArgDef[] =>
    Object.entries(specs).map(([name, text]) => toArgDef(argType(name, text)));
  return create(OpDefSchema, {
    name: def.type,
    inputArg: args(def.inputs),
    outputArg: args(def.outputs),
    attr: Object.entries(def.attrs).map(([name, spec]) => toAttrDef(name, spec as AttrSpec<never>)),
    isStateful: def.stateful === true,
    allowsUninitializedInput: def.allowsUninitialized === true,
  });
}

const toArgDef = (arg: ArgType): OpDef_ArgDef =>
  create(OpDef_ArgDefSchema, {
    name: arg.name,
    isRef: arg.ref,
    ...(arg.count === null ? {} : { numberAttr: arg.count }),
    ...(arg.list !== null
      ? { typeListAttr: arg.list }
      : isDType(arg.type)
        ? { type: DTYPES[arg.type].code }
        : { typeAttr: arg.type }),
  });

function toAttrDef(name: string, spec: AttrSpec<never>): OpDef_AttrDef {
  const def = create(OpDef_AttrDefSchema, { name, type: spec.kind });
  const value = spec.default as AttrValue | undefined;
  if (value !== undefined) def.defaultValue = writeAttr(value, spec.kind);
  if (spec.min !== undefined) {
    def.hasMinimum = true;
    def.minimum = BigInt(spec.min);
  }
  if (spec.allowed !== undefined) def.allowedValues = allowedValues(spec);
  return def;
}

const allowedValues = ({ allowed, kind }: AttrSpec<never>): AttrValueProto =>
  writeAttr(allowed!, kind === "type" || kind === "list(type)" ? "list(type)" : "list(string)");

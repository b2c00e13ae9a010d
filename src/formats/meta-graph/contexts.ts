/**
 * @file Contexts of conditionals (and loops) to and from the messages that a MetaGraph's collections hold.
 * Without them TensorFlow cannot differentiate an imported conditional. Start at `readCondContext`.
 *
 * @see TensorFlow python/ops/control_flow_ops.py "CondContext.to_proto", "_init_from_proto"
 */

import { create } from "@bufbuild/protobuf";
import { VarscopeError } from "../../base/index.ts";
import { CondContext, type ControlFlowContext, type Graph, type Operation } from "../../graph/index.ts";
import {
  type CondContextDef,
  CondContextDefSchema,
  type ControlFlowContextDef,
  ControlFlowContextDefSchema,
  type ValuesDef,
  ValuesDefSchema,
  type WhileContextDef,
} from "../../proto/control-flow.gen.ts";

/** A loop of TensorFlow 1, kept as it was read. New ops cannot be made inside it. */
export class WhileContext implements ControlFlowContext {
  readonly name: string;
  readonly outer: ControlFlowContext | null;
  readonly def: WhileContextDef;

  constructor(def: WhileContextDef, outer: ControlFlowContext | null) {
    this.name = def.contextName;
    this.outer = outer;
    this.def = def;
  }

  addOp(op: Operation): void {
    throw new VarscopeError("UNIMPLEMENTED", `ops cannot be added to the loop '${this.name}'`, {
      at: op.name,
    });
  }
}

/**
 * The context of a branch; its ops know of it from now on.
 *
 * @throws VarscopeError NOT_FOUND - names that the graph does not have
 */
export function readCondContext(
  graph: Graph,
  def: CondContextDef,
  outer: ControlFlowContext | null = null,
): CondContext {
  const pred = graph.output(def.predName);
  const pivot = graph.output(def.pivotName);
  const context = new CondContext(def.contextName, pred, pivot, def.branch === 0 ? 0 : 1, outer);
  for (const name of def.valuesDef?.values ?? []) context.values.add(name);
  for (const [name, inside] of Object.entries(def.valuesDef?.externalValues ?? {})) {
    context.external.set(name, graph.output(inside));
  }
  claimOps(graph, def.valuesDef, context);
  for (const nested of def.nestedContexts) readNested(graph, nested, context);
  return context;
}

/** The context of a loop. */
export function readWhileContext(
  graph: Graph,
  def: WhileContextDef,
  outer: ControlFlowContext | null = null,
): WhileContext {
  const context = new WhileContext(def, outer);
  claimOps(graph, def.valuesDef, context);
  for (const nested of def.nestedContexts) readNested(graph, nested, context);
  return context;
}

function readNested(graph: Graph, { ctxt }: ControlFlowContextDef, outer: ControlFlowContext): void {
  if (ctxt.case === "condCtxt") readCondContext(graph, ctxt.value, outer);
  if (ctxt.case !== "whileCtxt") return;
  const inner = readWhileContext(graph, ctxt.value, outer);
  if (outer instanceof CondContext) outer.nested.push(inner);
}

/** Ops whose values the context has, and that do not come from outside, belong to it. */
function claimOps(graph: Graph, values: ValuesDef | undefined, context: ControlFlowContext): void {
  const external = values?.externalValues ?? {};
  for (const name of values?.values ?? []) {
    if (Object.hasOwn(external, name)) continue;
    const op = graph.findOperation(name.replace(/:\d+$/, ""));
    if (op === undefined) {
      throw new VarscopeError(
        "NOT_FOUND",
        `context '${context.name}' names '${name}', which is not in the graph`,
      );
    }
    op.context = context;
  }
}

/** The message of a branch's context. */
export function writeCondContext(context: CondContext): CondContextDef {
  return create(CondContextDefSchema, {
    contextName: context.name,
    predName: context.pred.name,
    pivotName: context.pivot.name,
    branch: context.branch,
    valuesDef: create(ValuesDefSchema, {
      values: [...context.values].sort(),
      externalValues: Object.fromEntries([...context.external].map(([k, v]) => [k, v.name])),
    }),
    nestedContexts: context.nested.map((c) => create(ControlFlowContextDefSchema, { ctxt: nestedDef(c) })),
  });
}

function nestedDef(context: ControlFlowContext): ControlFlowContextDef["ctxt"] {
  if (context instanceof CondContext) return { case: "condCtxt", value: writeCondContext(context) };
  if (context instanceof WhileContext) return { case: "whileCtxt", value: context.def };
  throw new VarscopeError("INTERNAL", `context '${context.name}' is of no kind that a MetaGraph holds`);
}

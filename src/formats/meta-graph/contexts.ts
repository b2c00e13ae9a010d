/**
 * @file Contexts of conditionals and loops to and from the messages that a MetaGraph's collections hold. Without them TensorFlow cannot
 * differentiate an imported conditional or loop. Start at `readCondContext`.
 *
 * @see TensorFlow python/ops/control_flow_ops.py "to_proto", "_init_from_proto"
 */

import { create } from "@bufbuild/protobuf";
import { VarscopeError } from "../../base/index.ts";
import {
  CondContext,
  type ControlFlowContext,
  type Graph,
  type Output,
  WhileContext,
} from "../../graph/index.ts";
import {
  type CondContextDef,
  CondContextDefSchema,
  type ControlFlowContextDef,
  ControlFlowContextDefSchema,
  type ValuesDef,
  ValuesDefSchema,
  type WhileContextDef,
  WhileContextDefSchema,
} from "../../proto/control-flow.gen.ts";
import { asIs, outOfScope, type Respell } from "./scope.ts";

/**
 * The context of a branch; its ops know of it from now on.
 *
 * @param spell - a name of the message as it is in the graph
 * @throws VarscopeError NOT_FOUND - names that the graph does not have
 */
export function readCondContext(
  graph: Graph,
  def: CondContextDef,
  outer: ControlFlowContext | null = null,
  spell: Respell = asIs,
): CondContext {
  const pred = graph.output(spell(def.predName));
  const pivot = graph.output(spell(def.pivotName));
  const context = new CondContext(spell(def.contextName), pred, pivot, def.branch === 0 ? 0 : 1, outer);
  readValues(graph, def.valuesDef, context, spell);
  for (const nested of def.nestedContexts) readNested(graph, nested, context, spell);
  return context;
}

/**
 * The context of a loop; its ops know of it from now on. In another scope than the message says, the loop's frame is named after that.
 *
 * @throws VarscopeError NOT_FOUND - names that the graph does not have
 */
export function readWhileContext(
  graph: Graph,
  def: WhileContextDef,
  outer: ControlFlowContext | null = null,
  spell: Respell = asIs,
): WhileContext {
  const output = (name: string): Output => graph.output(spell(name));
  const facts = {
    parallelIterations: def.parallelIterations,
    backProp: def.backProp,
    swapMemory: def.swapMemory,
    maximumIterations: def.maximumIterationsName === "" ? null : output(def.maximumIterationsName),
    pivot: output(def.pivotName),
    pivotForPred: output(def.pivotForPredName),
    pivotForBody: output(def.pivotForBodyName),
    enters: def.loopEnterNames.map(output),
    exits: def.loopExitNames.map(output),
  };
  const context = new WhileContext(spell(def.contextName), facts, outer);
  readValues(graph, def.valuesDef, context, spell);
  if (context.name !== def.contextName) renameFrame(graph, def.contextName, context);
  for (const nested of def.nestedContexts) readNested(graph, nested, context, spell);
  return context;
}

/** The Enter ops of a loop say which frame they lead into. */
function renameFrame(graph: Graph, old: string, { name, values }: WhileContext): void {
  for (const value of values) {
    const op = graph.findOperation(value.replace(/:\d+$/, ""));
    if (op?.attrs.frame_name === old) op.setAttr("frame_name", name);
  }
}

function readNested(
  graph: Graph,
  { ctxt }: ControlFlowContextDef,
  outer: CondContext | WhileContext,
  spell: Respell,
): void {
  if (ctxt.case === undefined) return;
  const inner =
    ctxt.case === "condCtxt"
      ? readCondContext(graph, ctxt.value, outer, spell)
      : readWhileContext(graph, ctxt.value, outer, spell);
  if (!outer.nested.includes(inner)) outer.nested.push(inner); // a branch in a branch has entered itself
}

/** Ops whose values the context has, and that do not come from outside, belong to it. */
function readValues(
  graph: Graph,
  def: ValuesDef | undefined,
  context: CondContext | WhileContext,
  spell: Respell,
): void {
  for (const [name, inside] of Object.entries(def?.externalValues ?? {})) {
    context.external.set(spell(name), graph.output(spell(inside)));
  }
  for (const name of (def?.values ?? []).map(spell)) {
    context.values.add(name);
    if (context.external.has(name)) continue;
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

/** What is outside of an exported scope is no value that a reader could find. */
function writeValues({ values, external }: CondContext | WhileContext, scope: string): ValuesDef {
  const spell = outOfScope(scope);
  const isThere = (name: string): boolean => scope === "" || name.startsWith(`${scope}/`);
  return create(ValuesDefSchema, {
    values: [...values].filter(isThere).sort().map(spell),
    externalValues: Object.fromEntries(
      [...external].filter(([k]) => isThere(k)).map(([k, v]) => [spell(k), spell(v.name)]),
    ),
  });
}

/** The message of a branch's context. @param scope - the name scope that is exported alone: "", all */
export function writeCondContext(context: CondContext, scope = ""): CondContextDef {
  const spell = outOfScope(scope);
  return create(CondContextDefSchema, {
    contextName: spell(context.name),
    predName: spell(context.pred.name),
    pivotName: spell(context.pivot.name),
    branch: context.branch,
    valuesDef: writeValues(context, scope),
    nestedContexts: context.nested.map((c) => nestedDef(c, scope)),
  });
}

/** The message of a loop's context. */
export function writeWhileContext(context: WhileContext, scope = ""): WhileContextDef {
  const spell = outOfScope(scope);
  const { facts } = context;
  const nameOf = (x: Output): string => spell(x.name);
  return create(WhileContextDefSchema, {
    contextName: spell(context.name),
    parallelIterations: facts.parallelIterations,
    backProp: facts.backProp,
    swapMemory: facts.swapMemory,
    pivotName: nameOf(facts.pivot),
    pivotForPredName: nameOf(facts.pivotForPred),
    pivotForBodyName: nameOf(facts.pivotForBody),
    loopExitNames: facts.exits.map(nameOf),
    loopEnterNames: facts.enters.map(nameOf),
    maximumIterationsName: facts.maximumIterations === null ? "" : nameOf(facts.maximumIterations),
    valuesDef: writeValues(context, scope),
    nestedContexts: context.nested.map((c) => nestedDef(c, scope)),
  });
}

/** TensorFlow 2.21 forgets to take the scope off nested contexts, and cannot import what it then wrote; here they lose it too. */
function nestedDef(context: ControlFlowContext, scope: string): ControlFlowContextDef {
  if (context instanceof CondContext) {
    const value = writeCondContext(context, scope);
    return create(ControlFlowContextDefSchema, { ctxt: { case: "condCtxt", value } });
  }
  if (context instanceof WhileContext) {
    const value = writeWhileContext(context, scope);
    return create(ControlFlowContextDefSchema, { ctxt: { case: "whileCtxt", value } });
  }
  throw new VarscopeError("INTERNAL", `context '${context.name}' is of no kind that a MetaGraph holds`);
}

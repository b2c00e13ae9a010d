/**
 * @file Calls of functions on the way from xs to ys: before anything is differentiated, the function's ops take the call's place. The call's op
 * stays and hands on their results, so that names and fetches hold, and a run computes everything once. Conditionals become Switch and Merge,
 * loops frames, in the contexts that their gradients need. Start at `unfoldCalls`.
 *
 * @see TensorFlow core/common_runtime/inline_function_utils.h "KeepCallerNode"
 */

import { type DType, isCompatible, mergeShapes, type Shape, tensor, VarscopeError } from "../base/index.ts";
import {
  type CustomGradient,
  cond,
  type FuncValue,
  type Graph,
  groupArgs,
  type Input,
  inferOutputs,
  type Operation,
  Output,
  WhileContext,
  whileLoop,
  withContext,
} from "../graph/index.ts";
import { type Body, functionBody } from "../run/control/function-body.ts";
import { customGradient, gradientType, isOf, noteGradient } from "./custom.ts";
import { isTrainable, opsBetween } from "./reach.ts";

/** Functions that call each other deeper than this call themselves without end. */
const MAX_DEPTH = 100;
/** What calls may add to a graph: a few functions that call each other twice could make more ops than any memory holds. */
const MAX_OPS = 300_000;

/**
 * Puts the ops of functions in the place of the calls, conditionals and functional loops between `from` and `to`.
 *
 * @param stops - ops that are not differentiated
 * @throws VarscopeError NOT_FOUND - a function or op that is not there; INVALID_ARGUMENT - one that does not fit its call; UNIMPLEMENTED - one
 *   that calls itself, or holds a loop of TensorFlow 1; RESOURCE_EXHAUSTED - too many ops. The graph then is as it was, up to calls before
 */
export function unfoldCalls(
  graph: Graph,
  to: readonly Operation[],
  from: readonly Operation[],
  stops: readonly Operation[],
): void {
  const { between } = opsBetween(to, from);
  const isOnWay = (op: Operation): boolean =>
    isCall(op) && !stops.includes(op) && op.inputs.some((x) => isTrainable(x.dtype) && between.has(x.op));
  const calls = [...between].filter(isOnWay);
  if (calls.length === 0 || [...between].some(isLost)) return;
  const unfolding = new Unfolding(graph);
  for (const op of calls) unfolding.unfold(op);
}

const KINDS = new Set(["call", "if", "case", "loop"]);

const isCall = (op: Operation): boolean =>
  op.def === undefined ? op.graph.functions.has(op.type) : KINDS.has(op.def.control ?? "");

/** An exit of a loop of which nothing is known: no gradient goes through it, as an error will say. */
const isLost = (op: Operation): boolean =>
  op.def?.control === "exit" && !(op.context instanceof WhileContext);

/** What a function gives, and what must run besides. */
interface Made {
  readonly results: readonly Output[];
  readonly effects: readonly Operation[];
}

const func = (op: Operation, name: string): FuncValue => op.attrs[name] as unknown as FuncValue;

export class Unfolding {
  private readonly graph: Graph;
  /** functions that are being copied, each called by the one before */
  private readonly open: Copies[] = [];
  private left = MAX_OPS;

  constructor(graph: Graph) {
    this.graph = graph;
  }

  /** The results of a function, called in the context and name scope that are open. */
  results(func: string, args: readonly Output[], at: string): readonly Output[] {
    return this.copy({ func, attrs: {} }, args, null, at).results;
  }

  /** One call of the graph. */
  unfold(op: Operation): void {
    const { graph } = this;
    const count = graph.operations.length;
    const make = (): Made =>
      graph.nameScope(`${op.name}/`, (scope) =>
        graph.controlDependencies(op.controlInputs, () => {
          const { results, effects } = this.call(op, op.inputs, scope);
          return { results: results.map((x, i) => this.handedOn(op.output(i), x)), effects };
        }),
      );
    try {
      const inPlace = (): Made => withContext(graph, op.context, make);
      const { results, effects } = graph.controlDependencies(null, () =>
        graph.withDevice(null, () => graph.colocateWith(null, inPlace, true)),
      );
      op.handOn(results, effects);
      for (const [i, y] of op.outputs.entries())
        if (!isCompatible(y.shape, results[i]!.shape)) y.shape = null;
      inferOutputs(op);
    } catch (e) {
      graph.takeBack(count);
      throw e;
    }
  }

  /** Who takes a variable from a call takes the variable itself: TensorFlow differentiates no op that hands on handles. */
  private handedOn(from: Output, to: Output): Output {
    if (to.dtype !== "resource") return to;
    for (const user of [...from.op.consumers])
      for (const [i, x] of user.inputs.entries()) if (x === from) user.replaceInput(i, to);
    return this.graph.constant(true, { name: "handle" });
  }

  /** @param scope - name scope of what is made, which is open */
  private call(op: Operation, args: readonly Output[], scope: string): Made {
    switch (op.def?.control) {
      case "if":
        return this.choose(op, args, scope);
      case "case":
        return this.chooseOne(op, args, scope);
      case "loop":
        return this.loop(op, args, scope);
      case undefined:
        return this.copy({ func: op.type, attrs: op.attrs }, args, null, op.name);
      default:
        return this.copy(func(op, "f"), args, typesOf(op), op.name);
    }
  }

  private choose(op: Operation, [pred, ...args]: readonly Output[], scope: string): Made {
    const side = (name: string) => () => this.branch(func(op, name), args, op);
    return joined(cond(asBool(pred!), side("then_branch"), side("else_branch"), { name: scope }), op);
  }

  private chooseOne(op: Operation, [index, ...args]: readonly Output[], scope: string): Made {
    const branches = op.attrs.branches as unknown as readonly FuncValue[];
    const from = (i: number, name: string): readonly (Output | Operation)[] => {
      if (i === branches.length - 1) return this.branch(branches[i]!, args, op);
      const isThis = this.graph.add("Equal", [index!, tensor(i, "int32")]);
      const chosen = cond(
        isThis,
        () => this.branch(branches[i]!, args, op),
        () => from(i + 1, "cond"),
        { name },
      );
      return chosen instanceof Output ? [chosen] : chosen;
    };
    return joined(from(0, scope) as readonly Output[], op);
  }

  /** Results of a branch, after its effects; of one without results, an op that stands for it. */
  private branch(f: FuncValue, args: readonly Output[], op: Operation): readonly (Output | Operation)[] {
    const { results, effects } = this.copy(f, args, typesOf(op), op.name);
    if (results.length > 0) return this.after(effects, results);
    return [this.graph.addOp("NoOp", [], { name: "done", controlInputs: effects })];
  }

  private after(effects: readonly Operation[], results: readonly Output[]): readonly Output[] {
    if (effects.length === 0) return results;
    const { graph } = this;
    return results.map((x) =>
      x.dtype === "resource" ? x : graph.add("Identity", [x], { controlInputs: effects }),
    );
  }

  private loop(op: Operation, args: readonly Output[], scope: string): Made {
    const { graph } = this;
    const types = typesOf(op);
    const body = functionBody(graph, func(op, "body").func, func(op, "body").attrs, op.name);
    // what a round gives back as it is, the loop reads from outside; lists go round, since their gradients are added up by going round
    const goesRound = args.map((x, i) => body.results[i] !== body.args[i] || x.dtype === "variant");
    const rounds = <X>(xs: readonly X[]): X[] => xs.filter((_, i) => goesRound[i]);
    if (!goesRound.includes(true)) {
      throw new VarscopeError("INVALID_ARGUMENT", "a loop whose body changes nothing never ends", {
        at: op.name,
      });
    }
    const all = (values: readonly Output[]): Output[] => {
      const next = values[Symbol.iterator]();
      return args.map((x, i) => (goesRound[i] ? (next.next().value as Output) : x));
    };
    const shapes = op.outputs.map((y, i) => commonShape(y.shape, args[i]!.shape));
    const go = (...values: Output[]): Output => {
      const { results, effects } = this.copy(func(op, "cond"), all(values), ["bool"], op.name);
      return this.after(effects, [asBool(results[0]!)])[0]!;
    };
    const turn = (...values: Output[]): Output[] => {
      const { results, effects } = this.copy(func(op, "body"), all(values), types, op.name);
      const after = this.after(effects, results);
      keepShapes(
        after,
        shapes.map((shape) => ({ shape })),
      );
      return rounds(after);
    };
    const parallelIterations = Number(op.attrs.parallel_iterations ?? 10);
    const last = whileLoop(graph, go, turn, rounds(args), {
      name: scope,
      parallelIterations,
      shapeInvariants: rounds(shapes),
    });
    return { results: all(last), effects: [] };
  }

  /** The ops of a function, in the name scope and context that are open. */
  private copy(
    { func: name, attrs }: FuncValue,
    args: readonly Output[],
    types: readonly DType[] | null,
    at: string,
  ): Made {
    const body = functionBody(this.graph, name, attrs, at);
    checkFit(
      body.args,
      args.map((x) => x.dtype),
      `arguments of function ${name}`,
      at,
    );
    if (types !== null) checkFit(body.results, types, `results of function ${name}`, at);
    if (this.open.length >= MAX_DEPTH) {
      throw new VarscopeError("UNIMPLEMENTED", `functions call each other more than ${MAX_DEPTH} deep`, {
        at: at.slice(0, 200),
        hint: "a function that calls itself has no gradient here",
      });
    }
    const copies = new Copies(name, body, args);
    this.open.push(copies);
    for (const op of neededOf(body, this.capturedIn(name))) this.place(op, copies);
    for (const op of copies.custom) {
      const gradient = customGradient(this.graph, op);
      const values = gradient && this.valuesFor(gradient);
      if (gradient && values) noteGradient(op, gradient, values);
    }
    this.open.pop();
    return {
      results: body.results.map((x) => copies.output(x)),
      effects: copies.operations(body.controls),
    };
  }

  /** What gradients of ops inside need of the function's values. */
  private capturedIn(func: string): string[] {
    const gradients = [...this.graph.customGradients.values()];
    return gradients.flatMap((g) => (g?.captured ?? []).filter(isOf(func)).map((x) => x.output));
  }

  private valuesFor({ captured }: CustomGradient): Output[] | null {
    const values = captured.map((x) =>
      x instanceof Output ? x : this.open.findLast((c) => c.func === x.func)?.named(x.output),
    );
    return values.includes(undefined) ? null : (values as Output[]);
  }

  private place(op: Operation, copies: Copies): void {
    const { graph } = this;
    if (--this.left < 0) {
      throw new VarscopeError("RESOURCE_EXHAUSTED", `functions make more than ${MAX_OPS} ops`, {
        at: op.name,
      });
    }
    const inputs = op.inputs.map((x) => copies.output(x));
    const controlInputs = copies.operations(op.controlInputs);
    if (isCall(op)) {
      const make = (scope: string): Made => this.call(op, inputs, scope);
      const made = graph.controlDependencies(controlInputs, () => graph.nameScope(op.name, make));
      copies.set(op, made.results, [...made.effects, ...made.results.map((x) => x.op)]);
      return;
    }
    if (op.def?.control === "enter") {
      throw new VarscopeError(
        "UNIMPLEMENTED",
        "no gradient through a function that holds a loop of TensorFlow 1",
        {
          at: op.name,
        },
      );
    }
    const def = op.needDef();
    const known = Object.entries(op.attrs).filter(
      ([key]) => key in def.attrs || (key.startsWith("_") && !PLACES.has(key)),
    );
    const copy = graph.addOp(def, Object.values(groupArgs(def.inputs, op.attrs, inputs)) as Input[], {
      name: op.name,
      attrs: Object.fromEntries(known),
      controlInputs,
      ...(op.device === "" ? {} : { device: op.device }),
    });
    keepShapes(copy.outputs, op.outputs);
    copies.set(op, copy.outputs, [copy]);
    if (gradientType(op) !== undefined) copies.custom.push(copy);
  }
}

/** Attributes that speak of the function's own graph. */
const PLACES = new Set(["_class", "_output_shapes"]);

/** What stands in the graph for the ops of a function. */
class Copies {
  readonly func: string;
  /** ops that bring their gradient along */
  readonly custom: Operation[] = [];
  private readonly body: Body;
  private readonly outputs = new Map<Output, Output>();
  private readonly ops = new Map<Operation, readonly Operation[]>();

  constructor(func: string, body: Body, args: readonly Output[]) {
    this.func = func;
    this.body = body;
    for (const [i, x] of body.args.entries()) this.set(x.op, [args[i]!], []);
  }

  set(op: Operation, outputs: readonly Output[], ops: readonly Operation[]): void {
    for (const [i, x] of outputs.entries()) this.outputs.set(op.output(i), x);
    this.ops.set(op, ops);
  }

  output(x: Output): Output {
    const found = this.outputs.get(x);
    if (found !== undefined) return found;
    throw new VarscopeError("INVALID_ARGUMENT", `output ${x.index} does not exist`, { at: x.op.name });
  }

  /** What stands for `mul:0` of the function. */
  named(name: string): Output | undefined {
    return this.outputs.get(outputNamed(this.body, name) as Output);
  }

  operations(ops: readonly Operation[]): Operation[] {
    return [...new Set(ops.flatMap((op) => this.ops.get(op) ?? []))];
  }
}

const outputNamed = ({ graph }: Body, name: string): Output | undefined => {
  const [op = "", index = "0"] = name.split(":");
  return graph.findOperation(op)?.outputs[Number(index)];
};

/** The ops that results, effects and other outputs need, arguments aside, each after what it needs. */
function neededOf(body: Body, others: readonly string[]): Operation[] {
  const { graph, args, results, controls } = body;
  const outputs = [...results, ...others.flatMap((name) => outputNamed(body, name) ?? [])];
  const needed = new Set<Operation>([...outputs.map((x) => x.op), ...controls]);
  for (const op of needed)
    for (const x of [...op.inputs.map((y) => y.op), ...op.controlInputs]) needed.add(x);
  for (const x of args) needed.delete(x.op);
  return graph.operations.filter((op) => needed.has(op));
}

const typesOf = (op: Operation): DType[] => op.outputs.map((x) => x.dtype);

/** Results of a conditional; of one without, its effects. */
function joined(given: Output | readonly Output[], op: Operation): Made {
  const results = given instanceof Output ? [given] : given;
  return op.outputs.length > 0
    ? { results, effects: [] }
    : { results: [], effects: results.map((x) => x.op) };
}

/** Numbers are true where they are not 0, strings where they are not empty. */
const asBool = (x: Output): Output =>
  x.dtype === "bool" ? x : x.graph.add("NotEqual", [x, tensor(x.dtype === "string" ? "" : 0, x.dtype)]);

function keepShapes(
  to: readonly Output[],
  from: readonly { readonly shape: Shape | null; readonly handle?: Output["handle"] }[],
): void {
  for (const [i, { shape, handle }] of from.entries()) {
    const y = to[i]!;
    if (isCompatible(y.shape, shape)) y.shape = mergeShapes(y.shape, shape);
    y.handle ??= handle ?? null;
  }
}

/** The dims that two shapes agree on. */
const commonShape = (a: Shape | null, b: Shape | null): Shape | null =>
  a === null || b === null || a.length !== b.length ? null : a.map((d, i) => (d === b[i] ? d : null));

function checkFit(found: readonly Output[], wanted: readonly DType[], what: string, at: string): void {
  const fits = (x: Output, i: number): boolean =>
    x.dtype === wanted[i] || wanted[i] === "invalid" || x.dtype === "invalid";
  if (found.length === wanted.length && found.every(fits)) return;
  throw new VarscopeError(
    "INVALID_ARGUMENT",
    `${what}: ${found.length} (${found
      .slice(0, 8)
      .map((x) => x.dtype)
      .join(", ")}), its caller has ${wanted.length} (${wanted.slice(0, 8).join(", ")})`,
    { at },
  );
}

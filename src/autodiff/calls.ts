/**
 * @file Calls of functions on the way from xs to ys: before anything is differentiated, the function's ops take the call's place. The call's op
 * stays and hands on their results, so that names and fetches hold, and a run computes everything once. Conditionals become Switch and Merge,
 * loops frames, in the contexts that their gradients need. Start at `unfoldCalls`.
 *
 * @see TensorFlow core/common_runtime/inline_function_utils.h "KeepCallerNode"
 */

import { type DType, isCompatible, type Tensor, tensor, VarscopeError } from "../base/index.ts";
import {
  COND_CONTEXT,
  type CondItem,
  type CustomGradient,
  cond,
  type FuncValue,
  type Graph,
  groupArgs,
  type Input,
  inferOutputs,
  type Operation,
  Output,
  WHILE_CONTEXT,
  WhileContext,
  whileLoop,
  withContext,
} from "../graph/index.ts";
import { functionBody } from "../run/control/function-body.ts";
import { checkFit } from "../run/control/inline.ts";
import { Copies, commonShape, keepShapes, neededOf } from "./copies.ts";
import { customGradient, gradientType, noteGradient } from "./custom.ts";
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

/** Copies functions into a graph. */
export class Unfolding {
  private readonly graph: Graph;
  /** functions that are being copied, each called by the one before */
  private readonly open: Copies[] = [];
  /** what gradients of ops inside need of a function's values, by function */
  private readonly captured = new Map<string, string[]>();
  private left = MAX_OPS;

  constructor(graph: Graph) {
    this.graph = graph;
    for (const gradient of graph.customGradients.values())
      for (const x of gradient?.captured ?? []) if ("func" in x) this.capturedIn(x.func).push(x.output);
  }

  private capturedIn(func: string): string[] {
    const list = this.captured.get(func) ?? [];
    this.captured.set(func, list);
    return list;
  }

  /** The results of a function, called in the context and name scope that are open. */
  results(func: string, args: readonly Output[], at: string): readonly Output[] {
    return this.copy({ func, attrs: {} }, args, null, at).results;
  }

  /** One call of the graph. */
  unfold(op: Operation): void {
    const { graph } = this;
    const takeBack = remember(graph, op);
    const make = (): Made =>
      graph.nameScope(`${op.name}/`, (scope) =>
        graph.controlDependencies(op.controlInputs, () => {
          const { results, effects } = this.call(op, op.inputs, scope);
          return { results: results.map((x, i) => this.handedOn(op.output(i), x)), effects };
        }),
      );
    try {
      const onDevice = (): Made => (op.device === "" ? make() : graph.withDevice(op.device, make));
      const inPlace = (): Made => withContext(graph, op.context, onDevice);
      const { results, effects } = graph.controlDependencies(null, () =>
        graph.withDevice(null, () => graph.colocateWith(null, inPlace, true)),
      );
      op.handOn(results, effects);
      for (const [i, y] of op.outputs.entries())
        if (!isCompatible(y.shape, results[i]!.shape)) y.shape = null;
      inferOutputs(op);
    } catch (e) {
      takeBack();
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

  /** Halves the branches until one is left; an index out of range is the last. */
  private chooseOne(op: Operation, [index, ...args]: readonly Output[], scope: string): Made {
    const { graph } = this;
    const branches = op.attrs.branches as unknown as readonly FuncValue[];
    const int = (value: number): Tensor => tensor(value, "int32");
    const from = (low: number, high: number, at: Output, name: string): CondItem[] => {
      if (high - low === 1) return this.branch(branches[low]!, args, op);
      const middle = Math.floor((low + high) / 2);
      const side = (a: number, b: number) => () => from(a, b, at, "cond");
      const isLow = graph.add("Less", [at, int(middle)]);
      const chosen = cond(isLow, side(low, middle), side(middle, high), { name });
      return chosen instanceof Output ? [chosen] : chosen;
    };
    const isBelow = graph.add("Less", [index!, int(0)]);
    const at = graph.add("SelectV2", [isBelow, int(branches.length - 1), index!]);
    return joined(from(0, branches.length, at, scope) as Output[], op);
  }

  /** Results of a branch, after its effects; of one without results, an op that stands for it. */
  private branch(f: FuncValue, args: readonly Output[], op: Operation): CondItem[] {
    this.spend(op.name, 256 + 8 * op.outputs.length); // Switches, pivots and Merges in contexts of their own
    const { results, effects } = this.copy(f, args, typesOf(op), op.name);
    if (results.length > 0) return this.after(effects, results);
    return [this.graph.addOp("NoOp", [], { name: "done", controlInputs: effects })];
  }

  private after(effects: readonly Operation[], results: readonly Output[]): Output[] {
    if (effects.length === 0) return [...results];
    const { graph } = this;
    return results.map((x) =>
      x.dtype === "resource" ? x : graph.add("Identity", [x], { controlInputs: effects }),
    );
  }

  private loop(op: Operation, args: readonly Output[], scope: string): Made {
    const { graph } = this;
    this.spend(op.name, 16 * args.length);
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
    const isStated = (op.attrs.output_shapes as readonly unknown[]).length > 0;
    const shapes = op.outputs.map((y, i) =>
      commonShape(isStated ? y.shape : body.results[i]!.shape, args[i]!.shape),
    );
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

  private valuesFor({ captured }: CustomGradient): Output[] | null {
    const values = captured.map((x) =>
      x instanceof Output ? x : this.open.findLast((c) => c.func === x.func)?.named(x.output),
    );
    return values.includes(undefined) ? null : (values as Output[]);
  }

  /** Counts an op, with its name and control edges; the deeper it lies, the more names and contexts take note of it. */
  private spend(name: string, edges: number): void {
    this.left -=
      1 + Math.floor(edges / 4) + Math.floor(name.length / 256) + Math.floor(this.open.length ** 2 / 16);
    if (this.left >= 0) return;
    throw new VarscopeError("RESOURCE_EXHAUSTED", `functions make more than ${MAX_OPS} ops`, {
      at: name.split("/", 1)[0]!.slice(0, 200),
      hint: "they call each other too often; no program needs that",
    });
  }

  private place(op: Operation, copies: Copies): void {
    const { graph } = this;
    const inputs = op.inputs.map((x) => copies.output(x));
    const controlInputs = copies.operations(op.controlInputs);
    if (isCall(op)) {
      const make = (scope: string): Made => {
        this.spend(scope, controlInputs.length + inputs.length);
        return this.call(op, inputs, scope);
      };
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
    this.spend(copy.name, controlInputs.length);
    keepShapes(copy.outputs, op.outputs);
    copies.set(op, copy.outputs, [copy]);
    if (gradientType(op) !== undefined) copies.custom.push(copy);
  }
}

/** Gives back a graph as it is now. */
function remember(graph: Graph, { context }: Operation): () => void {
  const count = graph.operations.length;
  const lists = [graph.collections.get(COND_CONTEXT), graph.collections.get(WHILE_CONTEXT), context?.nested];
  const lengths = lists.map((list) => list?.length);
  return () => {
    graph.takeBack(count);
    for (const [i, list] of lists.entries()) list?.splice(lengths[i]!);
    for (const [i, key] of [COND_CONTEXT, WHILE_CONTEXT].entries())
      if (lists[i] === undefined) graph.collections.delete(key);
  };
}

/** Attributes that speak of the function's own graph. */
const PLACES = new Set(["_class", "_output_shapes"]);

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

/**
 * @file Copies ops of a graph into another, with the ops of functions in the place of their calls: conditionals become Switch and Merge, loops
 * of both styles one `While` whose sides are graphs. Start at `Level.emit`; `expand.ts` is what others use.
 *
 * @see TensorFlow core/common_runtime/inline_function_utils.cc, lower_if_op.cc, lower_case_op.cc
 */

import { type DType, VarscopeError } from "../../base/index.ts";
import type { Attrs, ControlKind, FuncValue, Graph, Operation, Output } from "../../graph/index.ts";
import { lowerChoice, lowerConditional } from "./conditional.ts";
import { copyOutputs } from "./copy.ts";
import { type Frame, type Frames, findFrames } from "./frames.ts";
import { type Body, functionBody, resultTypes } from "./function-body.ts";
import { labelOf } from "./loop.ts";
import { lowerLoop } from "./lower-loop.ts";
import { makeFrame, makeLoop } from "./make-loop.ts";

/** Functions that call each other deeper than this call themselves without end. */
const MAX_DEPTH = 100;
/** What calls and loops add to a graph: a few functions that call each other twice could make more ops than any memory holds. */
const MAX_OPS = 300_000;
/** These cost about as much as one op. */
const CONTROL_EDGES = 4;
const NAME_CHARACTERS = 256;
/** A graph of its own costs about as much as so many ops. */
const GRAPH = 16;

/** What may still be made, in ops, by all that copies one graph; bodies that were counted. */
interface Budget {
  left: number;
  readonly bodies: Set<Body>;
}

/** What becomes of loops: one op each, to be run; as they are; or, of functional ones, TensorFlow 1's frames. */
export type LoopStyle = "run" | "keep" | "lower";

/** Where ops are copied to. */
export class Inliner {
  readonly target: Graph;
  readonly library: Graph;
  readonly loops: LoopStyle;
  private readonly budget: Budget;
  /** the number that was given last, by name */
  private readonly numbers = new Map<string, number>();

  constructor(target: Graph, library: Graph, loops: LoopStyle, budget?: Budget) {
    this.target = target;
    this.library = library;
    this.loops = loops;
    this.budget = budget ?? { left: library.operations.length + MAX_OPS, bodies: new Set() };
  }

  /** Copies into another graph: the side of a loop. */
  into(target: Graph): Inliner {
    const inner = new Inliner(target, this.library, this.loops, this.budget);
    inner.take(GRAPH, "");
    return inner;
  }

  /** `name`, or with a number behind it where that is taken. */
  fresh(name: string): string {
    if (this.target.findOperation(name) === undefined) return name;
    let i = this.numbers.get(name) ?? 1;
    while (this.target.findOperation(`${name}_${i}`) !== undefined) i++;
    this.numbers.set(name, i);
    return `${name}_${i}`;
  }

  /** Counts an op, its name and its control edges. @throws VarscopeError RESOURCE_EXHAUSTED - functions make too many */
  spend(name: string, edges = 0): void {
    this.take(1 + Math.floor(edges / CONTROL_EDGES) + Math.floor(name.length / NAME_CHARACTERS), name);
  }

  private take(ops: number, name: string): void {
    this.budget.left -= ops;
    if (this.budget.left >= 0) return;
    throw new VarscopeError("RESOURCE_EXHAUSTED", `functions and loops make more than ${MAX_OPS} ops`, {
      at: this.outermost(name),
      hint: "they call each other too often; no program needs that",
    });
  }

  /** The first part of a name, which people know; the rest may be very long. */
  private outermost(name: string): string {
    return `${labelOf(this.target)}${name}`.split("/", 1)[0]!.slice(0, 200);
  }

  /**
   * The body of a function.
   *
   * @param results - dtypes that it must give; null where that is not known
   * @throws VarscopeError as `functionBody`; INVALID_ARGUMENT - it gives something else
   */
  body({ func, attrs }: FuncValue, results: readonly DType[] | null, at: string): Body {
    const body = functionBody(this.library, func, attrs, at);
    if (results !== null) checkFit(body.results, results, `results of function ${func}`, at);
    if (!this.budget.bodies.has(body)) this.take(body.graph.operations.length, at);
    this.budget.bodies.add(body);
    return body;
  }

  /** A new op of the target. */
  node(
    type: string,
    inputs: readonly (Output | readonly Output[])[],
    name: string,
    options: { readonly attrs?: Attrs; readonly controls?: readonly Operation[] } = {},
  ): Operation {
    this.spend(name, options.controls?.length);
    return this.target.addOp(type, inputs, {
      name: `${this.fresh(name)}/`,
      controlInputs: options.controls ?? [],
      ...(options.attrs === undefined ? {} : { attrs: options.attrs }),
    });
  }

  /** The results of a function's body for `args`, and the ops that must run besides. */
  inline(body: Body, args: readonly Output[], scope: Scope): Inlined {
    if (scope.depth > MAX_DEPTH) {
      throw new VarscopeError("UNIMPLEMENTED", `functions call each other more than ${MAX_DEPTH} deep`, {
        at: this.outermost(scope.prefix),
        hint: "a function that calls itself cannot run here",
      });
    }
    checkFit(
      body.args,
      args.map((x) => x.dtype),
      "arguments of a function",
      this.outermost(scope.prefix),
    );
    const level = new Level(this, findFrames(body.graph), null, scope);
    for (const [i, arg] of body.args.entries()) level.stand(arg, args[i]!);
    level.emit([...body.results.map((x) => x.op), ...body.controls]);
    return {
      results: body.results.map((x) => level.output(x)),
      controls: [...new Set(body.controls.flatMap((op) => level.operations(op)))],
    };
  }
}

/** Where a body is copied to. */
export interface Scope {
  /** before the names of its ops */
  readonly prefix: string;
  /** of a branch: alive when it is taken; ops without inputs hang on it */
  readonly pivot: Operation | null;
  /** what runs before */
  readonly controls: readonly Operation[];
  readonly depth: number;
}

export interface Inlined {
  readonly results: readonly Output[];
  readonly controls: readonly Operation[];
}

/** The ops of one graph, or of one frame of it, and what stands for them in the target. */
export class Level {
  readonly inliner: Inliner;
  readonly scope: Scope;
  private readonly frames: Frames;
  private readonly frame: Frame | null;
  private readonly outputs = new Map<Output, Output>();
  private readonly ops = new Map<Operation, readonly Operation[]>();
  private readonly late: { readonly copy: Operation; readonly index: number; readonly from: Output }[] = [];

  constructor(inliner: Inliner, frames: Frames, frame: Frame | null, scope: Scope) {
    this.inliner = inliner;
    this.frames = inliner.loops === "keep" || inliner.loops === "lower" ? new Map() : frames;
    this.frame = frame;
    this.scope = scope;
  }

  /** Puts `output` in the place of `x`, whose op is not copied. */
  stand(x: Output, output: Output): void {
    this.outputs.set(x, output);
    if (!this.ops.has(x.op)) this.ops.set(x.op, []);
  }

  /** What stands for an output. @throws VarscopeError INVALID_ARGUMENT - it lies inside a loop */
  output(x: Output): Output {
    const found = this.outputs.get(x);
    if (found !== undefined) return found;
    const [copy] = x.op.def === undefined ? (this.ops.get(x.op) ?? []) : [];
    if (copy !== undefined) return copy.output(x.index); // an op of unknown type has the outputs that are asked for
    throw new VarscopeError(
      "INVALID_ARGUMENT",
      `Operation '${x.op.name}' has been marked as not fetchable.`,
      { at: x.name, hint: "it is inside a loop; ask for what leaves the loop" },
    );
  }

  /** The ops that run when `op` is asked to run. */
  operations(op: Operation): readonly Operation[] {
    const found = this.ops.get(op);
    if (found !== undefined) return found;
    throw new VarscopeError("INVALID_ARGUMENT", `Operation '${op.name}' has been marked as not fetchable.`, {
      at: op.name,
      hint: "it is inside a loop",
    });
  }

  /** Copies `wanted` and all that they need. */
  emit(wanted: Iterable<Operation>): void {
    this.copyAll([...wanted]);
    for (let i = 0; i < this.late.length; ) {
      const more = this.late.slice(i).map(({ from }) => from.op);
      i = this.late.length;
      this.copyAll(more);
    }
    for (const { copy, index, from } of this.late.splice(0)) {
      const output = this.output(from);
      output.op.consumers.add(copy);
      copy.inputs.splice(index, 0, output);
    }
  }

  private copyAll(wanted: readonly Operation[]): void {
    const entered = new Set<Operation>();
    const stack = wanted.filter((op) => this.isHere(op)).reverse();
    while (stack.length > 0) {
      const op = stack.at(-1)!;
      if (this.ops.has(op)) {
        stack.pop();
      } else if (entered.has(op)) {
        stack.pop();
        this.make(op);
      } else {
        entered.add(op);
        for (const need of this.needs(op)) {
          if (entered.has(need)) throw cycle(need);
          stack.push(need);
        }
      }
    }
  }

  /** Ops inside a loop are copied with the loop. */
  private isHere(op: Operation): boolean {
    const frame = this.frames.get(op) ?? null;
    return frame === this.frame || this.childFrame(op) !== null || this.ops.has(op);
  }

  /** The frame of this level that `op` leaves. */
  private childFrame(op: Operation): Frame | null {
    const frame = this.frames.get(op) ?? null;
    return kindOf(op) === "exit" && frame !== this.frame && frame?.parent === this.frame ? frame : null;
  }

  private needs(op: Operation): Operation[] {
    const left = this.childFrame(op);
    const from = left === null ? [op] : left.enters;
    return from
      .flatMap((x) => [...x.inputs.filter((y) => !isBackEdge(op, y)).map((y) => y.op), ...x.controlInputs])
      .filter((need) => !this.ops.has(need));
  }

  private make(op: Operation): void {
    const left = this.childFrame(op);
    const called = this.inliner.library.functions.has(op.type) && op.def === undefined;
    const kind = called ? "call" : kindOf(op);
    if (left !== null) this.makeFrame(op, left);
    else if (kind === "call") this.makeCall(op, called ? { func: op.type, attrs: op.attrs } : func(op, "f"));
    else if (kind === "if") this.settle(op, lowerConditional(this, op));
    else if (kind === "case") this.settle(op, lowerChoice(this, op));
    else if (kind === "loop" && this.inliner.loops === "run") makeLoop(this, op);
    else if (kind === "loop" && this.inliner.loops === "lower") this.settle(op, lowerLoop(this, op));
    else this.copy(op);
  }

  private makeFrame(exit: Operation, frame: Frame): void {
    makeFrame(this, frame);
    if (this.ops.has(exit)) return;
    throw new VarscopeError(
      "INVALID_ARGUMENT",
      `${exit.type} takes no value of frame '${frame.name}' out of it`,
      {
        at: exit.name,
      },
    );
  }

  /** Control inputs of what is made for `op`. */
  controlsOf(op: Operation): Operation[] {
    return [...new Set(op.controlInputs.flatMap((c) => this.operations(c)))];
  }

  inputsOf(op: Operation): Output[] {
    return op.inputs.map((x) => this.output(x));
  }

  /** The body of a function, inlined for `op`. @param results - as of `Inliner.body` */
  inline(
    op: Operation,
    f: FuncValue,
    args: readonly Output[],
    results: readonly DType[] | null,
    at: Partial<Scope> = {},
  ): Inlined {
    const { scope } = this;
    this.inliner.spend(scope.prefix);
    const body = this.inliner.body(f, results, op.name);
    return this.inliner.inline(body, args, {
      prefix: `${scope.prefix}${op.name}/`,
      pivot: scope.pivot,
      controls: [...scope.controls, ...this.controlsOf(op)],
      depth: scope.depth + 1,
      ...at,
    });
  }

  private makeCall(op: Operation, f: FuncValue): void {
    const { results, controls } = this.inline(op, f, this.inputsOf(op), resultTypes(op));
    const name = `${this.scope.prefix}${op.name}`;
    // who asks for a result gets the function's effects too
    const held = results.map((x) =>
      x.dtype === "resource" || controls.length === 0
        ? x
        : this.inliner.node("Identity", [x], name, { controls }).output(0),
    );
    this.settle(op, { results: held, controls });
  }

  /** `results` stand for the outputs of `op`. */
  settle(op: Operation, { results, controls }: Inlined): void {
    for (const [i, x] of results.entries()) this.outputs.set(op.output(i), x);
    this.ops.set(op, [...new Set([...controls, ...results.map((x) => x.op)])]);
  }

  private copy(op: Operation): void {
    const { scope, inliner } = this;
    const controls = this.controlsOf(op);
    inliner.spend(scope.prefix + op.name, controls.length + scope.controls.length);
    const copy = inliner.target.register(inliner.fresh(scope.prefix + op.name), op.type, op.attrs);
    op.inputs.forEach((x, i) => {
      if (isBackEdge(op, x)) this.late.push({ copy, index: i, from: x });
      else copy.addInput(this.output(x));
    });
    copy.addControlInputs(controls);
    if (copy.inputs.length === 0 && op.controlInputs.length === 0 && scope.pivot !== null)
      copy.addControlInputs([scope.pivot]);
    if (op.def?.stateful === true || copy.inputs.length === 0) copy.addControlInputs(scope.controls);
    copy.device = op.device;
    if (scope.prefix !== "" && op.attrs._class !== undefined) {
      const { _class: _, ...others } = op.attrs; // colocated with names of another graph
      copy.attrs = others;
    }
    copyOutputs(copy, op);
    for (const [i, x] of op.outputs.entries()) this.outputs.set(x, copy.outputs[i]!);
    this.ops.set(op, [copy]);
  }

  /** The same graph inside one of its loops. */
  inFrame(inliner: Inliner, frame: Frame): Level {
    const depth = this.scope.depth + 1;
    if (depth > MAX_DEPTH) {
      throw new VarscopeError("UNIMPLEMENTED", `loops stand in each other more than ${MAX_DEPTH} deep`, {
        at: frame.name,
      });
    }
    return new Level(inliner, this.frames, frame, { prefix: "", pivot: null, controls: [], depth });
  }
}

/** @throws VarscopeError INVALID_ARGUMENT - another number of values, or other dtypes */
export function checkFit(found: readonly Output[], wanted: readonly DType[], what: string, at: string): void {
  const isSame = (x: Output, dtype: DType): boolean =>
    x.dtype === dtype || x.dtype === "invalid" || dtype === "invalid";
  if (found.length === wanted.length && found.every((x, i) => isSame(x, wanted[i]!))) return;
  const list = (dtypes: readonly DType[]): string =>
    `(${dtypes.slice(0, 8).join(", ")}${dtypes.length > 8 ? ", ..." : ""})`;
  throw new VarscopeError(
    "INVALID_ARGUMENT",
    `${what}: ${found.length} ${list(found.map((x) => x.dtype))}, its caller has ${wanted.length} ${list(wanted)}`,
    { at },
  );
}

const kindOf = (op: Operation): ControlKind | undefined => op.def?.control;

const isBackEdge = (op: Operation, x: Output): boolean => kindOf(op) === "merge" && kindOf(x.op) === "next";

const func = (op: Operation, name: string): FuncValue => op.attrs[name] as unknown as FuncValue;

const cycle = (op: Operation): VarscopeError =>
  new VarscopeError("INVALID_ARGUMENT", `the graph has a cycle through ${op.name}`, { at: op.name });

/** @file Runs a loop: condition and body by turns, each a run of its own graph over the same variables. Start at `runLoop`. */

import { type Tensor, VarscopeError } from "../../base/index.ts";
import type { Output } from "../../graph/index.ts";
import type { Request } from "../prune.ts";
import { abortError } from "../remote/index.ts";
import { andThen, type Soon } from "../soon.ts";
import type { Body } from "./function-body.ts";
import type { Loop } from "./loop.ts";

/** Runs a request in the graph of a body; variables are changed at once. */
export type RunBody = (body: Body, request: Request, feeds: ReadonlyMap<Output, Tensor>) => Soon<Tensor[]>;

/** A body's request, made once. */
interface Prepared {
  readonly request: Request;
  /** arguments that are fed, by position; those that are variables are not */
  readonly fed: readonly (readonly [Output, number])[];
  /** for each result: the argument that it is, or its place among the fetches, or neither (a variable) */
  readonly from: readonly { readonly arg: number; readonly fetch: number }[];
}

const prepared = new WeakMap<Body, Prepared>();

function prepare(body: Body): Prepared {
  const known = prepared.get(body);
  if (known !== undefined) return known;
  const fed = body.args.flatMap((x, i) => (x.op.def?.variable === undefined ? [[x, i] as const] : []));
  const fetches: Output[] = [];
  const from = body.results.map((x) => {
    const arg = body.args.indexOf(x);
    return { arg, fetch: arg < 0 ? fetches.push(x) - 1 : -1 };
  });
  const made: Prepared = {
    request: { fetches, targets: body.controls, fed: new Set(fed.map(([x]) => x)) },
    fed,
    from,
  };
  prepared.set(body, made);
  return made;
}

/** A loop of small steps pauses so often, in ms: timers, and the signals that hang on them, would never fire otherwise. */
const PAUSE_MS = 50;

/** @returns the values that the loop ends with; undefined for variables, which stay what they are */
export async function runLoop(
  { condition, body }: Loop,
  start: readonly (Tensor | undefined)[],
  run: RunBody,
  signal: AbortSignal | undefined,
): Promise<(Tensor | undefined)[]> {
  let values = [...start];
  const step = (side: Body): Soon<(Tensor | undefined)[]> => {
    const { request, fed, from } = prepare(side);
    const feeds = new Map<Output, Tensor>();
    for (const [x, i] of fed) feeds.set(x, values[i]!);
    const isIdle = request.fetches.length === 0 && request.targets.length === 0;
    return andThen(isIdle ? [] : run(side, request, feeds), (results) =>
      from.map(({ arg, fetch }) => (fetch >= 0 ? results[fetch] : values[arg])),
    );
  };
  let paused = performance.now();
  for (;;) {
    if (performance.now() - paused > PAUSE_MS) {
      await new Promise((resolve) => setTimeout(resolve));
      paused = performance.now();
    }
    if (signal?.aborted) throw abortError(signal);
    const answer = step(condition);
    const [goesOn] = answer instanceof Promise ? await answer : answer;
    if (goesOn === undefined || goesOn.data.length !== 1 || goesOn.dtype !== "bool") {
      throw new VarscopeError("INVALID_ARGUMENT", "the condition of a loop is no bool scalar");
    }
    if (goesOn.data[0] === 0) return values;
    const next = step(body);
    values = next instanceof Promise ? await next : next;
  }
}

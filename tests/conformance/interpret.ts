/** @file A graph evaluated by host kernels alone: the reference that the engine is compared with. Start at `interpret`. */

import type { Tensor } from "../../src/base/index.ts";
import { groupArgs, type HostContext, isAbsent, type Operation, type Output } from "../../src/graph/index.ts";

/** A host context without files; each op has its own state, unseeded generators start at `entropy`. */
export function hostContext(op: Operation): HostContext {
  let state: unknown;
  return {
    op,
    state: (make) => {
      state ??= make();
      return state as ReturnType<typeof make>;
    },
    shared: (_key, make) => make(),
    entropy: () => [1, 2],
    get files(): never {
      throw new Error(`${op.name}: op cases have no files`);
    },
  };
}

/** Runs the host kernel of one op. */
export async function runHost(op: Operation, inputs: readonly Tensor[]): Promise<readonly Tensor[]> {
  const def = op.needDef();
  if (isAbsent(def.host)) throw new Error(`${op.type} has no host kernel: ${def.host.absent}`);
  return def.host(groupArgs(def.inputs, op.attrs, inputs) as never, op.attrs as never, hostContext(op));
}

/** Values of outputs, by host kernels. */
export async function interpret(
  fetches: readonly Output[],
  feeds: ReadonlyMap<Output, Tensor>,
): Promise<Tensor[]> {
  const done = new Map<Operation, readonly Tensor[]>();
  const value = async (x: Output): Promise<Tensor> => {
    const fed = feeds.get(x);
    if (fed !== undefined) return fed;
    if (!done.has(x.op)) {
      const inputs: Tensor[] = [];
      for (const input of x.op.inputs) inputs.push(await value(input));
      done.set(x.op, await runHost(x.op, inputs));
    }
    return done.get(x.op)![x.index]!;
  };
  const out: Tensor[] = [];
  for (const x of fetches) out.push(await value(x));
  return out;
}

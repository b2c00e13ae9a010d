/** @file How far two sides are apart. */

import { isVarscopeError, Session, type Tensor, toNumbers, type VarscopeError } from "varscope";
import { expect } from "vitest";
import { bytesOf } from "../../src/base/index.ts";
import type { Net } from "./nets.ts";

/** Largest relative distance of two lists of losses. */
export function relative(ours: readonly number[], theirs: readonly number[]): number {
  expect(ours.length).toBe(theirs.length);
  expect(ours.every(Number.isFinite)).toBe(true);
  return Math.max(...ours.map((a, i) => Math.abs(a - theirs[i]!) / Math.max(Math.abs(theirs[i]!), 1e-12)));
}

/** Largest distance of two tensors. */
export function distance(ours: Tensor, theirs: Tensor): number {
  expect(ours.shape).toEqual(theirs.shape);
  expect(ours.dtype).toBe(theirs.dtype);
  const other = toNumbers(theirs);
  return toNumbers(ours).reduce((most, v, i) => Math.max(most, Math.abs(v - other[i]!)), 0);
}

/** dtype, shape and bits as text that a failing test can show. */
export const bits = (t: Tensor): string =>
  `${t.dtype} [${t.shape}] ${
    t.dtype === "string"
      ? (t.data as readonly Uint8Array[]).map((s) => Buffer.from(s).toString("hex")).join(" ")
      : Buffer.from(bytesOf(t)).toString("hex")
  }`;

/** Losses of `steps` steps here, fed as the worker's `train` does. */
export async function trainHere(
  session: Session,
  net: Omit<Net, "saver" | "graph" | "logits" | "init">,
  first: number,
  steps: number,
): Promise<number[]> {
  const losses: number[] = [];
  for (let i = first; i < first + steps; i++) {
    const feeds = net.batches[i % net.batches.length]!;
    const loss = (await session.run(net.loss, { feeds, targets: [net.train] })) as Tensor;
    losses.push(toNumbers(loss)[0]!);
  }
  return losses;
}

export const open = async (net: Pick<Net, "graph" | "init">): Promise<Session> => {
  const session = new Session(net.graph);
  await session.run([], { targets: [net.init] });
  return session;
};

/** The error of a run that must fail. */
export const caught = (run: Promise<unknown>): Promise<VarscopeError> =>
  run.then(
    () => expect.unreachable("no error"),
    (e: unknown) => (isVarscopeError(e) ? e : expect.unreachable(String(e))),
  );

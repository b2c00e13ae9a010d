/** @file The op cases on a live TensorFlow server, through remote sessions: whether their goldens still are what it computes. Start at `remoteDifferences`. */

import { isVarscopeError, Session } from "varscope";
import { buildCase, feedsOf, plainOutputs } from "../conformance/case-graph.ts";
import { difference } from "../conformance/compare.ts";
import { type CaseGolden, type OpCase, readTensor } from "../conformance/golden-json.ts";
import { casesOf, FAMILIES, goldenOf } from "../conformance/op-cases.ts";

interface Found {
  /** cases that were run */
  readonly ran: number;
  /** what differs, by case */
  readonly differences: Readonly<Record<string, string>>;
}

interface Case {
  readonly type: string;
  readonly row: OpCase;
  readonly golden: CaseGolden;
}

/** Cases under way at once: most of a case's time is waiting for its session. */
const LANES = 4;

/** Runs all cases of all families on the server behind `target`; variables of each case are its own. */
export async function remoteDifferences(target: string): Promise<Found> {
  const differences: Record<string, string> = {};
  const cases = FAMILIES.flatMap(casesToRun);
  const left = cases.values();
  const lane = async (): Promise<void> => {
    for (const { type, row, golden } of left) {
      const found = await remoteDifference(target, type, row, golden);
      if (found !== null) differences[`${type}: ${row.claim}`] = found;
    }
  };
  await Promise.all(Array.from({ length: LANES }, lane));
  return { ran: cases.length, differences };
}

/** Those that compute, or fail when they run. */
function casesToRun(family: string): Case[] {
  const ops = Object.entries(JSON.parse(casesOf(family)) as Record<string, readonly OpCase[]>);
  const all = ops.flatMap(([type, rows]) =>
    rows.map((row, i) => ({ type, row, golden: goldenOf(family)!.ops[type]![i]! })),
  );
  return all.filter(
    ({ golden: { outputs, after, then, error } }) =>
      outputs !== undefined || after !== undefined || then !== undefined || error?.phase === "run",
  );
}

async function remoteDifference(
  target: string,
  type: string,
  test: OpCase,
  golden: CaseGolden,
): Promise<string | null> {
  const built = buildCase(type, test, golden);
  await using session = new Session(built.graph, { target, isolateSessionState: true });
  try {
    if (built.init.length > 0) await session.run([], { targets: built.init });
    const fetches = [...plainOutputs(built.op), ...built.then];
    // what TensorFlow leaves as it is in memory has no golden, and a server may refuse to send it
    const goldens = [...(golden.outputs ?? []), ...(golden.then ?? [])];
    const wanted = fetches.flatMap((x, i) => (goldens[i] ? [[x, goldens[i]] as const] : []));
    const asked = golden.error === undefined ? wanted.map(([x]) => x) : fetches;
    const values = await session.run(asked, { feeds: feedsOf(built), targets: [built.op] });
    if (golden.error !== undefined) return `no error; TensorFlow said ${golden.error.message}`;
    for (const [i, value] of values.entries()) {
      const [x, want] = wanted[i]!;
      const found = difference(value, readTensor(want), test.tolerance);
      if (found !== null) return `${x.name}: ${found}`;
    }
    for (const [i, want] of Object.entries(golden.after ?? {})) {
      const found = difference(
        await session.run(built.reads.get(Number(i))!),
        readTensor(want),
        test.tolerance,
      );
      if (found !== null) return `in_${i}: ${found}`;
    }
    return null;
  } catch (e) {
    if (!isVarscopeError(e)) throw e;
    const isWanted = e.code === golden.error?.code && e.what.includes(test.error!);
    return isWanted ? null : e.message;
  }
}

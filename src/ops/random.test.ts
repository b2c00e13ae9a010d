import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { bytesOf, type DType, type Nested, type Tensor, tensor } from "../base/index.ts";
import {
  type Attrs,
  Graph,
  groupArgs,
  type HostContext,
  type OpDef,
  type Operation,
} from "../graph/index.ts";
import { CORE_OPS } from "./index.ts";

interface Case {
  readonly op: string;
  readonly attrs: Record<string, number | string>;
  readonly inputs: Record<string, { dtype: DType; values: unknown; shape?: number[] }>;
  /** for each run, for each output: hash of the bytes, the first of them, shape */
  readonly runs: readonly (readonly [string, string, number[]])[][];
}

const GOLDENS = new URL("../../tests/goldens/random/", import.meta.url);
const cases = JSON.parse(readFileSync(new URL("ops.json", GOLDENS), "utf8")) as Case[];

/** float64 normals go through Math.log, sin and cos, which may differ from glibc's by one unit of the last place. */
const isApproximate = (c: Case): boolean => c.attrs.dtype === "float64" && /Normal/.test(c.op);

const nested = (v: unknown): Nested =>
  Array.isArray(v) ? v.map(nested) : typeof v === "string" ? BigInt(v) : (v as number);

function build(c: Case): Operation {
  const g = new Graph(CORE_OPS);
  const inputs = Object.values(c.inputs).map((x) => g.constant(tensor(nested(x.values), x.dtype, x.shape)));
  const big = (v: number | string): number | string | bigint =>
    /^-?\d{6,}$/.test(String(v)) ? BigInt(v) : v;
  const attrs = Object.fromEntries(Object.entries(c.attrs).map(([k, v]) => [k, big(v)]));
  return g.addOp(c.op, inputs, { attrs: attrs as Attrs });
}

async function runs(op: Operation, times: number): Promise<(readonly Tensor[])[]> {
  let state: unknown;
  const context = {
    op,
    state: (make: () => unknown) => (state ??= make()),
    entropy: () => [1, 2],
  } as unknown as HostContext;
  const def = op.needDef() as OpDef;
  const values = op.inputs.map((x) => x.op.attrs.value as Tensor);
  const host = def.host as (inputs: unknown, attrs: Attrs, context: HostContext) => readonly Tensor[];
  return Array.from({ length: times }, () =>
    host(groupArgs(def.inputs, op.attrs, values), op.attrs, context),
  );
}

describe("random ops give TensorFlow's numbers", () => {
  test.each(cases.map((c, i) => [`${i} ${c.op} ${JSON.stringify(c.attrs)}`, c] as const))(
    "%s",
    async (_, c) => {
      const op = build(c);
      const results = await runs(op, c.runs.length);
      c.runs.forEach((outputs, run) => {
        outputs.forEach(([hash, head, shape], i) => {
          const got = results[run]![i]!;
          expect(got.shape).toEqual(shape);
          if (isApproximate(c)) {
            const want = new Float64Array(Uint8Array.from(Buffer.from(head, "hex")).buffer);
            want.forEach((w, k) => {
              expect(Math.abs((got.data[k] as number) - w)).toBeLessThan(1e-14);
            });
            return;
          }
          const bytes = bytesOf(got);
          expect(Buffer.from(bytes.subarray(0, 16)).toString("hex")).toBe(head);
          expect(createHash("sha256").update(bytes).digest("hex")).toBe(hash);
        });
      });
    },
  );
});

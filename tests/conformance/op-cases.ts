/**
 * @file Every op against TensorFlow: the cases of src/ops/<family>.cases.json, run through TensorFlow by tools/goldens/ops.py into
 * tests/goldens/ops. One family alone: `npx vitest run tests/conformance -t "^activation "`.
 *
 *   { "Softplus": [ {
 *       "claim": "is ln 2 at zero",       what the case shows
 *       "inputs": [..],                   in the op's order; a list argument is a list of inputs
 *       "attrs": {..},                    what does not follow from the inputs: dtypes by name, {"dims": [..]}, lists
 *       "const": [1],                     flat inputs that are Const; the others are placeholders
 *       "shapes": [[null, 2]],            what is known of the placeholders' shapes; by default all; null: not even the rank
 *       "grad": false, "ys": [0],         no gradients; of these outputs alone
 *       "unset": [3],                     outputs that TensorFlow leaves as they are in memory: not compared
 *       "gradNodes": false,               the nodes of the gradient are not compared (they were in another case)
 *       "wasm": false,                    undefined in C++: the WASM build has other values than CPUs
 *       "smooth": false,                  a kink: slopes are not compared
 *       "run": false,                     it needs what a case cannot give: node and shapes alone
 *       "error": "division by zero",      TensorFlow fails, and says this; so do we
 *       "then": [{"made": "TensorListLength", "inputs": [{"out": 0}]}],      ops that read the result, where it has no plain value: lists, arrays
 *       "tolerance": 1e-5, "gradTolerance": 1e-4      |ours - TensorFlow's| <= tolerance (1 + |TensorFlow's|)
 *   } ] }
 *
 * An input is {"dtype", "values": nested} or {"dtype", "shape", "fill": "normal" | "uniform" | "int" | "bool", "seed", "min", "max"};
 * "shape" beside "values" reshapes (the only way to write an empty tensor of several axes); "nan", "inf" and integers beyond 2^53 are text;
 * complex numbers are pairs. {"resource": true, ..} is a handle of a variable with that value ("empty": without), "handleShape" what the
 * handle says of it; {"ref": true, ..} a ref variable. {"made": op type, "inputs": [..], "attrs": {..}, "output": 0} is what another op
 * gives; {"of": 1} is flat input 1 again.
 */

import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { CHECKS, checkError, type Subject } from "./case-checks.ts";
import type { CaseGolden, OpCase } from "./golden-json.ts";

interface FamilyGolden {
  readonly source: string;
  readonly ops: Readonly<Record<string, readonly CaseGolden[]>>;
}

const CASES = new URL("../../src/ops/", import.meta.url);
const GOLDENS = new URL("../goldens/ops/", import.meta.url);
const SUFFIX = ".cases.json";

/** Families with cases. */
export const FAMILIES: readonly string[] = readdirSync(CASES)
  .filter((file) => file.endsWith(SUFFIX))
  .map((file) => file.slice(0, -SUFFIX.length));

/** The text of a family's cases. */
export const casesOf = (family: string): string => readFileSync(new URL(`${family}${SUFFIX}`, CASES), "utf8");

/** What TensorFlow made of them; null where nobody asked it yet. */
export function goldenOf(family: string): FamilyGolden | null {
  const path = new URL(`${family}.json.gz`, GOLDENS);
  return existsSync(path) ? (JSON.parse(gunzipSync(readFileSync(path)).toString()) as FamilyGolden) : null;
}

async function failures(subject: Subject): Promise<string[]> {
  if (subject.golden.error !== undefined) {
    return checkError(subject).then(
      () => [],
      (e) => [String(e)],
    );
  }
  const out: string[] = [];
  for (const [name, check] of CHECKS) {
    try {
      await check(subject);
    } catch (e) {
      out.push(`${name}: ${e instanceof Error ? e.message : e}`);
    }
  }
  return out;
}

/** Ops that have a case. */
export const opsWithCases = (): ReadonlySet<string> =>
  new Set(
    FAMILIES.flatMap((family) =>
      Object.entries(JSON.parse(casesOf(family)) as Record<string, readonly OpCase[]>)
        .filter(([, rows]) => rows.length > 0)
        .map(([type]) => type),
    ),
  );

/** Tests of all cases of a family. */
export function testFamily(family: string): void {
  const text = casesOf(family);
  const golden = goldenOf(family);
  describe(family, () => {
    test("goldens are of these cases", () => {
      const source = createHash("sha256").update(text.replaceAll(/\s+/g, "")).digest("hex");
      expect(golden?.source, `run: python tools/goldens/ops.py ${family}`).toBe(source);
    });

    for (const [type, rows] of Object.entries(JSON.parse(text) as Record<string, readonly OpCase[]>)) {
      describe(type, () => {
        rows.forEach((row, i) => {
          test(row.claim, async () => {
            const want = golden?.ops[type]?.[i];
            if (want === undefined) throw new Error(`no golden; run: python tools/goldens/ops.py ${family}`);
            const found = await failures({ type, test: row, golden: want });
            if (found.length > 0) throw new Error(found.join("\n"));
          });
        });
      });
    }
  });
}

/**
 * @file Names that came out other than asked for: a variable `w` that is `w_1` in checkpoints, a scope `D` whose second use has its ops in `D_1`.
 * Start at `nameFindings`.
 */

import type { Graph } from "../graph/index.ts";
import { globalVariables, localVariables } from "./collections.ts";
import { linesOf } from "./origin.ts";
import { scopeState } from "./scope-state.ts";
import type { Variable } from "./variable.ts";

/** A name that is not the one asked for. */
export interface NameFinding {
  /** of a variable, or of a variable scope */
  readonly kind: "variable" | "scope";
  readonly asked: string;
  readonly got: string;
  /** what that means, in a sentence */
  readonly text: string;
  /** the line of code that asked, where it is known */
  readonly line: string | null;
}

/** Variables and scopes of a graph whose names TensorFlow's rules changed, in the order they were made. */
export function nameFindings(graph: Graph): NameFinding[] {
  const { variables, origins, nameScopes } = scopeState(graph);
  const findings: NameFinding[] = [];
  const shared = new Set<Variable>();
  for (const [key, v] of variables) {
    shared.add(v);
    const asked = key.replace(/\/$/, ""); // the variable "" of a scope: a slot
    if (v.op.name === asked) continue;
    const taken = graph.findOperation(asked);
    const why = taken === undefined ? "the name was in use" : `'${taken.name}' is another ${taken.type}`;
    const text = `getVariable of '${asked}' made '${v.op.name}', because ${why}: checkpoints know it as '${v.op.name}', getVariable as '${asked}'`;
    findings.push({
      kind: "variable",
      asked,
      got: v.op.name,
      text,
      line: linesOf(origins.get(v))[0]?.trim() ?? null,
    });
  }
  for (const v of new Set([...globalVariables(graph), ...localVariables(graph)])) {
    const asked = /^(.*)_\d+$/.exec(v.op.name)?.[1];
    if (asked === undefined || shared.has(v)) continue;
    const first = graph.findOperation(asked) ?? sameButForCase(graph, asked);
    if (first?.def?.variable === undefined) continue;
    const text = `two variables were asked for as '${asked}': the later one is '${v.op.name}', and would be '${first.name}' were it made first`;
    findings.push({ kind: "variable", asked, got: v.op.name, text, line: null });
  }
  for (const [asked, opened] of nameScopes) {
    const others = [...opened].filter((scope) => scope !== `${asked}/`);
    if (asked === "" || others.length === 0) continue;
    const got = others.map((scope) => scope.slice(0, -1)).join(", ");
    const text = `variables of scope '${asked}' are '${asked}/...', ops of its later uses are in ${got}`;
    findings.push({ kind: "scope", asked, got, text, line: null });
  }
  return findings;
}

const sameButForCase = (graph: Graph, name: string) =>
  graph.operations.find((op) => op.name.toLowerCase() === name.toLowerCase());

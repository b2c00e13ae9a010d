/** @file Rules of a file beside a graph: what the graph wants and the file lacks, with the rename that mends it; other shapes; leftovers. */

import { type DType, formatShape, groupedBy, isCompatible, type Shape } from "../../base/index.ts";
import type { VariableEntry } from "../../formats/collection/index.ts";
import { matchVariables } from "../../formats/matching/index.ts";
import type { Patient } from "./patient.ts";
import { counted, dropCommand, type Found, listed, patternOf, quoted, type Rule } from "./rule.ts";

/** Variables that the graph lacks in the file, and those of the file that may be meant. */
interface Restoring {
  readonly wanted: readonly VariableEntry[];
  readonly lost: readonly VariableEntry[];
  /** name in the file -> name in the graph, of the same shape */
  readonly renames: ReadonlyMap<string, string>;
  /** the same, where shapes differ */
  readonly reshaped: readonly (readonly [string, string])[];
  /** of those that nothing is like: names near theirs */
  readonly near: readonly string[];
}

/** Layers of more variables than this are matched by their names alone: comparing how they are made takes time that grows with its square. */
const MOST_COMPARED = 5000;

const asked = new WeakMap<Patient, Restoring>();

function restoringOf(p: Patient): Restoring {
  const before = asked.get(p);
  if (before !== undefined) return before;
  const found = restoring(p);
  asked.set(p, found);
  return found;
}

function restoring(p: Patient): Restoring {
  const { wanted } = p;
  const lost = wanted.filter((v) => !p.has(v.name));
  if (lost.length === 0) return { wanted, lost, renames: new Map(), reshaped: [], near: [] };
  const known = new Set(wanted.map((v) => v.name));
  const spare = p.variables.filter((v) => !known.has(v.name));
  const { pairs, onlyInB, renames } = matchVariables(spare, lost, {
    structure: spare.length <= MOST_COMPARED,
  });
  const all = new Map<string, string>(pairs.map((pair) => [pair.a.name, pair.b.name]));
  for (const [from, to] of Object.entries(renames)) all.set(from, to);
  const shapes = new Map(lost.map((v) => [v.name, v.shape]));
  const fits = ([from, to]: readonly [string, string]): boolean =>
    isCompatible(shapes.get(to) ?? null, p.byName(from)!.shape);
  const taken = new Set(all.values());
  return {
    wanted,
    lost,
    renames: new Map([...all].filter(fits)),
    reshaped: [...all].filter((pair) => !fits(pair)),
    near: onlyInB
      .filter((u) => !taken.has(u.name))
      .slice(0, 3)
      .map((u) => ({ name: u.name, may: [...new Set([...u.near, ...u.sameShape])].slice(0, 3) }))
      .filter((u) => u.may.length > 0)
      .map((u) => `${u.name} may be ${u.may.join(" or ")}`),
  };
}

function* missing(p: Patient): Generator<Found> {
  const { wanted, lost, renames, reshaped, near } = restoringOf(p);
  if (lost.length === 0) return;
  const owners = [...renames].filter(([from]) => p.byName(from)?.of === undefined);
  const clauses = [
    `"Key ${lost[0]!.name} not found in checkpoint"`,
    ...(renames.size > 0 ? [`${renames.size} of them can be renamed to, of the same role and shape`] : []),
    ...(reshaped.length > 0
      ? [
          `${reshaped.length} have another shape in the file, such as ${reshaped[0]![0]} ${formatShape(p.byName(reshaped[0]![0])!.shape)}`,
        ]
      : []),
    ...near,
  ];
  yield {
    variables: lost.map((v) => v.name),
    value: lost.length,
    severity: lost.every((v) => v.role === "slot" || v.optimizer !== undefined) ? "warning" : "error",
    message: `${counted(lost.length, "variable")} of ${wanted.length} that the graph wants ${lost.length === 1 ? "is" : "are"} not in the file (${listed(lost.map((v) => v.name))}): ${clauses.join("; ")}`,
    repair:
      owners.length > 0
        ? `varscope edit ${quoted(p.path)} OUT ${renameOptions(owners)}`
        : `varscope diff ${quoted(p.path)} ${quoted(p.graphPath!)}  # or initialize them: restore the others alone`,
  };
}

/** Options for all renames: one for those that differ in the same part of their names, such as a scope. */
function renameOptions(renames: readonly (readonly [string, string])[]): string {
  const groups = groupedBy(renames, ([from, to]) => scopesOf(from, to).join("\0"));
  const options: string[] = [];
  for (const group of groups.values()) {
    const [from, to] = scopesOf(...group[0]!);
    const pattern = from === "" ? "^" : `^${escaped(from)}/`;
    const isWhole = group.length > 1 && from !== to;
    if (isWhole)
      options.push(
        `--rename ${quoted(`${pattern === "^" ? `^(?=${group.map(([f]) => `${escaped(f)}$`).join("|")})` : pattern}=${to === "" ? "" : `${dollars(to)}/`}`)}`,
      );
    else for (const [f, t] of group) options.push(`--rename ${quoted(`${patternOf([f])}=${dollars(t)}`)}`);
  }
  return options.join(" ");
}

const escaped = (text: string): string => text.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&").replaceAll("=", "\\=");
const dollars = (text: string): string => text.replaceAll("$", "$$$$").replaceAll("=", "\\=");

/** What stands before the end that both names have; whole parts. */
function scopesOf(from: string, to: string): [string, string] {
  const [a, b] = [from.split("/"), to.split("/")];
  while (a.length > 0 && b.length > 0 && a.at(-1) === b.at(-1)) {
    a.pop();
    b.pop();
  }
  return [a.join("/"), b.join("/")];
}

function* mismatched(p: Patient): Generator<Found> {
  const odd: {
    readonly name: string;
    readonly file: [DType, Shape | null];
    readonly graph: [DType, Shape | null];
  }[] = [];
  for (const w of p.wanted) {
    const v = p.byName(w.name);
    if (v === undefined || (v.dtype === w.dtype && isCompatible(w.shape, v.shape))) continue;
    odd.push({ name: w.name, file: [v.dtype, v.shape], graph: [w.dtype, w.shape] });
  }
  if (odd.length === 0) return;
  const { name, file, graph } = odd[0]!;
  const size = (s: Shape | null): number => (s ?? []).reduce<number>((n, d) => n * (d ?? Number.NaN), 1);
  const isReshape = file[0] === graph[0] && size(file[1]) === size(graph[1]);
  yield {
    variables: odd.map((o) => o.name),
    value: odd.length,
    message: `${counted(odd.length, "variable")} of another shape or dtype than the graph's (${odd
      .slice(0, 3)
      .map(
        (o) =>
          `${o.name}: ${o.file[0]} ${formatShape(o.file[1])} in the file, ${o.graph[0]} ${formatShape(o.graph[1])} in the graph`,
      )
      .join("; ")}): "Assign requires shapes of both tensors to match"`,
    repair: isReshape
      ? `varscope edit ${quoted(p.path)} OUT --reshape ${quoted(`${name}=${(graph[1] as readonly number[]).join(",")}`)}`
      : formatShape(file[1]) === formatShape(graph[1])
        ? `varscope edit ${quoted(p.path)} OUT --cast ${quoted(`${patternOf([name])}=${graph[0]}`)}`
        : dropCommand(
            p.path,
            odd.map((o) => o.name),
            "they are initialized anew",
          ),
  };
}

/** Names in a pattern of a command. */
const MOST_NAMES = 50;

function* unknown(p: Patient): Generator<Found> {
  const { wanted, renames, reshaped } = restoringOf(p);
  if (wanted.length === 0) return;
  const names = new Set(wanted.map((v) => v.name));
  const meant = new Set([...renames.keys(), ...reshaped.map(([from]) => from)]);
  const extra = p.variables.filter(
    (v) => !names.has(v.name) && !names.has(v.key) && !meant.has(v.name) && !meant.has(v.of ?? ""),
  );
  if (extra.length === 0) return;
  const isState = (v: VariableEntry): boolean => v.role === "slot" || v.optimizer !== undefined;
  const rest = extra.filter((v) => !isState(v)).map((v) => v.name);
  const beside = extra.filter((v) => isState(v) || v.role === "ema" || v.role === "step").length;
  const options = [
    ...(rest.length > 0 ? [`--drop ${quoted(patternOf(rest.slice(0, MOST_NAMES)))}`] : []),
    ...(rest.length < extra.length ? ["--drop-slots"] : []),
  ];
  yield {
    variables: extra.map((v) => v.name),
    value: extra.length,
    message: `${counted(extra.length, "variable")} of the file that the graph does not know (${listed(extra.map((v) => v.name))}), ${beside} of them of an optimizer or average: they are not restored`,
    repair: `varscope edit ${quoted(p.path)} OUT ${options.join(" ")}`,
  };
}

export const PAIRING_RULES: readonly Rule[] = [
  {
    id: "graph-variables-missing",
    severity: "error",
    needs: "graph",
    finds: "variables that the graph wants and the file lacks, with candidates and a rename",
    threshold: "by name; local variables aside; slots alone: warning",
    check: missing,
  },
  {
    id: "graph-shape-mismatch",
    severity: "error",
    needs: "graph",
    finds: "variables of another shape or dtype than the graph's",
    threshold: "any",
    check: mismatched,
  },
  {
    id: "graph-variables-unknown",
    severity: "info",
    needs: "graph",
    finds: "variables of the file that the graph does not know",
    threshold: "any",
    check: unknown,
  },
];

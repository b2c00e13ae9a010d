/** @file What is wrong with the variables of a container, and of a graph beside it. Start at `diagnose`. */

import { isVarscopeError, type VarscopeError } from "../../base/index.ts";
import type { Format, VariableCollection, VariableEntry } from "../../formats/collection/index.ts";
import type { GraphFile } from "../graph/open-graph.ts";
import { type OpenOptions, openModel, type Where } from "../open-model.ts";
import { type ExamineOptions, examine } from "./examine.ts";
import { patientOf } from "./patient.ts";
import type { Finding, Severity } from "./rule.ts";
import { quoted } from "./rule.ts";
import { RULES } from "./rules.ts";

export interface DiagnoseOptions extends ExamineOptions {
  /** the container's own graph, or another to hold against it; commands name it by its path */
  readonly graph?: GraphFile | null;
  /** variables that the graph restores, where the graph does not say it by its nodes; [] is none to look for */
  readonly wanted?: readonly VariableEntry[];
}

/** What was looked at, and what was found. */
export interface Diagnosis {
  readonly path: string;
  /** null: it did not open */
  readonly format: Format | null;
  /** the worst first */
  readonly findings: readonly Finding[];
  readonly checked: {
    readonly tensors: number;
    readonly bytes: number;
    readonly normalizations: number;
    readonly rules: number;
    readonly step: number | null;
    readonly graph: string | null;
  };
}

const ORDER: Readonly<Record<Severity, number>> = { error: 0, warning: 1, info: 2 };

/**
 * Examines every tensor once and asks all rules. What cannot be read is a finding, and the rest is examined.
 *
 * @throws VarscopeError CANCELLED
 */
export async function diagnose(
  collection: VariableCollection,
  { graph = null, wanted: given, ...options }: DiagnoseOptions = {},
): Promise<Diagnosis> {
  const examined = await examine(collection, options);
  const declared = graph === null ? [] : (await import("./wanted.ts")).wantedVariables(graph);
  const wanted = given ?? (graph !== null && isOwn(collection, graph) ? [] : declared);
  const patient = patientOf(collection, examined, { file: graph, declared, wanted });
  const asked = RULES.filter((rule) => rule.needs === "file" || graph !== null);
  const findings = asked.flatMap((rule) =>
    [...rule.check(patient)].map(
      (found): Finding => ({ rule: rule.id, severity: found.severity ?? rule.severity, ...fieldsOf(found) }),
    ),
  );
  return {
    path: collection.path,
    format: collection.format,
    findings: findings.sort((a, b) => ORDER[a.severity] - ORDER[b.severity]),
    checked: {
      tensors: collection.variables.length,
      bytes: collection.variables.reduce((n, v) => n + v.bytes, 0),
      normalizations: patient.norms.length,
      rules: asked.length,
      step: patient.step,
      graph: graph?.path ?? null,
    },
  };
}

/** Whether a graph is that of the container itself; a SavedModel has two paths, its folder and its file. */
function isOwn({ path, format }: VariableCollection, graph: GraphFile): boolean {
  if (!["saved-model", "meta-graph", "graph-def"].includes(format)) return false;
  const parent = path.slice(0, Math.max(0, path.lastIndexOf("/"))) || ".";
  return [path, path.replace(/\/+$/, ""), parent].includes(graph.path);
}

const fieldsOf = ({ variables, value, message, repair }: Omit<Finding, "rule" | "severity">) => ({
  variables,
  value,
  message,
  repair,
});

export interface DiagnosePathOptions extends OpenOptions, ExamineOptions {
  /** path of a graph: MetaGraph, GraphDef, SavedModel */
  readonly graph?: string;
}

/**
 * The same of a path. A container that is damaged beyond opening is a finding, too.
 *
 * @throws VarscopeError NOT_FOUND - nothing is there; INVALID_ARGUMENT - nothing that is known; and as `openGraph` for the graph
 */
export async function diagnosePath(where: Where, options: DiagnosePathOptions = {}): Promise<Diagnosis> {
  const { graph: graphPath, ...rest } = options;
  const given = graphPath === undefined ? null : await graphAt(graphPath, options);
  let model: Awaited<ReturnType<typeof openModel>>;
  try {
    model = await openModel(where, options);
  } catch (error) {
    if (!isVarscopeError(error, "DATA_LOSS")) throw error;
    return damaged(typeof where === "string" ? where : "model", error);
  }
  try {
    const graph = given ?? { graph: await model.graph(), wanted: [] };
    return await diagnose(model, { ...rest, ...graph });
  } finally {
    await model.close();
  }
}

/** A graph to compare with. The graph of a SavedModel calls its variables by other names than its checkpoint does. */
async function graphAt(
  path: string,
  options: OpenOptions,
): Promise<Pick<DiagnoseOptions, "graph" | "wanted">> {
  const model = await openModel(path, options);
  try {
    const graph = await model.graph();
    if (graph === null) return { graph: await (await import("../graph/open-graph.ts")).openGraph(path) };
    const isSaved = model.format === "saved-model" && model.variables.length > 0;
    return { graph: { ...graph, path }, ...(isSaved ? { wanted: model.variables } : {}) };
  } finally {
    await model.close();
  }
}

function damaged(path: string, error: VarscopeError): Diagnosis {
  const at = error.at === undefined || error.at === path ? "" : ` (${error.at})`;
  const finding: Finding = {
    rule: "tensor-unreadable",
    severity: "error",
    variables: [],
    value: error.at ?? path,
    message: `it does not open: ${error.what}${at}; nothing of it can be restored`,
    repair: `varscope repair ${quoted(path)} OUT  # saves what is intact`,
  };
  const checked = { tensors: 0, bytes: 0, normalizations: 0, rules: 0, step: null, graph: null };
  return { path, format: null, findings: [finding], checked };
}

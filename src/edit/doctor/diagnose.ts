/** @file What is wrong with the variables of a container, and of a graph beside it. Start at `diagnose`. */

import { isVarscopeError, type VarscopeError } from "../../base/index.ts";
import type { Format, VariableCollection } from "../../formats/collection/index.ts";
import type { GraphFile } from "../open-graph.ts";
import { type OpenOptions, openModel, type Where } from "../open-model.ts";
import { type ExamineOptions, examine } from "./examine.ts";
import { patientOf } from "./patient.ts";
import type { Finding, Severity } from "./rule.ts";
import { quoted } from "./rule.ts";
import { RULES } from "./rules.ts";

export interface DiagnoseOptions extends ExamineOptions {
  /** a graph to hold against the variables, with the path that commands name it by */
  readonly graph?: GraphFile | null;
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
  { graph = null, ...options }: DiagnoseOptions = {},
): Promise<Diagnosis> {
  const examined = await examine(collection, options);
  const wanted = graph === null ? [] : (await import("./wanted.ts")).wantedVariables(graph);
  const patient = patientOf(collection, examined, graph, wanted);
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
    const graph = given ?? (await model.graph());
    return await diagnose(model, { ...rest, graph });
  } finally {
    await model.close();
  }
}

async function graphAt(path: string, options: OpenOptions): Promise<GraphFile> {
  const model = await openModel(path, options);
  try {
    const found = await model.graph();
    if (found !== null) return { ...found, path };
    return await (await import("../open-graph.ts")).openGraph(path);
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

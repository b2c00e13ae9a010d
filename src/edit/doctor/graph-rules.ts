/** @file Rules of a graph's training: update ops that nothing runs, training mode left on, statistics in the wrong collection or saver. */

import { groupedBy, type Tensor } from "../../base/index.ts";
import { roleOf } from "../../formats/collection/index.ts";
import type { VariableRecord } from "../../formats/meta-graph/index.ts";
import type { Graph, Operation, Output } from "../../graph/index.ts";
import type { GraphFile } from "../graph/open-graph.ts";
import {
  ancestors,
  type NormUse,
  normUses,
  trainingOps,
  trainingRuns,
  type UpdateOp,
  updateOps,
} from "./graph-norms.ts";
import { isAll, type Patient } from "./patient.ts";
import { counted, type Found, largest, listed, percent, quoted, type Rule } from "./rule.ts";

type GraphCheck = (graph: Graph, p: Patient, file: GraphFile) => Iterable<Found>;

/** A check that is silent without a graph. */
const onGraph =
  (check: GraphCheck): Rule["check"] =>
  (p) =>
    p.graph === null ? [] : check(p.graph.graph, p, p.graph);

const bare = (name: string): string => name.replace(/:\d+$/, "");
const namesIn = (graph: Graph, key: string): string[] =>
  graph
    .getCollection<Partial<VariableRecord>>(key)
    .flatMap((v) => (typeof v?.name === "string" ? [bare(v.name)] : []));
const isStatistic = (name: string): boolean => roleOf(name, null, () => undefined).role.startsWith("moving-");

/** Moving statistics that the graph declares. */
const statisticsOf = (p: Patient): string[] =>
  p.declared.filter((v) => v.role.startsWith("moving-")).map((v) => v.name);

/** Update ops: those that are seen to move a statistic, and those of the collection. */
function allUpdates(graph: Graph): UpdateOp[] {
  const seen = updateOps(graph);
  const known = new Set(seen.map((u) => u.op));
  const listedOps = graph
    .getCollection<Partial<Output> & Partial<Operation>>("update_ops")
    .flatMap((x) => x.op ?? (x.inputs === undefined ? [] : [x as Operation]));
  // A conditional's result stands for the update inside it.
  const rest = listedOps.filter((op) => !known.has(op) && ![...ancestors([op])].some((a) => known.has(a)));
  return [...seen, ...rest.map((op) => ({ op, variable: op.name, momentum: null }))];
}

const unreachable: GraphCheck = function* (graph, p) {
  const runs = trainingRuns(graph);
  if (runs.length === 0) return;
  const lost = allUpdates(graph).filter(({ op }) => !runs.some(({ ops }) => ops.has(op)));
  if (lost.length === 0) return;
  const moved = lost.filter(({ variable }) => {
    const n = p.of(p.byName(variable) ?? null);
    return n !== null && !isAll(n, 0) && !isAll(n, 1);
  });
  const target = runs.find(({ target }) => /train/i.test(target.name)) ?? runs[0]!;
  yield {
    variables: lost.map(({ op }) => op.name),
    value: lost.length,
    severity: moved.length === lost.length ? "info" : "error",
    message: `${counted(lost.length, "update op")} (${listed(lost.map(({ op }) => op.name))}) that ${target.target.name} does not run: ${moved.length === lost.length ? "the statistics have moved nonetheless, so the program runs them by hand" : "the moving statistics keep their initial values, and inference does not normalize"}`,
    repair: `varscope run ${quoted(p.graphPath!)} --checkpoint ${quoted(p.path)} --target ${quoted(target.target.name)} ${lost
      .slice(0, 4)
      .map(({ op }) => `--target ${quoted(op.name)}`)
      .join(" ")} --steps 460 --save OUT  # or make it depend on collection update_ops`,
  };
};

const twice: GraphCheck = function* (graph, p) {
  const updates = updateOps(graph);
  const found = new Map<string, UpdateOp[]>();
  for (const { ops } of trainingRuns(graph)) {
    const by = groupedBy(
      updates.filter(({ op }) => ops.has(op)),
      (u) => u.variable,
    );
    for (const [variable, all] of by) if (all.length > 1) found.set(variable, all);
  }
  if (found.size === 0) return;
  const most = largest([...found.values()].map((all) => all.length));
  yield {
    variables: [...found.keys()],
    value: most,
    message: `${counted(found.size, "moving statistic")} (${listed([...found.keys()])}) updated ${most} times in one training step: the layer is used ${most} times, its statistics mix what it saw there, and momentum ${found.values().next().value![0]!.momentum ?? 0.99} acts as its power of ${most}`,
    repair: `varscope inspect ${quoted(p.graphPath!)}  # take one of ${listed([...found.values()][0]!.map(({ op }) => op.name))} out of update_ops`,
  };
};

/** Normalizations by the batch's statistics in what is there for inference. */
function trainingUses(graph: Graph, file: GraphFile): NormUse[] {
  const uses = normUses(graph).filter((u) => u.isTraining === true);
  if (uses.length === 0 || trainingOps(graph).length === 0) return uses;
  const names = Object.entries(file.meta?.signatures ?? {})
    .filter(([name]) => name !== "train")
    .flatMap(([, def]) => Object.values(def.outputs))
    .flatMap((info) => (info.encoding.case === "name" ? [bare(info.encoding.value)] : []));
  const served = ancestors(names.flatMap((name) => graph.findOperation(name) ?? []));
  return uses.filter(({ op }) => served.has(op));
}

const training: GraphCheck = function* (graph, p, file) {
  const uses = trainingUses(graph, file);
  if (uses.length === 0) return;
  yield {
    variables: uses.map(({ op }) => op.name),
    value: uses.length,
    message: `${counted(uses.length, "normalization")} (${listed(uses.map(({ op }) => op.name))}) by the batch's own statistics in a graph for inference: results depend on what else is in the batch, and a single vector becomes beta`,
    repair: `varscope freeze INFERENCE.meta --checkpoint ${quoted(p.path)} --outputs NAMES -o OUT.pb  # from the graph that was built with training=False`,
  };
};

const trainable: GraphCheck = function* (graph, p) {
  const found = namesIn(graph, "trainable_variables").filter(isStatistic);
  if (found.length === 0) return;
  yield {
    variables: found,
    value: found.length,
    message: `${counted(found.length, "moving statistic")} in collection trainable_variables (${listed(found)}): optimizer and weight decay change them, and a decayed variance ends at 0`,
    repair: `varscope edit ${quoted(p.path)} OUT --drop-slots  # once the graph has them out of trainable_variables; global_variables is what a saver wants`,
  };
};

/** Names that a graph's savers write; null where it has none. */
function savedNames(graph: Graph): Set<string> | null {
  const saves = graph.operations.filter(
    (op) => op.type === "SaveV2" || op.type === "SaveSlices" || op.type === "Save",
  );
  if (saves.length === 0) return null;
  const lists = saves.map((op) => op.inputs[1]!.op.attrs.value as unknown as Tensor | undefined);
  if (lists.some((t) => t?.dtype !== "string")) return null; // names that are computed
  const decoder = new TextDecoder();
  return new Set(
    lists.flatMap((t) => (t!.data as readonly Uint8Array[]).map((bytes) => decoder.decode(bytes))),
  );
}

const unsaved: GraphCheck = function* (graph, p) {
  const saved = savedNames(graph);
  if (saved === null) return;
  const lost = statisticsOf(p).filter((name) => !saved.has(name));
  if (lost.length === 0) return;
  yield {
    variables: lost,
    value: lost.length,
    message: `${counted(lost.length, "moving statistic")} (${listed(lost)}) that no saver of the graph writes: checkpoints lack them, as with Saver(tf.trainable_variables())`,
    repair: `varscope doctor ${quoted(p.path)}  # after saving with Saver(), which takes all global variables`,
  };
};

const batchOfOne: GraphCheck = function* (graph, p) {
  const found = normUses(graph).filter(
    (u) => u.isTraining !== false && u.op.type.startsWith("Fused") && u.op.inputs[0]!.shape?.[0] === 1,
  );
  if (found.length === 0) return;
  yield {
    variables: found.map(({ op }) => op.name),
    value: 1,
    message: `batch size 1 at ${counted(found.length, "normalization")} in training mode (${listed(found.map(({ op }) => op.name))}): statistics of single images, so that training and evaluation differ; of a vector, the variance is 0 and the output is beta`,
    repair: `varscope inspect ${quoted(p.graphPath!)}  # larger batches, group normalization, or training=False`,
  };
};

/** The op's own default, which nobody chooses. @see TensorFlow core/ops/nn_ops.cc "FusedBatchNormV3" */
const FORGOTTEN = 1e-4;
const COSTLY = 0.01;

const epsilon: GraphCheck = function* (graph, p) {
  const usual = 1e-3;
  const norms = new Map(p.norms.map((n) => [n.layer, n]));
  const found = normUses(graph).flatMap((use) => {
    if (use.epsilon === null || Math.abs(use.epsilon / usual - 1) < 0.01) return [];
    const norm = norms.get(use.layer);
    const values = norm === undefined ? [] : (p.of(norm.variance)?.values ?? []);
    const cost = (v: number): number => Math.abs(Math.sqrt((v + usual) / (v + use.epsilon!)) - 1);
    return [{ use, cost: largest([0, ...values.filter((v) => v >= 0).map(cost)]) }];
  });
  if (found.length === 0) return;
  const worst = found.reduce((a, b) => (b.cost > a.cost ? b : a));
  const value = Number(worst.use.epsilon!.toPrecision(6));
  const isForgotten = Math.abs(value / FORGOTTEN - 1) < 0.01;
  yield {
    variables: found.map(({ use }) => use.op.name),
    value,
    severity: isForgotten && worst.cost > COSTLY ? "warning" : "info",
    message: `epsilon is ${value} in ${counted(found.length, "normalization")} (${listed(found.map(({ use }) => use.layer))}), where TensorFlow's layers have ${usual}${isForgotten ? "; it is the op's own default, which stands where the attribute was forgotten" : ""}: on these variances the difference changes a channel by up to ${percent(worst.cost)}`,
    repair: `varscope inspect ${quoted(p.graphPath!)}  # give the epsilon that the model was trained with`,
  };
};

const emaOfStatistics: GraphCheck = function* (graph, p) {
  const averaged = new Set(namesIn(graph, "moving_average_variables"));
  if (averaged.size === 0) return;
  const raw = statisticsOf(p).filter((name) => !averaged.has(name));
  if (raw.length === 0) return;
  yield {
    variables: raw,
    value: raw.length,
    message: `${counted(averaged.size, "variable")} averaged, ${counted(raw.length, "moving statistic")} (${listed(raw)}) not: averaged weights are evaluated with the statistics of the raw ones`,
    repair: `varscope edit ${quoted(p.path)} OUT --ema  # then: varscope recalibrate GRAPH --checkpoint OUT`,
  };
};

const rule = (
  id: string,
  severity: Rule["severity"],
  finds: string,
  threshold: string,
  check: GraphCheck,
): Rule => ({
  id,
  severity,
  needs: "graph",
  finds,
  threshold,
  check: onGraph(check),
});

export const GRAPH_RULES: readonly Rule[] = [
  rule(
    "graph-updates-not-run",
    "error",
    "update ops that no training op needs",
    "walk from each end of the graph that needs an Apply op; info where the file's statistics have moved, since programs may run them by hand",
    unreachable,
  ),
  rule(
    "graph-updates-twice",
    "warning",
    "statistics that one training step updates more than once",
    "two update ops of one variable behind the same end",
    twice,
  ),
  rule(
    "graph-is-training",
    "error",
    "batch statistics in a graph for inference",
    "is_training is true, or variance comes from a mean over the batch, and the graph has no optimizer, or a signature's output needs it; placeholders that decide are not blamed",
    training,
  ),
  rule(
    "graph-statistics-trainable",
    "warning",
    "moving statistics among the trainables",
    "collection trainable_variables",
    trainable,
  ),
  rule(
    "graph-saver-incomplete",
    "error",
    "moving statistics that no saver writes",
    "names of all SaveV2, SaveSlices and Save ops",
    unsaved,
  ),
  rule(
    "graph-batch-of-one",
    "warning",
    "training mode with batch size 1",
    "static batch dimension of fused normalizations",
    batchOfOne,
  ),
  rule(
    "graph-epsilon",
    "warning",
    "an epsilon that is not the layers' own, with its cost on the file's variances",
    "other than 0.001; warning where it is 0.0001, the op's default, and costs more than 1 % in a channel",
    epsilon,
  ),
  rule(
    "graph-ema-statistics",
    "info",
    "moving averages that leave the moving statistics out",
    "collection moving_average_variables",
    emaOfStatistics,
  ),
];

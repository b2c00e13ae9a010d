/**
 * @file Two models in one program, each with its own checkpoint: the features of the first, a frozen encoder, feed the second, a classifier that is
 * trained, saved and restored by its own keys. Then both are loaded again, one under a prefix inside the other's graph.
 */
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import {
  globalVariables,
  globalVariablesInitializer,
  newGraph,
  type Output,
  placeholder,
  Session,
  setRandomSeed,
  stopGradient,
  tanh,
  toNumbers,
  variableScope,
} from "varscope";
import { dense, sparseSoftmaxCrossEntropy } from "varscope/layers";
import { adamOptimizer, loadMetaGraph, saver, scopeVariables } from "varscope/train";

const POINTS = [
  [0, 0],
  [0, 1],
  [1, 0],
  [1, 1],
];
const LABELS = [0, 1, 1, 0];

const encode = (x: Output): Output => dense(x, 8, { activation: tanh, name: "code" });
const classify = (code: Output): Output => dense(code, 2, { name: "logits" });

/** The encoder, in a graph and with a checkpoint of its own: keys code/kernel, code/bias. */
async function saveEncoder(prefix: string): Promise<void> {
  const g = newGraph();
  setRandomSeed(g, 3);
  encode(placeholder(g, "float32", { shape: [null, 2], name: "x" }));
  const init = globalVariablesInitializer(g);
  await using session = new Session(g);
  await session.run([], { targets: [init] });
  await saver(g).save(session, prefix);
}

/** The encoder under `features`, restored from its checkpoint; on top of it the classifier under `head`, trained and saved alone. */
async function trainHead(encoder: string, head: string): Promise<number[]> {
  const g = newGraph();
  setRandomSeed(g, 4);
  const x = placeholder(g, "float32", { shape: [null, 2], name: "x" });
  const labels = placeholder(g, "int32", { shape: [null], name: "labels" });
  const code = variableScope(g, "features", {}, () => encode(x));
  const logits = variableScope(g, "head", {}, () => classify(stopGradient(code)));
  const first = saver(g, { varList: scopeVariables(g, "features") });
  const second = saver(g, { varList: scopeVariables(g, "head") }); // before the optimizer: without its slots
  const trainOp = adamOptimizer({ learningRate: 0.1 }).minimize(sparseSoftmaxCrossEntropy(labels, logits));
  const init = globalVariablesInitializer(g);

  await using session = new Session(g);
  await session.run([], { targets: [init] });
  await first.restore(session, encoder);
  const feeds = { "x:0": POINTS, "labels:0": LABELS };
  for (let step = 0; step < 100; step++) await session.run([], { targets: [trainOp], feeds });
  await second.save(session, head);
  return toNumbers(await session.run(logits, { feeds }));
}

/** Both again, from their files: the encoder's graph is read under a prefix, the head is built on its output. */
async function serve(encoder: string, head: string): Promise<number[]> {
  const g = newGraph();
  const read = await loadMetaGraph(g, `${encoder}.meta`, { importScope: "encoder" });
  const logits = classify(g.output("encoder/code/Tanh:0"));
  const second = saver(g, { varList: globalVariables(g).filter((v) => v.op.name.startsWith("logits/")) });

  await using session = new Session(g);
  await read.saver!.restore(session, encoder); // its keys have no prefix
  await second.restore(session, head);
  return toNumbers(await session.run(logits, { feeds: { "encoder/x:0": POINTS } }));
}

export async function main(
  folder = ".",
  print: (line: string) => void = console.log,
): Promise<{ classes: number[]; trained: number[]; served: number[] }> {
  const [encoder, head] = [join(folder, "encoder"), join(folder, "head")];
  await saveEncoder(encoder);
  const trained = await trainHead(encoder, head);
  const served = await serve(encoder, head);
  const classes = POINTS.map((_, i) => (served[2 * i + 1]! > served[2 * i]! ? 1 : 0));
  print(`exclusive or, by two models: ${classes}`);
  return { classes, trained, served };
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) await main();

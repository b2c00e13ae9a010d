/** @file A thread that computes the statistics of some variables of a container. Started by stats-pool.ts. */

import { parentPort, workerData } from "node:worker_threads";
import { isVarscopeError } from "../base/index.ts";
import { statsOfAll } from "../edit/inspect.ts";
import { openModel } from "../edit/open-model.ts";
import type { StatsAnswer, StatsJob } from "./stats-pool.ts";

const { path, names } = workerData as StatsJob;
const send = (answer: StatsAnswer): void => parentPort?.postMessage(answer);

try {
  const model = await openModel(path);
  const wanted = names.map((name) => model.find(name));
  const stats = await statsOfAll(model, wanted, { onProgress: (done) => send({ done }) });
  await model.close();
  send({ stats: [...stats] });
} catch (e) {
  if (!isVarscopeError(e)) throw e;
  const { code, what, at, hint } = e; // the class does not survive the way
  send({ error: { code, what, ...(at !== undefined && { at }), ...(hint !== undefined && { hint }) } });
}

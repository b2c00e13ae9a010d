/** @file Restoring through a saver's nodes: all or nothing, or what matches. Start at `restoreWith`. */

import { isVarscopeError, type Tensor, VarscopeError } from "../../base/index.ts";
import { boxOfSlice, parseSliceSpec } from "../../formats/checkpoint/slice.ts";
import type { VariableCollection } from "../../formats/collection/index.ts";
import type { Operation, Output } from "../../graph/index.ts";
import type { SaverDef } from "../../proto/meta-graph.gen.ts";
import type { FeedValue, Session } from "../../run/index.ts";
import { type Found, planRestore, type RestorePlan, reportOf } from "./plan.ts";
import { formatRestoreReport, type RestoreOptions, type RestoreReport } from "./report.ts";
import { type RestoreSite, restoreSites } from "./sites.ts";
import { openStored } from "./stored.ts";

const NOTHING: Omit<RestoreReport, "path"> = {
  matched: [],
  missing: [],
  mismatched: [],
  unused: [],
  assignmentMap: {},
};

/** Restores through the nodes of `def`. @throws VarscopeError as `Saver.restore` */
export async function restoreWith(
  session: Session,
  path: string | null,
  def: SaverDef | null,
  options: RestoreOptions,
): Promise<RestoreReport> {
  if (def === null) return { path: path ?? "", ...NOTHING };
  if (path === null) throw new VarscopeError("INVALID_ARGUMENT", "Can't load save_path when it is None.");
  const stored = await openStored(path).catch((e) => {
    if (session.remote === null || options.partial || !isVarscopeError(e, "INVALID_ARGUMENT")) throw e;
    return null; // the files may be on the server's disk alone
  });
  if (stored === null) return restoreThere(session, path, def);
  const { prefix, collection } = stored;
  try {
    const sites = restoreSites(session.graph, def);
    const plan = planRestore(sites, collection, options.assignmentMap);
    const report = reportOf(plan, sites, collection);
    if (options.partial) await restoreFound(session, plan.found, sites, collection);
    else await restoreAll(session, prefix, def, plan, report);
    return report;
  } finally {
    await collection.close();
  }
}

/** Restores a checkpoint that only the server can read. What else it holds is not known here. */
async function restoreThere(session: Session, path: string, def: SaverDef): Promise<RestoreReport> {
  await session.run([], { targets: [def.restoreOpName], feeds: { [def.filenameTensorName]: path } });
  const matched = restoreSites(session.graph, def).map(({ name, key }) => ({ name, key }));
  const assignmentMap = Object.fromEntries(matched.map(({ name, key }) => [key, name]));
  return { ...NOTHING, path, matched, assignmentMap };
}

/** Runs the saver's own restore op; keys that differ from the saver's are fed to it. */
async function restoreAll(
  session: Session,
  prefix: string,
  def: SaverDef,
  plan: RestorePlan<RestoreSite>,
  report: RestoreReport,
): Promise<void> {
  const feeds = new Map<Output | string, FeedValue>([[def.filenameTensorName, prefix]]);
  for (const [names, keys] of otherKeys(plan.found)) feeds.set(names, keys);
  try {
    await session.run([], { targets: [def.restoreOpName], feeds });
  } catch (e) {
    if (isVarscopeError(e, "NOT_FOUND"))
      throw explained(e, "a Variable name or other graph key that is missing", report);
    if (isVarscopeError(e, "INVALID_ARGUMENT"))
      throw explained(e, "a mismatch between the current graph and the graph", report);
    throw e;
  }
}

/** New lists of keys, for the reads that have a key of another name. */
function otherKeys(found: readonly Found<RestoreSite>[]): Map<Output, Tensor> {
  const lists = new Map<Output, Tensor>();
  for (const { wanted, entry } of found) {
    if (entry.key === wanted.key) continue;
    const names = wanted.value.op.inputs[1]!;
    const old = lists.get(names) ?? (names.op.attrs.value as Tensor);
    const data = [...(old.data as readonly Uint8Array[])];
    data[data.length === 1 ? 0 : wanted.value.index] = new TextEncoder().encode(entry.key);
    lists.set(names, { ...old, data } as Tensor);
  }
  return lists;
}

/** Runs those assignments all of whose values were found. */
async function restoreFound(
  session: Session,
  found: readonly Found<RestoreSite>[],
  sites: readonly RestoreSite[],
  collection: VariableCollection,
): Promise<void> {
  const ready = new Set(found.map(({ wanted }) => wanted.value));
  const targets = new Set<Operation>(sites.map((site) => site.assign));
  for (const { assign, value } of sites) if (!ready.has(value)) targets.delete(assign);
  if (targets.size === 0) return;
  const feeds = new Map<Output, Tensor>();
  for (const { wanted, entry } of found) {
    if (!targets.has(wanted.assign)) continue;
    const box = wanted.slice === "" ? null : boxOf(wanted.slice);
    const value = box === null ? collection.read(entry.name) : collection.readBox(entry.name, box);
    feeds.set(wanted.value, await value);
  }
  await session.run([], { targets: [...targets], feeds });
}

const boxOf = (spec: string) => {
  const { fullShape, slice } = parseSliceSpec(spec);
  return boxOfSlice(fullShape, slice);
};

const WAYS_OUT =
  "restore what matches with { partial: true }, the rest from other keys with an assignmentMap";

const explained = (e: VarscopeError, why: string, report: RestoreReport): VarscopeError =>
  new VarscopeError(
    e.code,
    `Restoring from checkpoint failed. This is most likely due to ${why} from the checkpoint. Please ensure that you have not altered the graph expected based on the checkpoint. Original error:\n\n${e.what}`,
    {
      cause: e,
      ...(e.at === undefined ? {} : { at: e.at }),
      hint: `${WAYS_OUT}:\n${formatRestoreReport(report)}`,
    },
  );

/** @file `varscope run`: a graph for inference or training, a JSON line a step. Start at `runCommand`. */

import { joinPath, makeDir, writeFileAtomic } from "#platform";
import { type Tensor, VarscopeError } from "../base/index.ts";
import { type GraphFile, openGraph } from "../edit/graph/open-graph.ts";
import { Session } from "../run/index.ts";
import { restoreSavedModel } from "../train/index.ts";
import { writeNpy } from "../wire/index.ts";
import { refuseExisting } from "./files.ts";
import { formatJson, tensorToJson } from "./json.ts";
import {
  needOperation,
  needOutput,
  needSignature,
  readFeeds,
  signatureTensor,
  type Wanted,
} from "./run-names.ts";
import { initialize, restore, save, savedFiles } from "./run-state.ts";
import type { Streams } from "./terminal.ts";

export interface RunFlags {
  readonly checkpoint?: string;
  readonly init?: boolean;
  readonly signature?: string;
  /** of a SavedModel's MetaGraph */
  readonly tags?: readonly string[];
  readonly feed?: readonly string[];
  readonly fetch?: readonly string[];
  readonly target?: readonly string[];
  readonly steps?: number;
  readonly save?: string;
  readonly out?: string;
  readonly server?: string;
  readonly force?: boolean;
  readonly json?: boolean;
}

/** One line of output. */
interface StepLine {
  readonly step: number;
  readonly fetches: { readonly [name: string]: unknown };
}

/**
 * Runs a graph as the flags say. Every step is one run of fetches and targets together.
 *
 * @throws VarscopeError ALREADY_EXISTS - an output is there; and as `openGraph` and `Session.run`
 */
export async function runCommand(model: string, flags: RunFlags, streams: Streams): Promise<void> {
  const file = await openGraph(model, undefined, flags.tags);
  const wanted = await resolve(file, flags);
  await refuseExisting(outputFiles(flags, wanted), flags.force);
  const { signal, stderr } = streams;
  const aborts = signal === undefined ? {} : { signal };
  const session = new Session(file.graph, {
    warn: (text) => stderr.write(`${text}\n`),
    ...(flags.server === undefined ? {} : { target: flags.server }),
  });
  try {
    if (flags.init) await initialize(session, file, aborts);
    if (flags.checkpoint !== undefined) await restore(session, file, flags.checkpoint, aborts);
    if (file.saved !== undefined) {
      const variables = !flags.init && flags.checkpoint === undefined; // its own
      await restoreSavedModel(session, file.saved.def, file.saved.folder, { variables, ...aborts });
    }
    const lines = await runSteps(session, wanted, flags, streams);
    if (flags.save !== undefined) await save(session, file, flags.save, aborts);
    if (flags.json) {
      const document = { steps: lines, ...(flags.save === undefined ? {} : { saved: flags.save }) };
      streams.stdout.write(`${formatJson(document)}\n`);
    }
  } finally {
    await session.close();
  }
}

async function resolve(file: GraphFile, flags: RunFlags): Promise<Wanted> {
  const { graph } = file;
  const signature = flags.signature === undefined ? null : needSignature(file, flags.signature);
  const asked = flags.fetch ?? [];
  const names = asked.length === 0 && signature !== null ? Object.keys(signature.outputs).sort() : asked;
  const tensorOf = (name: string): string =>
    signature === null ? name : signatureTensor(signature.outputs, name);
  const fetches = new Map(names.map((name) => [name, needOutput(graph, tensorOf(name))]));
  const targets = (flags.target ?? []).map((name) => needOperation(graph, name));
  if (fetches.size === 0 && targets.length === 0 && flags.save === undefined) {
    throw new VarscopeError("INVALID_ARGUMENT", "there is nothing to run", {
      at: file.path,
      hint: "name a tensor with --fetch or an op with --target; 'varscope inspect' lists them",
    });
  }
  return { feeds: await readFeeds(file, flags.feed ?? [], signature), fetches, targets };
}

const npyFile = (dir: string, name: string): string => joinPath(dir, `${name.replace(/[/:]/g, "_")}.npy`);

function outputFiles({ out, save: prefix }: RunFlags, { fetches }: Wanted): string[] {
  const arrays = out === undefined ? [] : [...fetches.keys()].map((name) => npyFile(out, name));
  return [...arrays, ...(prefix === undefined ? [] : savedFiles(prefix))];
}

async function runSteps(
  session: Session,
  { feeds, fetches, targets }: Wanted,
  flags: RunFlags,
  { stdout, stderr, signal }: Streams,
): Promise<StepLine[]> {
  if (fetches.size === 0 && targets.length === 0) return [];
  const { steps = 1, out } = flags;
  const showProgress = stderr.isTTY === true && stdout.isTTY !== true && steps > 1;
  const lines: StepLine[] = [];
  let last: Record<string, Tensor> = {};
  for (let step = 1; step <= steps; step++) {
    last = await session.run(Object.fromEntries(fetches), { feeds, targets, ...(signal && { signal }) });
    const shown = Object.entries(last).filter(([, t]) => out === undefined || t.shape.length === 0);
    const line = { step, fetches: Object.fromEntries(shown.map(([name, t]) => [name, tensorToJson(t)])) };
    if (flags.json) lines.push(line);
    else stdout.write(`${formatJson(line)}\n`);
    if (showProgress) stderr.write(`\rstep ${step}/${steps}${step === steps ? "\n" : ""}`);
  }
  if (out !== undefined) {
    await makeDir(out);
    for (const [name, t] of Object.entries(last)) {
      await writeFileAtomic(npyFile(out, name), [writeNpy(t)], signal ? { signal } : {});
    }
  }
  return lines;
}

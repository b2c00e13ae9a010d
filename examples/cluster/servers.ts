/** @file TensorFlow's servers as processes of this machine: a cluster to try things on. Start at `startServers`. */

import { type ChildProcessByStdio, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { createServer } from "node:net";
import type { Readable, Writable } from "node:stream";

/** One task. It prints its target when it serves, and ends when nobody holds its stdin any more. */
const SERVER = `
import json, os, sys
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
import tensorflow as tf
cluster, job, task = json.loads(sys.argv[1]), sys.argv[2], int(sys.argv[3])
server = tf.compat.v1.train.Server(tf.train.ClusterSpec(cluster), job_name=job, task_index=task)
print(server.target.decode() if isinstance(server.target, bytes) else server.target, flush=True)
sys.stdin.read()
os._exit(0)
`;

type Process = ChildProcessByStdio<Writable, Readable, Readable>;

export interface Servers {
  /** addresses by job */
  readonly cluster: Readonly<Record<string, readonly string[]>>;
  /** `grpc://127.0.0.1:port` */
  target(job: string, task: number): string;
  /** Ends one task as a crash would. */
  kill(job: string, task: number): Promise<void>;
  /** Starts a task that was killed. */
  restart(job: string, task: number): Promise<void>;
  close(): Promise<void>;
}

const PYTHONS = [process.env.VARSCOPE_PYTHON, ".venv/bin/python"];

/** A Python that may have TensorFlow. */
const findPython = (): string => PYTHONS.find((p) => p !== undefined && existsSync(p)) ?? "python3";

/**
 * Starts so many tasks of each job.
 *
 * @param env - variables for their environment
 * @returns null where no Python with TensorFlow is found
 */
export async function startServers(
  jobs: Readonly<Record<string, number>>,
  env: Readonly<Record<string, string>> = {},
): Promise<Servers | null> {
  const cluster: Record<string, string[]> = {};
  for (const [job, tasks] of Object.entries(jobs)) cluster[job] = await freeAddresses(tasks);
  const running = new Map<string, Process>();
  const start = async (job: string, task: number): Promise<boolean> => {
    const args = ["-c", SERVER, JSON.stringify(cluster), job, String(task)];
    const child = spawn(findPython(), args, { env: { ...process.env, ...env } });
    running.set(`${job}/${task}`, child);
    return serves(child);
  };
  const kill = async (job: string, task: number): Promise<void> => {
    const child = running.get(`${job}/${task}`)!;
    running.delete(`${job}/${task}`);
    await ended(child);
  };
  const close = async (): Promise<void> => {
    await Promise.all([...running.values()].map(ended));
    running.clear();
  };
  const tasks = Object.entries(jobs).flatMap(([job, n]) =>
    Array.from({ length: n }, (_, i) => [job, i] as const),
  );
  const started = await Promise.all(tasks.map(([job, task]) => start(job, task)));
  if (started.includes(false)) {
    await close();
    return null;
  }
  return {
    cluster,
    target: (job, task) => `grpc://${cluster[job]![task]}`,
    kill,
    restart: async (job, task) => void (await start(job, task)),
    close,
  };
}

/** Whether a process came so far as to print its target. */
async function serves(child: Process): Promise<boolean> {
  child.stderr.resume();
  return new Promise((resolve) => {
    child.stdout.once("data", () => resolve(true));
    child.once("exit", () => resolve(false));
    child.once("error", () => resolve(false));
  });
}

async function ended(child: Process): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return;
  await new Promise((resolve) => {
    child.once("exit", resolve);
    child.kill("SIGKILL");
  });
}

/** Addresses of this machine that are free now. */
async function freeAddresses(count: number): Promise<string[]> {
  const servers = await Promise.all(
    Array.from({ length: count }, async () => {
      const server = createServer();
      await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
      return server;
    }),
  );
  return Promise.all(
    servers.map((server) => {
      const { port } = server.address() as { port: number };
      return new Promise<string>((resolve) => server.close(() => resolve(`127.0.0.1:${port}`)));
    }),
  );
}

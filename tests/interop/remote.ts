/** @file A live cluster of three TensorFlow processes, and a live server for the op cases. What is tried on the cluster is in remote-training.ts and remote-runs.ts. */

import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Servers, startServers } from "../../examples/cluster/servers.ts";
import { remoteDifferences } from "./remote-cases.ts";
import { runsOnCluster } from "./remote-runs.ts";
import { trainingOnCluster } from "./remote-training.ts";
import type { TensorFlow } from "./tensorflow.ts";

export function remoteSuite(tf: TensorFlow | null, folder: string): void {
  describe.skipIf(tf === null)("a cluster", () => {
    let servers!: Servers;
    beforeAll(async () => {
      servers = (await startServers({ ps: 1, worker: 2 }))!;
    }, 120_000);
    afterAll(() => servers?.close());
    trainingOnCluster(() => servers, tf!, folder);
    runsOnCluster(() => servers);
  });

  describe.skipIf(tf === null)("a server", () => {
    let server!: Servers;
    beforeAll(async () => {
      server = (await startServers({ local: 1 }, { TF_ENABLE_ONEDNN_OPTS: "0" }))!;
    }, 120_000);
    afterAll(() => server?.close());

    test("computes what the goldens of all op cases say", async () => {
      const { ran, differences } = await remoteDifferences(server.target("local", 0));
      expect(differences).toEqual({});
      expect(ran).toBeGreaterThan(2500);
    }, 600_000);
  });
}

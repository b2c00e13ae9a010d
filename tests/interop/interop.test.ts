/** The live suite against a real TensorFlow: skipped where none is found. One Python process serves it all, since TensorFlow takes seconds to load. */

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll } from "vitest";
import { arraySuite } from "./arrays.ts";
import { averageSuite } from "./averages.ts";
import { checkpointSuite } from "./checkpoints.ts";
import { convertSuite } from "./convert.ts";
import { digitsSuite } from "./digits.ts";
import { frozenSuite } from "./frozen.ts";
import { functionGradientSuite } from "./function-gradients.ts";
import { importExportSuite } from "./import-export.ts";
import { kerasFileSuite } from "./keras-files.ts";
import { loopGradientSuite } from "./loop-gradients.ts";
import { monitoredSuite } from "./monitored.ts";
import { objectSuite } from "./objects.ts";
import { partitionedSuite } from "./partitioned.ts";
import { partsSuite } from "./parts.ts";
import { pythonGraphSuite } from "./python-graphs.ts";
import { recurrentSuite } from "./recurrent.ts";
import { remoteSuite } from "./remote.ts";
import { saverSuite } from "./savers.ts";
import { startTensorFlow } from "./tensorflow.ts";
import { trainingSuite } from "./training.ts";
import { transformSuite } from "./transforms.ts";
import { turnsSuite } from "./turns.ts";
import { v1Suite } from "./v1.ts";

const tf = await startTensorFlow();
const folder = await mkdtemp(join(tmpdir(), "varscope-interop-"));

afterAll(async () => {
  await tf?.close();
  await rm(folder, { recursive: true, force: true });
}, 60_000); // TensorFlow takes its time to end, too

trainingSuite(tf, folder);
checkpointSuite(tf, folder);
frozenSuite(tf, folder);
pythonGraphSuite(tf, folder);
digitsSuite(tf);
arraySuite(tf, folder);
convertSuite(tf, folder);
v1Suite(tf, folder);
objectSuite(tf, folder);
kerasFileSuite(tf, folder);
partitionedSuite(tf, folder);
monitoredSuite(tf, folder);
partsSuite(tf, folder);
saverSuite(tf, folder);
averageSuite(tf, folder);
remoteSuite(tf, folder);
turnsSuite(tf, folder);
loopGradientSuite(tf);
functionGradientSuite(tf, folder);
importExportSuite(tf, folder);
transformSuite(tf, folder);
recurrentSuite(tf, folder);

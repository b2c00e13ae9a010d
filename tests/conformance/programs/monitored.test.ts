/** Graphs of monitored trainings and summaries have the nodes, names and collections that TensorFlow Python gives them. */

import { MONITORED_PROGRAMS } from "./monitored.ts";
import { programSuite } from "./suite.ts";

programSuite("monitored", MONITORED_PROGRAMS);

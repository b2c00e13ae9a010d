/** Graphs of monitored trainings and summaries have the nodes, names and collections that TensorFlow Python gives them. */

import { describe } from "vitest";
import { MONITORED_PROGRAMS } from "./monitored.ts";
import { programSuite } from "./suite.ts";

describe("graphs of monitored trainings and summaries", () => programSuite("monitored", MONITORED_PROGRAMS));

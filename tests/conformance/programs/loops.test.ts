/** Loops have the NodeDefs that TensorFlow Python gives them, and its values. */

import { describe } from "vitest";
import { IMPORTED_LOOPS } from "./loop-gradients.ts";
import { LOOP_PROGRAMS } from "./loops.ts";
import { programSuite } from "./suite.ts";

programSuite("loops", LOOP_PROGRAMS);

describe("gradients of imported loops", () => programSuite("loops/imported", IMPORTED_LOOPS, "gradients/"));

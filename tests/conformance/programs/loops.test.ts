/** Loops have the NodeDefs that TensorFlow Python gives them, and its values. */

import { LOOP_PROGRAMS } from "./loops.ts";
import { programSuite } from "./suite.ts";

programSuite("loops", LOOP_PROGRAMS);

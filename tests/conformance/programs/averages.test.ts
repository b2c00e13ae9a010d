/** Programs of moving averages have the NodeDefs, collections and values that TensorFlow Python gives the same program. */

import { AVERAGE_PROGRAMS } from "./averages.ts";
import { programSuite } from "./suite.ts";

programSuite("averages", AVERAGE_PROGRAMS);

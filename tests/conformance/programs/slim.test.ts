/** Programs of slim's layers have the NodeDefs, collections and values that tf_slim gives the same program. */

import { SLIM_PROGRAMS } from "./slim.ts";
import { programSuite } from "./suite.ts";

programSuite("slim", SLIM_PROGRAMS);

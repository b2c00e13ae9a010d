/** Whole programs built here have the NodeDefs, collections and values that TensorFlow Python gives the same program. */

import { LAYER_PROGRAMS } from "./layers.ts";
import { programSuite } from "./suite.ts";
import { TRAINING_PROGRAMS } from "./training.ts";
import { VARIABLE_PROGRAMS } from "./variables.ts";

programSuite("programs", { ...VARIABLE_PROGRAMS, ...TRAINING_PROGRAMS, ...LAYER_PROGRAMS });

/** Programs of batch normalization have the NodeDefs, collections and values that Keras 2's tf.layers and slim give the same program. */

import { BATCH_NORM_PROGRAMS } from "./batch-norm.ts";
import { programSuite } from "./suite.ts";

programSuite("batch-norm", BATCH_NORM_PROGRAMS);

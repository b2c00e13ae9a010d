/** Programs over volumes, layers and training, are TensorFlow's: nodes, collections and values. */

import { programSuite } from "./suite.ts";
import { VOLUME_PROGRAMS } from "./volumes.ts";

programSuite("volumes", VOLUME_PROGRAMS);

/** Image functions add the NodeDefs that TensorFlow Python's add, and give its values, gradients included. */

import { IMAGE_PROGRAMS } from "./images.ts";
import { programSuite } from "./suite.ts";

programSuite("images", IMAGE_PROGRAMS);

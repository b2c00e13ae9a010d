/** Programs of tensor arrays and lists have the NodeDefs and values that TensorFlow Python gives the same program, gradients included. */

import { LIST_PROGRAMS } from "./lists.ts";
import { programSuite } from "./suite.ts";

programSuite("lists", LIST_PROGRAMS);

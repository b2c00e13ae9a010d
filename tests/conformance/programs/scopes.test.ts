/** Names, scopes, templates, getters and partitioned variables have the NodeDefs and collections that TensorFlow Python gives them. */

import { SCOPE_PROGRAMS } from "./scopes.ts";
import { programSuite } from "./suite.ts";

programSuite("scopes", SCOPE_PROGRAMS);

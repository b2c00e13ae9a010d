/** Op cases of families every second one of the others. */

import { testFamily } from "./op-cases.ts";
import { evenFamilies } from "./op-groups.ts";

for (const family of evenFamilies) testFamily(family);

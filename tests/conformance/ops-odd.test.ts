/** Op cases of families the rest. */

import { testFamily } from "./op-cases.ts";
import { oddFamilies } from "./op-groups.ts";

for (const family of oddFamilies) testFamily(family);

/** Op cases of families whose lowerings have blocked layouts. */

import { testFamily } from "./op-cases.ts";
import { imageFamilies } from "./op-groups.ts";

for (const family of imageFamilies) testFamily(family);

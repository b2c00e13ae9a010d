/**
 * @file All ops of the core registry. Each family file holds its ops whole: signature, shapes, gradient, lowering, host kernel, and the
 * public builder functions beneath. Start at activation.ts.
 */

import { registry } from "../graph/index.ts";

/** Every op that varscope knows, by type. */
export const CORE_OPS = registry();

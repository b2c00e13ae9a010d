/** @file Programs of layers, losses and batch normalization: twins of tools/goldens/programs.py. */

import type { Program } from "./pieces.ts";

export const LAYER_PROGRAMS: Record<string, Program> = {};

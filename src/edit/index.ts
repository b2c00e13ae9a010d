/** @file Changing models: freezing so far. Works on graphs and values, never on a file. Start at freeze.ts. */

export { convertVariablesToConstants, type FreezeOptions, freezeGraph, type ValueOf } from "./freeze.ts";

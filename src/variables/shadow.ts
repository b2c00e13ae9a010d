/** @file Shadows: variables beside others, that remember something of each. @see TensorFlow python/training/slot_creator.py */

import { isStatic } from "../base/index.ts";
import type { Output } from "../graph/index.ts";
import type { SaveSliceInfoDef } from "../proto/variable.gen.ts";
import { getVariable } from "./get-variable.ts";
import { variableScope } from "./scope.ts";
import type { Initializer } from "./scope-state.ts";
import { isVariable, type Variable } from "./variable.ts";

/** A part's shadow is the same part of the whole's shadow, whose name is TensorFlow's cut of the shadow's own. */
const partLike =
  (x: Variable, info: SaveSliceInfoDef) =>
  (shadow: string): SaveSliceInfoDef => ({
    ...info,
    fullName: `${info.fullName}/${shadow.slice(x.op.name.length + 1)}`,
  });

/**
 * A variable as large as `x`, not trained, in a scope of its own: `<x>/<name>`, or with a suffix where that was opened before. Of a variable
 * it has the kind and the place.
 */
export function shadowOf(x: Variable | Output, name: string, initializer: Output | Initializer): Variable {
  const { graph, op } = x;
  return variableScope(graph, null, { defaultName: `${op.name}/${name}` }, (scope) => {
    scope.partitioner = undefined; // the shadow of a part is no whole that is cut again
    const make = (): Variable =>
      getVariable(graph, "", {
        initializer,
        trainable: false,
        dtype: x.dtype,
        ...(typeof initializer === "function" ? { shape: x.shape! } : {}),
        ...(isVariable(x) ? { useResource: x.isResource } : {}),
        ...(isVariable(x) && x.saveSliceInfo !== null ? { saveSliceInfo: partLike(x, x.saveSliceInfo) } : {}),
        ...(isStatic(x.shape) ? {} : { validateShape: false }),
      });
    return op.def?.variable === undefined ? make() : graph.colocateWith(op, make);
  });
}

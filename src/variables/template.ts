/** @file Templates: functions that make their variables when first called and share them from then on. @see TensorFlow python/ops/template.py */

import { isVarscopeError, VarscopeError } from "../base/index.ts";
import type { Graph } from "../graph/index.ts";
import { globalVariables, localVariables, trainableVariables } from "./collections.ts";
import { linesOf } from "./origin.ts";
import { pureScope, uniqueScope, variableScope } from "./scope.ts";
import type { CustomGetter, VariableScope } from "./scope-state.ts";
import type { Variable } from "./variable.ts";

export interface TemplateOptions {
  /** opens the variable scope here; by default where the template is first called: false */
  readonly createScopeNow?: boolean;
  /** name of the variable scope, in place of the template's name made unique */
  readonly uniqueName?: string;
  readonly customGetter?: CustomGetter;
}

/** A function with variables of its own. */
export interface Template<A extends readonly unknown[], R> {
  (...args: A): R;
  /** null before it is known */
  scope(): VariableScope | null;
  /** none before the first call */
  globalVariables(): Variable[];
  trainableVariables(): Variable[];
  localVariables(): Variable[];
}

/**
 * Wraps a function whose variables are all made by `getVariable`: each call uses those of the first. Its scope is `name`, made unique.
 *
 * Calls throw, beside what the function throws:
 * @throws VarscopeError INVALID_ARGUMENT - a later call made a variable that is trained; `name` is empty
 */
export function makeTemplate<A extends readonly unknown[], R>(
  graph: Graph,
  name: string,
  body: (...args: A) => R,
  options: TemplateOptions = {},
): Template<A, R> {
  if (typeof name !== "string") throw new VarscopeError("INVALID_ARGUMENT", "name cannot be None.");
  const { customGetter, uniqueName = null } = options;
  const origin = new Error(name);
  const getter = customGetter === undefined ? {} : { customGetter };
  let scope: VariableScope | null = null;
  let isMade = false;
  if (options.createScopeNow) {
    const at = uniqueName ?? uniqueScope(graph, name);
    scope = pureScope(graph, at, at, getter, (opened) => opened);
  }
  const inside = (args: A): R => {
    try {
      const before = trainableVariables(graph).length;
      const wasMade = isMade;
      const result = body(...args);
      if (wasMade) checkNoneTrained(trainableVariables(graph).slice(before));
      isMade = true;
      return result;
    } catch (e) {
      throw isVarscopeError(e) ? withOrigin(e, origin) : e;
    }
  };
  const call = (...args: A): R => {
    if (scope !== null) return variableScope(graph, scope, { reuse: isMade }, () => inside(args));
    return variableScope(graph, uniqueName, { defaultName: name, ...getter }, (opened) => {
      scope = opened;
      return inside(args);
    });
  };
  const own = (list: typeof globalVariables) => (): Variable[] =>
    scope === null || !isMade ? [] : list(graph, scope.name === "" ? "" : `${scope.name}/`);
  return Object.assign(call, {
    scope: () => scope,
    globalVariables: own(globalVariables),
    trainableVariables: own(trainableVariables),
    localVariables: own(localVariables),
  });
}

function checkNoneTrained(made: readonly Variable[]): void {
  if (made.length === 0) return;
  throw new VarscopeError(
    "INVALID_ARGUMENT",
    `Trainable variable created when calling a template after the first time, perhaps you used tf.Variable when you meant tf.get_variable: [${made.map((v) => `'${v.name}'`).join(", ")}]`,
    { hint: "make it with getVariable, or with trainable: false" },
  );
}

/** The error, with the place where the template was made. */
function withOrigin(e: VarscopeError, origin: Error): VarscopeError {
  const lines = linesOf(origin);
  if (lines.length === 0) return e;
  return new VarscopeError(e.code, `${e.what}\n\noriginally defined at:\n${lines.join("\n")}`, {
    ...(e.at === undefined ? {} : { at: e.at }),
    ...(e.hint === undefined ? {} : { hint: e.hint }),
    cause: e,
  });
}

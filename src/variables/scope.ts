/**
 * @file Variable scopes: a prefix for the names of variables, with defaults for `getVariable`. Each opens a name scope for ops too. Start at
 * `variableScope`.
 *
 * @see TensorFlow python/ops/variable_scope.py
 */

import { VarscopeError } from "../base/index.ts";
import type { Graph } from "../graph/index.ts";
import {
  AUTO_REUSE,
  type CustomGetter,
  type Reuse,
  type ScopeDefaults,
  scopeState,
  VariableScope,
} from "./scope-state.ts";

export interface VariableScopeOptions extends ScopeDefaults {
  /** used, made unique, where the name is null */
  readonly defaultName?: string;
  /** null and false: as outside; true and AUTO_REUSE: also for all scopes within */
  readonly reuse?: Reuse;
  /** false: opens no name scope of its own: true */
  readonly auxiliaryNameScope?: boolean;
}

/** The innermost open variable scope of a graph. */
export const getVariableScope = (graph: Graph): VariableScope => scopeState(graph).current;

/**
 * Runs `body` in a variable scope: `name` prolongs the current prefix, a scope object jumps to its own. It opens a name scope of the same name
 * too, which is made unique: the second `vs` has variables `vs/w` and ops `vs_1/...`.
 *
 * @throws VarscopeError INVALID_ARGUMENT - neither name nor default name; reuse without a name
 */
export function variableScope<R>(
  graph: Graph,
  nameOrScope: string | VariableScope | null,
  options: VariableScopeOptions,
  body: (scope: VariableScope) => R,
): R {
  if (![undefined, null, true, false, AUTO_REUSE].includes(options.reuse)) {
    throw new VarscopeError("INVALID_ARGUMENT", "The reuse parameter must be True or False or None.", {
      hint: `give true, false, null or AUTO_REUSE, not ${String(options.reuse)}`,
    });
  }
  if (nameOrScope === null) return defaultScope(graph, options, body);
  if (typeof nameOrScope !== "string" && !(nameOrScope instanceof VariableScope)) {
    const what = "VariableScope: name_or_scope must be a string or VariableScope.";
    throw new VarscopeError("INVALID_ARGUMENT", what, { hint: `it is ${String(nameOrScope)}` });
  }
  const jump = nameOrScope instanceof VariableScope ? nameOrScope : null;
  const nameScope = typeof nameOrScope === "string" ? nameOrScope : nameOrScope.name.split("/").at(-1)!;
  if (nameScope === "" && options.auxiliaryNameScope !== false) {
    return pureScope(graph, nameOrScope, "", options, body);
  }
  return inNameScope(graph, nameScope, options, (opened) =>
    pureScope(graph, nameOrScope, jump?.originalNameScope ?? opened, options, body),
  );
}

function defaultScope<R>(graph: Graph, options: VariableScopeOptions, body: (scope: VariableScope) => R): R {
  const { defaultName } = options;
  if (defaultName === undefined) {
    throw new VarscopeError("INVALID_ARGUMENT", "If default_name is None then name_or_scope is required");
  }
  if (options.reuse) {
    throw new VarscopeError("INVALID_ARGUMENT", "reuse=True cannot be used without a name_or_scope");
  }
  return inNameScope(graph, defaultName, options, (opened) =>
    pureScope(graph, uniqueScope(graph, defaultName), opened, options, body),
  );
}

function inNameScope<R>(
  graph: Graph,
  name: string,
  options: VariableScopeOptions,
  body: (scope: string) => R,
): R {
  if (options.auxiliaryNameScope !== false) return graph.nameScope(name, body);
  const { currentScope } = graph.namer;
  return graph.nameScope(currentScope === "" ? null : `${currentScope}/`, body);
}

/** `prefix` with the first number that no scope opened here has. */
export function uniqueScope(graph: Graph, prefix: string): string {
  const { current, counts } = scopeState(graph);
  const full = current.name === "" ? prefix : `${current.name}/${prefix}`;
  if (!counts.get(full)) return prefix;
  let i = 1;
  while (counts.get(`${full}_${i}`)) i++;
  return `${prefix}_${i}`;
}

/** A getter whose own getter is that of the scope outside. */
function nested(inner: CustomGetter | undefined, outer: CustomGetter | undefined): CustomGetter | undefined {
  if (inner === undefined || outer === undefined) return inner ?? outer;
  return (getter, name, options) => inner((n, o) => outer(getter, n, o), name, options);
}

/** The variable part of a scope, without a name scope. */
export function pureScope<R>(
  graph: Graph,
  nameOrScope: string | VariableScope,
  nameScope: string,
  options: VariableScopeOptions,
  body: (scope: VariableScope) => R,
): R {
  const state = scopeState(graph);
  const old = state.current;
  const jump = nameOrScope instanceof VariableScope;
  const base = jump ? nameOrScope : old;
  const name = jump ? base.name : old.name === "" ? nameOrScope : `${old.name}/${nameOrScope}`;
  const scope = new VariableScope(graph, name, nameScope, options.reuse || base.reuse, {
    initializer: options.initializer ?? base.initializer,
    regularizer: options.regularizer ?? base.regularizer,
    dtype: options.dtype ?? base.dtype,
    useResource: options.useResource ?? base.useResource,
    constraint: options.constraint, // TensorFlow's constraints are not inherited
    cachingDevice: options.cachingDevice ?? base.cachingDevice,
    partitioner: options.partitioner ?? base.partitioner,
    customGetter: nested(options.customGetter, base.customGetter),
  });
  if (options.auxiliaryNameScope !== false && nameScope.endsWith("/")) {
    state.nameScopes.set(name, (state.nameScopes.get(name) ?? new Set()).add(nameScope));
  }
  state.counts.set(name, (state.counts.get(name) ?? 0) + 1);
  const saved = jump ? new Map(state.counts) : null;
  state.current = scope;
  try {
    return body(scope);
  } finally {
    if (saved !== null) state.counts = saved;
    else for (const key of state.counts.keys()) if (key.startsWith(`${name}/`)) state.counts.set(key, 0);
    state.current = old;
  }
}

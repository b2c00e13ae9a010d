/**
 * @file Variable scopes and sharing: `variableScope` opens a prefix with defaults, `getVariable` makes the variable of a name once and hands
 * it out again where the scope says so. Names of variables follow variable scopes, names of ops follow the name scopes these open.
 *
 * @see TensorFlow python/ops/variable_scope.py
 */

import {
  type DType,
  formatPyShape,
  isCompatible,
  isFloat,
  isStatic,
  type Shape,
  VarscopeError,
} from "../base/index.ts";
import { type Graph, type Input, Output } from "../graph/index.ts";
import { type InitialValue, type VariableOptions, variable } from "./create.ts";
import { glorotUniformInitializer, zerosInitializer } from "./initializers.ts";
import { regularizeLazily } from "./regularization.ts";
import {
  type Initializer,
  type Regularizer,
  type Reuse,
  type ScopeDefaults,
  scopeState,
  VariableScope,
} from "./scope-state.ts";
import type { Variable } from "./variable.ts";

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
  if (nameOrScope === null) return defaultScope(graph, options, body);
  const jump = nameOrScope instanceof VariableScope ? nameOrScope : null;
  const nameScope = jump === null ? (nameOrScope as string) : jump.name.split("/").at(-1)!;
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
function uniqueScope(graph: Graph, prefix: string): string {
  const { current, counts } = scopeState(graph);
  const full = current.name === "" ? prefix : `${current.name}/${prefix}`;
  if (!counts.get(full)) return prefix;
  let i = 1;
  while (counts.get(`${full}_${i}`)) i++;
  return `${prefix}_${i}`;
}

/** The variable part of a scope, without a name scope. */
function pureScope<R>(
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
    constraint: options.constraint,
  });
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

export interface GetVariableOptions {
  /** needed for a new variable unless `initializer` is a value */
  readonly shape?: Shape;
  /** by default the scope's, and that is float32 */
  readonly dtype?: DType;
  /** a value, or what builds one; by default the scope's, else glorot uniform for floats and zeros for the rest */
  readonly initializer?: Initializer | Input;
  /** its result goes to the collection `regularization_losses` */
  readonly regularizer?: Regularizer;
  readonly reuse?: Reuse;
  readonly trainable?: boolean;
  readonly collections?: readonly string[];
  readonly useResource?: boolean;
  readonly validateShape?: boolean;
  readonly constraint?: (value: Output) => Output;
  readonly synchronization?: number;
  readonly aggregation?: number;
}

/**
 * The variable `name` of the open variable scope: made, or shared as the scope's `reuse` says. Name scopes do not count.
 *
 * @throws VarscopeError ALREADY_EXISTS - it is there and may not be shared
 * @throws VarscopeError NOT_FOUND - it is not there and may not be made
 * @throws VarscopeError INVALID_ARGUMENT - shape or dtype differ from the shared variable's, or are not given
 */
export function getVariable(graph: Graph, name: string, options: GetVariableOptions = {}): Variable {
  const scope = getVariableScope(graph);
  const full = scope.name === "" ? name : `${scope.name}/${name}`;
  const asked = { ...options };
  if (options.dtype !== undefined && options.initializer instanceof Output) {
    if (options.initializer.dtype !== options.dtype) {
      throw invalid(
        full,
        `Initializer type '${options.initializer.dtype}' and explicit dtype '${options.dtype}' don't match.`,
      );
    }
  }
  const initializer = options.initializer ?? scope.initializer;
  const isValue = initializer !== undefined && typeof initializer !== "function";
  if (options.shape !== undefined && isValue) {
    throw invalid(full, "If initializer is a constant, do not specify shape.");
  }
  const dtype = options.dtype ?? scope.dtype;
  const state = scopeState(graph);
  const found = state.variables.get(full);
  const reuse = options.reuse ?? scope.reuse;
  if (found !== undefined) return shared(full, found, reuse, options.shape, dtype, state.origins.get(found));
  if (reuse === true) {
    throw new VarscopeError(
      "NOT_FOUND",
      `Variable ${full} does not exist, or was not created with tf.get_variable(). Did you mean to set reuse=tf.AUTO_REUSE in VarScope?`,
    );
  }
  return graph.nameScope(null, () => {
    const v = variable(graph, initialFor(graph, full, initializer, asked, dtype), {
      ...pick(asked),
      name: full,
      useResource: options.useResource ?? scope.useResource ?? false,
      ...(isValue && options.dtype === undefined ? {} : { dtype }),
      ...(options.shape === undefined ? {} : { shape: options.shape }),
      ...((options.constraint ?? scope.constraint)
        ? { constraint: (options.constraint ?? scope.constraint)! }
        : {}),
    });
    state.variables.set(full, v);
    state.origins.set(v, new Error(full));
    regularizeLazily(v, full, options.regularizer ?? scope.regularizer);
    return v;
  });
}

const invalid = (at: string, what: string): VarscopeError =>
  new VarscopeError("INVALID_ARGUMENT", what, { at });

/** The options that `variable` takes as they are. */
function pick(o: GetVariableOptions): VariableOptions {
  const { trainable, collections, validateShape, synchronization, aggregation } = o;
  const all = { trainable, collections, validateShape, synchronization, aggregation };
  return Object.fromEntries(Object.entries(all).filter(([, v]) => v !== undefined)) as VariableOptions;
}

function shared(
  name: string,
  found: Variable,
  reuse: Reuse,
  shape: Shape | undefined,
  dtype: DType,
  origin: Error | undefined,
): Variable {
  if (reuse === false || reuse === null) {
    const what = `Variable ${name} already exists, disallowed. Did you mean to set reuse=True or reuse=tf.AUTO_REUSE in VarScope?`;
    throw new VarscopeError("ALREADY_EXISTS", found.isResource ? what : what + definedAt(origin));
  }
  if (shape !== undefined && !isCompatible(shape, found.shape)) {
    throw new VarscopeError(
      "INVALID_ARGUMENT",
      `Trying to share variable ${name}, but specified shape ${formatPyShape(shape)} and found shape ${formatPyShape(found.shape)}.`,
    );
  }
  if (dtype !== found.dtype) {
    throw new VarscopeError(
      "INVALID_ARGUMENT",
      `Trying to share variable ${name}, but specified dtype ${dtype} and found dtype ${found.dtype}${found.isResource ? "" : "_ref"}.`,
    );
  }
  return found;
}

/** Where a variable was made, as far as the engine says, without this package's own frames. */
function definedAt(origin: Error | undefined): string {
  const own = new URL("..", import.meta.url).href;
  const frames = (origin?.stack ?? "").split("\n").filter((line) => /^\s+at /.test(line));
  const theirs = frames.filter((line) => !line.includes(own)).slice(0, 5);
  return theirs.length === 0 ? "" : ` Originally defined at:\n\n${theirs.join("\n")}`;
}

function initialFor(
  graph: Graph,
  name: string,
  initializer: Initializer | Input | undefined,
  options: GetVariableOptions,
  dtype: DType,
): InitialValue {
  if (initializer !== undefined && typeof initializer !== "function") return initializer;
  const { shape } = options;
  if (shape !== undefined && isStatic(shape)) {
    const build = initializer ?? defaultInitializer(name, dtype);
    return () => build(graph, shape, dtype);
  }
  if (initializer === undefined) {
    throw invalid(
      name,
      `Variable ${name} did not get an initializer, so its \`shape\` argument must be specified.`,
    );
  }
  if (initializer.length === 0) return () => (initializer as unknown as () => Input)();
  throw invalid(
    name,
    "The initializer passed is not valid. It should be a callable with no arguments and the shape should not be provided or an instance of `tf.keras.initializers.*' and `shape` should be fully defined.",
  );
}

function defaultInitializer(name: string, dtype: DType): Initializer {
  if (isFloat(dtype)) return glorotUniformInitializer();
  if (/^(u?int|bool|string)/.test(dtype)) return zerosInitializer();
  throw invalid(name, `An initializer for variable ${name} of ${dtype} is required`);
}

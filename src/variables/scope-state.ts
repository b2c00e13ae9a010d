/**
 * @file What variable scopes know of a graph: the variables by full name, the open scope, how often each scope was opened. `variableScope` in
 * scope.ts opens scopes.
 *
 * @see TensorFlow python/ops/variable_scope.py "VariableScope", "_VariableScopeStore"
 */

import type { DType } from "../base/index.ts";
import type { Graph, Input, Output } from "../graph/index.ts";
import { globalVariables, localVariables, trainableVariables } from "./collections.ts";
import type { Variable } from "./variable.ts";

/** Builds an initial value of a shape and dtype in the current name scope. */
export type Initializer = (graph: Graph, shape: readonly number[], dtype: DType) => Input;

/** A loss made from a variable, or none. Read the variable with `value()`. */
export type Regularizer = (v: Variable) => Output | null;

/** Make variables that are not there, share those that are. */
export const AUTO_REUSE = "auto";
/** null and false: make new ones only; true: share existing ones only. */
export type Reuse = boolean | null | typeof AUTO_REUSE;

/** What a scope hands to `getVariable` calls inside it. */
export interface ScopeDefaults {
  readonly initializer?: Initializer | undefined;
  readonly regularizer?: Regularizer | undefined;
  readonly dtype?: DType | undefined;
  readonly useResource?: boolean | undefined;
  readonly constraint?: ((value: Output) => Output) | undefined;
}

/** An open or remembered variable scope. */
export class VariableScope {
  readonly graph: Graph;
  /** prefix of variable names, without the slash */
  readonly name: string;
  /** the name scope that it opened first: `vs/`, then `vs_1/` */
  readonly originalNameScope: string;
  reuse: Reuse;
  initializer: Initializer | undefined;
  regularizer: Regularizer | undefined;
  dtype: DType;
  useResource: boolean | undefined;
  readonly constraint: ((value: Output) => Output) | undefined;

  constructor(
    graph: Graph,
    name: string,
    originalNameScope: string,
    reuse: Reuse,
    defaults: ScopeDefaults = {},
  ) {
    this.graph = graph;
    this.name = name;
    this.originalNameScope = originalNameScope;
    this.reuse = reuse;
    this.initializer = defaults.initializer;
    this.regularizer = defaults.regularizer;
    this.dtype = defaults.dtype ?? "float32";
    this.useResource = defaults.useResource;
    this.constraint = defaults.constraint;
  }

  /** From now on this scope shares variables. There is no way back. */
  reuseVariables(): void {
    this.reuse = true;
  }

  globalVariables(): Variable[] {
    return globalVariables(this.graph, this.prefix());
  }

  trainableVariables(): Variable[] {
    return trainableVariables(this.graph, this.prefix());
  }

  localVariables(): Variable[] {
    return localVariables(this.graph, this.prefix());
  }

  private prefix(): string {
    return this.name === "" ? "" : `${this.name}/`;
  }
}

export interface ScopeState {
  readonly variables: Map<string, Variable>;
  /** where each variable was made: for the error of making it again */
  readonly origins: WeakMap<Variable, Error>;
  current: VariableScope;
  /** how often each scope was opened since its parent was closed */
  counts: Map<string, number>;
}

// keyed by graph: no graph sees another's variables, and nothing outlives its graph
const states = new WeakMap<Graph, ScopeState>();

export function scopeState(graph: Graph): ScopeState {
  let state = states.get(graph);
  if (state === undefined) {
    const current = new VariableScope(graph, "", "", false);
    state = { variables: new Map(), origins: new WeakMap(), current, counts: new Map() };
    states.set(graph, state);
  }
  return state;
}

/** Whether the open scope makes resource variables. TensorFlow 1's default is reference variables. */
export const currentUseResource = (graph: Graph): boolean => scopeState(graph).current.useResource ?? false;

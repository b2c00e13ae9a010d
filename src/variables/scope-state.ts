/**
 * @file What variable scopes know of a graph: the variables by full name, the open scope, how often each scope was opened. `variableScope` in
 * scope.ts opens scopes.
 *
 * @see TensorFlow python/ops/variable_scope.py "VariableScope", "_VariableScopeStore"
 */

import type { DType, Shape } from "../base/index.ts";
import type { Device, Graph, Input, Output } from "../graph/index.ts";
import type { SaveSliceInfoDef } from "../proto/variable.gen.ts";
import { GraphKeys } from "./collections.ts";
import type { PartitionedVariable, Variable } from "./variable.ts";

/** Which part of a partitioned variable an initial value is for. */
export interface PartitionInfo {
  readonly fullShape: readonly number[];
  /** where the part begins, in each dim */
  readonly varOffset: readonly number[];
}

/** Builds an initial value of a shape and dtype in the current name scope. */
export type Initializer = (
  graph: Graph,
  shape: readonly number[],
  dtype: DType,
  partition?: PartitionInfo,
) => Input;

/** How many parts each dim of a variable is cut into; more than one in one dim at most. */
export type Partitioner = (shape: readonly number[], dtype: DType) => readonly number[];

/** A loss made from a variable, or none. Read the variable with `value()`. */
export type Regularizer = (v: Variable) => Output | null;

/** What `getVariable` may give: a custom getter may make an output of variables. */
export type Gotten = Variable | PartitionedVariable | Output;

/** `getVariable` behind the scope: takes the full name, and options with the scope's defaults filled in. */
export type Getter = (name: string, options: GetterOptions) => Gotten;

/** Stands between `getVariable` and the variables: calls `getter`, with another name, other options, several times or not at all. */
export type CustomGetter = (getter: Getter, name: string, options: GetterOptions) => Gotten;

/** What a variable is asked to be. */
export interface GetterOptions {
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
  /** where a copy of the value is kept for its readers */
  readonly cachingDevice?: Device;
  /** cuts the variable into parts, unless it is a scalar */
  readonly partitioner?: Partitioner;
  /** of a part of a larger variable: which part, given the variable's own name */
  readonly saveSliceInfo?: (name: string) => SaveSliceInfoDef;
}

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
  readonly cachingDevice?: Device | undefined;
  readonly partitioner?: Partitioner | undefined;
  /** called for each variable; its getter is that of the scope outside, if that has one */
  readonly customGetter?: CustomGetter | undefined;
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
  cachingDevice: Device | undefined;
  partitioner: Partitioner | undefined;
  customGetter: CustomGetter | undefined;

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
    this.cachingDevice = defaults.cachingDevice;
    this.partitioner = defaults.partitioner;
    this.customGetter = defaults.customGetter;
  }

  /** From now on this scope shares variables. There is no way back. */
  reuseVariables(): void {
    this.reuse = true;
  }

  /** What of a collection has a name in this scope. The scope's name counts as a regular expression, as in TensorFlow. */
  getCollection<T = unknown>(key: string): T[] {
    return this.graph.getCollection<T>(key, this.name === "" ? "" : `${this.name}/`);
  }

  globalVariables(): Variable[] {
    return this.getCollection(GraphKeys.GLOBAL_VARIABLES);
  }

  trainableVariables(): Variable[] {
    return this.getCollection(GraphKeys.TRAINABLE_VARIABLES);
  }

  localVariables(): Variable[] {
    return this.getCollection(GraphKeys.LOCAL_VARIABLES);
  }
}

export interface ScopeState {
  readonly variables: Map<string, Variable>;
  readonly partitioned: Map<string, PartitionedVariable>;
  /** where each variable was made: for the error of making it again */
  readonly origins: WeakMap<Variable, Error>;
  current: VariableScope;
  /** the name scopes that each variable scope opened */
  readonly nameScopes: Map<string, Set<string>>;
  /** how often each scope was opened since its parent was closed */
  counts: Map<string, number>;
}

// keyed by graph: no graph sees another's variables, and nothing outlives its graph
const states = new WeakMap<Graph, ScopeState>();

export function scopeState(graph: Graph): ScopeState {
  let state = states.get(graph);
  if (state === undefined) {
    const current = new VariableScope(graph, "", "", false);
    state = {
      variables: new Map(),
      partitioned: new Map(),
      nameScopes: new Map(),
      origins: new WeakMap(),
      current,
      counts: new Map(),
    };
    states.set(graph, state);
  }
  return state;
}

/** Whether the open scope makes resource variables. TensorFlow 1's default is reference variables. */
export const currentUseResource = (graph: Graph): boolean => scopeState(graph).current.useResource ?? false;

/**
 * @file `getVariable`: the variable of a name, made once and handed out again where the open scope says so. Names of variables follow variable
 * scopes, not name scopes. Partitioned variables are in partition.ts.
 *
 * @see TensorFlow python/ops/variable_scope.py "_VariableStore"
 */

import {
  type DType,
  defined,
  formatPyDType,
  formatPyShape,
  isCompatible,
  isFloat,
  isStatic,
  VarscopeError,
} from "../base/index.ts";
import { type Graph, type Input, isTensor, Output, toTensor } from "../graph/index.ts";
import { GraphKeys } from "./collections.ts";
import { type InitialValue, type VariableOptions, variable } from "./create.ts";
import { glorotUniformInitializer, zerosInitializer } from "./initializers.ts";
import { linesOf } from "./origin.ts";
import { initialPart, joined, partsOf } from "./partition.ts";
import { regularizeLazily } from "./regularization.ts";
import { getVariableScope } from "./scope.ts";
import {
  type CustomGetter,
  type Getter,
  type GetterOptions,
  type Gotten,
  type Initializer,
  type PartitionInfo,
  type ScopeState,
  scopeState,
} from "./scope-state.ts";
import { Synchronization, type Variable } from "./variable.ts";

export interface GetVariableOptions extends GetterOptions {
  /** in place of the scope's, which is not called then */
  readonly customGetter?: CustomGetter;
}

/**
 * The variable `name` of the open variable scope: made, or shared as the scope's `reuse` says. Name scopes do not count.
 *
 * Where a partitioner, here or of the scope, cuts it into parts, the result is a `PartitionedVariable`; where a custom getter makes something
 * else of it, that: say so by the type argument.
 *
 * @throws VarscopeError ALREADY_EXISTS - it is there and may not be shared
 * @throws VarscopeError NOT_FOUND - it is not there and may not be made
 * @throws VarscopeError INVALID_ARGUMENT - shape, dtype or parts differ from the shared variable's, or are not given
 */
export function getVariable<V extends Gotten = Variable>(
  graph: Graph,
  name: string,
  options: GetVariableOptions = {},
): V {
  const scope = getVariableScope(graph);
  const full = scope.name === "" ? name : `${scope.name}/${name}`;
  const { customGetter = scope.customGetter, ...own } = options;
  return graph.nameScope(null, () => {
    const asked: GetterOptions = {
      ...own,
      ...defined({
        initializer: typed(graph, own, full) ?? scope.initializer,
        regularizer: own.regularizer ?? scope.regularizer,
        constraint: own.constraint ?? scope.constraint,
        cachingDevice: own.cachingDevice ?? scope.cachingDevice,
        partitioner: own.partitioner ?? scope.partitioner,
        useResource: own.useResource ?? scope.useResource ?? false,
      }),
      dtype: own.dtype ?? scope.dtype,
      reuse: own.reuse ?? scope.reuse,
      trainable: own.trainable ?? own.synchronization !== Synchronization.ON_READ,
    };
    const getter: Getter = (n, o) => gotten(graph, n, o);
    return (customGetter === undefined ? getter(full, asked) : customGetter(getter, full, asked)) as V;
  });
}

/** `getVariable` of a variable in `local_variables`, which is not trained and not saved. */
export function getLocalVariable<V extends Gotten = Variable>(
  graph: Graph,
  name: string,
  options: Omit<GetVariableOptions, "trainable"> = {},
): V {
  const collections = [...(options.collections ?? []), GraphKeys.LOCAL_VARIABLES];
  return getVariable<V>(graph, name, { ...options, collections, trainable: false });
}

/** A given initial value, of the dtype asked for. TensorFlow makes a Const of a literal to see its dtype, and leaves it in the graph. */
function typed(
  graph: Graph,
  { dtype, initializer }: GetterOptions,
  at: string,
): GetterOptions["initializer"] {
  if (dtype === undefined || initializer === undefined || typeof initializer === "function")
    return initializer;
  const isTyped = initializer instanceof Output || isTensor(initializer);
  if (isTyped && initializer.dtype !== dtype) {
    throw invalid(
      at,
      `Initializer type '${formatPyDType(initializer.dtype)}' and explicit dtype '${formatPyDType(dtype)}' don't match.`,
    );
  }
  if (initializer instanceof Output) return initializer;
  const value = toTensor(initializer as never, dtype);
  graph.constant(value);
  return value;
}

const invalid = (at: string, what: string): VarscopeError =>
  new VarscopeError("INVALID_ARGUMENT", what, { at });

/** The variable of a full name, whole or in parts. */
function gotten(graph: Graph, name: string, given: GetterOptions): Gotten {
  const o = { dtype: "float32" as DType, ...given };
  const state = scopeState(graph);
  const { partitioner } = o;
  const isPartitioned = partitioner !== undefined && o.shape?.length !== 0;
  if (isPartitioned || (o.reuse === true && partitioner === undefined && state.partitioned.has(name))) {
    return graph.nameScope(null, () => partitioned(graph, state, name, o));
  }
  if (state.variables.has(`${name}/part_0`)) {
    throw invalid(
      name,
      `No partitioner was provided, but a partitioned version of the variable was found: ${name}/part_0. Perhaps a variable of the same name was already created with partitioning?`,
    );
  }
  return single(graph, state, name, o);
}

type Asked = GetterOptions & { readonly dtype: DType };

/** A variable of its own, or one part. */
function single(
  graph: Graph,
  state: ScopeState,
  name: string,
  o: Asked,
  partition?: PartitionInfo,
): Variable {
  const { initializer, reuse } = o;
  const isValue = initializer !== undefined && typeof initializer !== "function";
  if (o.shape !== undefined && isValue)
    throw invalid(name, "If initializer is a constant, do not specify shape.");
  const found = state.variables.get(name);
  if (found !== undefined) return shared(name, found, o, state.origins.get(found));
  if (reuse === true) {
    throw new VarscopeError(
      "NOT_FOUND",
      `Variable ${name} does not exist, or was not created with tf.get_variable(). Did you mean to set reuse=tf.AUTO_REUSE in VarScope?`,
    );
  }
  const v = variable(graph, initialFor(graph, name, o, partition), {
    ...forVariable(o),
    name,
    ...(isValue ? {} : { dtype: o.dtype }),
  });
  state.variables.set(name, v);
  state.origins.set(v, new Error(name));
  regularizeLazily(v, name, o.regularizer);
  return v;
}

/** The options that `variable` takes as they are. */
function forVariable(o: GetterOptions): VariableOptions {
  const { trainable, collections, validateShape, synchronization, aggregation } = o;
  const { useResource, constraint, shape, cachingDevice, saveSliceInfo } = o;
  return defined({
    trainable,
    collections,
    validateShape,
    synchronization,
    aggregation,
    useResource,
    constraint,
    shape,
    cachingDevice,
    saveSliceInfo,
  });
}

function shared(name: string, found: Variable, o: Asked, origin: Error | undefined): Variable {
  if (o.reuse === false) {
    const what = `Variable ${name} already exists, disallowed. Did you mean to set reuse=True or reuse=tf.AUTO_REUSE in VarScope?`;
    throw new VarscopeError("ALREADY_EXISTS", found.isResource ? what : what + definedAt(origin));
  }
  if (o.shape !== undefined && !isCompatible(o.shape, found.shape)) {
    throw new VarscopeError(
      "INVALID_ARGUMENT",
      `Trying to share variable ${name}, but specified shape ${formatPyShape(o.shape)} and found shape ${formatPyShape(found.shape)}.`,
    );
  }
  if (o.dtype !== found.dtype) {
    throw new VarscopeError(
      "INVALID_ARGUMENT",
      `Trying to share variable ${name}, but specified dtype ${o.dtype} and found dtype ${found.dtype}${found.isResource ? "" : "_ref"}.`,
    );
  }
  return found;
}

/** Where a variable was made, as far as the engine says. */
function definedAt(origin: Error | undefined): string {
  const lines = linesOf(origin);
  return lines.length === 0 ? "" : ` Originally defined at:\n\n${lines.join("\n")}`;
}

function initialFor(
  graph: Graph,
  name: string,
  o: Asked,
  partition: PartitionInfo | undefined,
): InitialValue {
  const { initializer, shape, dtype } = o;
  if (initializer !== undefined && typeof initializer !== "function") return initializer;
  if (shape !== undefined && isStatic(shape)) {
    const build = initializer ?? defaultInitializer(name, dtype);
    return () => build(graph, shape, dtype, partition);
  }
  if (initializer === undefined && shape === undefined) {
    throw invalid(
      name,
      `Variable ${name} did not get an initializer, so its \`shape\` argument must be specified.`,
    );
  }
  if (initializer?.length === 0) return () => (initializer as unknown as () => Input)();
  throw invalid(
    name,
    "The initializer passed is not valid. It should be a callable with no arguments and the shape should not be provided or an instance of `tf.keras.initializers.*' and `shape` should be fully defined.",
  );
}

function defaultInitializer(name: string, dtype: DType): Initializer {
  if (isFloat(dtype)) return glorotUniformInitializer();
  if (/^(u?int|bool|string)/.test(dtype)) return zerosInitializer();
  throw invalid(name, `An initializer for variable ${name} of ${formatPyDType(dtype)} is required`);
}

/** A variable in parts, each by the name `<name>/part_<i>`. */
function partitioned(graph: Graph, state: ScopeState, name: string, o: Asked): Gotten {
  if (state.variables.has(name)) {
    throw invalid(
      name,
      `A partitioner was provided, but an unpartitioned version of the variable was found: ${name}.  Perhaps a variable of the same name was already created without partitioning?`,
    );
  }
  const plan = partsOf(name, o, state.partitioned.get(name));
  if ("found" in plan) return plan.found;
  const { shape, partitions, slices } = plan;
  const had = (i: number): boolean => state.variables.has(`${name}/part_${i}`);
  if (had(0) && (!had(slices.length - 1) || had(slices.length))) {
    const which = had(slices.length)
      ? `so was the extra shard ${name}/part_${slices.length}`
      : `${name}/part_${slices.length - 1} was not`;
    throw invalid(
      name,
      `Partitioner returned a different partitioning than what was already found.  Partitioner returned ${slices.length} shards, and shard ${name}/part_0 was found, but ${which}.`,
    );
  }
  const parts = slices.map((slice, i) => {
    const part = `${name}/part_${i}`;
    const initial = initialPart(graph, part, o, slice);
    const { shape: _, initializer: __, ...rest } = o;
    const info = { fullShape: shape, varOffset: slice.offset };
    const own = defined({ ...initial, saveSliceInfo: () => slice.saved });
    return graph.nameScope(null, () => single(graph, state, part, { ...rest, ...own }, info));
  });
  const whole = joined(graph, name, parts[0]!.dtype, shape, partitions, parts);
  state.partitioned.set(name, whole);
  return whole;
}

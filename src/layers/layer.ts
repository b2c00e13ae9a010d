/**
 * @file What all layers share: a layer's variable scope and name scope, its variables with their regularizers, its update ops. A layer is a
 * function on the graph; calling it with `reuse` shares the variables of the call before. Start at `layer`.
 *
 * @see TensorFlow python/keras/legacy_tf_layers/base.py (tf.compat.v1.layers)
 */

import { type DType, defined, VarscopeError } from "../base/index.ts";
import type { Graph, Operation, Output } from "../graph/index.ts";
import {
  GraphKeys,
  getVariable,
  globalVariables,
  type Initializer,
  isPartitionedVariable,
  type PartitionedVariable,
  type Regularizer,
  type Reuse,
  regularize,
  type Variable,
  type VariableScope,
  variableScope,
} from "../variables/index.ts";

/** What every layer takes. */
export interface LayerOptions {
  /** variable scope and name scope; by default the layer's own name, made unique: `conv2d`, `conv2d_1` */
  readonly name?: string;
  /** an open scope that is the layer's, in place of a name */
  readonly scope?: VariableScope;
  /** shares the variables of an earlier layer of that name: null */
  readonly reuse?: Reuse;
}

/** What layers with variables take. */
export interface WeightsOptions extends LayerOptions {
  /** its variables are in `trainable_variables`: true */
  readonly trainable?: boolean;
}

/** A variable of a layer. */
export interface WeightOptions {
  readonly initializer?: Initializer | undefined;
  readonly regularizer?: Regularizer | undefined;
  readonly constraint?: ((value: Output) => Output) | undefined;
  readonly trainable?: boolean;
  readonly dtype?: DType;
  readonly synchronization?: number;
  readonly aggregation?: number;
  /** false: stays whole in a scope that cuts variables into parts: true */
  readonly partition?: boolean;
}

/** An activation: a function of one output, such as `relu`. */
export type Activation = (x: Output) => Output;

/** Inside a layer. */
export interface Layer {
  readonly graph: Graph;
  /** its variable `name`, made or shared; in a scope with a partitioner it may be a PartitionedVariable, to be used as an op's input alone */
  weight(name: string, shape: readonly number[], options?: WeightOptions): Variable;
  /** adds to the collection `update_ops`, which the train op must depend on; a frozen layer adds none */
  update(op: Operation): void;
}

/** Runs `body` as a layer of `x`: `baseName` is used, made unique, where the options give no name. */
export function layer<R>(x: Output, baseName: string, options: WeightsOptions, body: (layer: Layer) => R): R {
  const { graph } = x;
  const { trainable = true, reuse = null } = options;
  const scope = openScope(graph, baseName, options);
  const weight = (name: string, shape: readonly number[], o: WeightOptions = {}): Variable =>
    variableScope(graph, scope, { reuse, auxiliaryNameScope: false }, (inner) => {
      const before = new Set(globalVariables(graph));
      const { regularizer, partition = true, ...rest } = o;
      if (!partition) inner.partitioner = undefined;
      const v = getVariable<Variable | PartitionedVariable>(graph, name, {
        dtype: x.dtype,
        ...defined(rest),
        shape,
        trainable: (o.trainable ?? true) && trainable,
      });
      for (const part of isPartitionedVariable(v) ? v.parts : [v]) {
        if (before.has(part)) continue;
        graph.nameScope(inner.originalNameScope, () => regularize(part, name, regularizer));
      }
      return v as Variable; // layers pass their weights to ops, which take either kind
    });
  return variableScope(graph, scope, { reuse, auxiliaryNameScope: false }, (inner) =>
    graph.nameScope(inner.originalNameScope, () =>
      body({
        graph,
        weight,
        update: (op) => {
          if (trainable) graph.addToCollection(GraphKeys.UPDATE_OPS, op);
        },
      }),
    ),
  );
}

/** The scope of a layer. Opening it takes its names; the ops come when it is entered again. */
function openScope(graph: Graph, baseName: string, { name, scope, reuse }: LayerOptions): VariableScope {
  const same = (scope: VariableScope): VariableScope => scope;
  const given = scope ?? name;
  if (given !== undefined) return variableScope(graph, given, {}, same);
  if (reuse) return variableScope(graph, baseName, {}, same);
  return variableScope(graph, null, { defaultName: baseName }, same);
}

/** One number for both, or one each. */
export type Pair = number | readonly [number, number];
export const pairOf = (value: Pair): readonly [number, number] =>
  typeof value === "number" ? [value, value] : value;

/** One number for depth, height and width, or one each. */
export type Triple = number | readonly [number, number, number];
export const tripleOf = (value: Triple): readonly [number, number, number] =>
  typeof value === "number" ? [value, value, value] : value;

/** "valid" takes only whole windows; "same" pads with zeros. */
export type Padding = "valid" | "same";
/** where the channels are: last (NHWC, NDHWC) or first (NCHW, NCDHW) */
export type DataFormat = "channels_last" | "channels_first";

/** NHWC or NCHW. */
export const tfFormat = (format: DataFormat): "NHWC" | "NCHW" =>
  format === "channels_last" ? "NHWC" : "NCHW";

/** The same of volumes: NDHWC or NCDHW. */
export const volumeFormat = (format: DataFormat): "NDHWC" | "NCDHW" =>
  format === "channels_last" ? "NDHWC" : "NCDHW";

/** A window's sizes as the attributes of ops hold them: with 1 for batch and channels. */
export const spread = (sizes: readonly number[], format: DataFormat): readonly number[] =>
  format === "channels_last" ? [1, ...sizes, 1] : [1, 1, ...sizes];

/** The size of an axis. @throws VarscopeError INVALID_ARGUMENT - it is not known, or the rank is wrong */
export function needDim(x: Output, axis: number, rank: number | null, what: string): number {
  const { shape } = x;
  const text = shape === null ? "<unknown>" : `(${shape.map((d) => d ?? "None").join(", ")})`;
  if (shape === null || (rank !== null && shape.length !== rank)) {
    throw new VarscopeError(
      "INVALID_ARGUMENT",
      `Inputs should have rank ${rank ?? "at least 2"}. Received input shape: ${text}`,
      {
        at: x.name,
      },
    );
  }
  const size = shape.at(axis) ?? null;
  if (size !== null) return size;
  throw new VarscopeError(
    "INVALID_ARGUMENT",
    `The ${what} dimension of the inputs should be defined. Found \`None\`. Received input shape: ${text}`,
    { at: x.name },
  );
}

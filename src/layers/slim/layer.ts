/**
 * @file What slim's layers share: their options, their scope, and how a normalizer takes the place of biases. Start at `slimLayer`.
 *
 * @see tf_slim layers/layers.py "_model_variable_getter", layers/utils.py "collect_named_outputs"
 */

import type { Output } from "../../graph/index.ts";
import { relu } from "../../ops/index.ts";
import {
  type CustomGetter,
  GraphKeys,
  type Initializer,
  type Regularizer,
  type Reuse,
  type VariableScope,
  variableScope,
  zerosInitializer,
} from "../../variables/index.ts";
import type { Activation } from "../layer.ts";
import { xavierInitializer } from "./initializers.ts";

/** One collection or several; for variables also by the variable's short name: `{ weights: ["decayed"] }`. */
export type Collections = string | readonly string[];
export type VariablesCollections = Collections | Readonly<Record<string, Collections>>;

/** What every layer of slim takes. */
export interface SlimScopeOptions {
  /** variable scope and name scope; by default the layer's own name, made unique: `Conv`, `Conv_1` */
  readonly scope?: string | VariableScope;
  /** shares the variables of an earlier layer of that scope: null */
  readonly reuse?: Reuse;
  /** where the result goes: nowhere */
  readonly outputsCollections?: Collections;
}

/** What layers with weights take. */
export interface SlimOptions extends SlimScopeOptions {
  /** applied to the result: relu; null for none */
  readonly activationFn?: Activation | null;
  /** in place of biases, before the activation, in the layer's scope: `(y) => slim.batchNorm(y, { isTraining })`; null for none, the default */
  readonly normalizerFn?: Activation | null;
  /** `xavierInitializer()` */
  readonly weightsInitializer?: Initializer;
  readonly weightsRegularizer?: Regularizer;
  /** zeros; null for no biases */
  readonly biasesInitializer?: Initializer | null;
  readonly biasesRegularizer?: Regularizer;
  /** its variables are in `trainable_variables`: true */
  readonly trainable?: boolean;
  /** where variables go besides `variables`, `model_variables` and `trainable_variables` */
  readonly variablesCollections?: VariablesCollections;
}

const listOf = (c: Collections | undefined): readonly string[] =>
  c === undefined ? [] : typeof c === "string" ? [c] : c;

const isList = (c: VariablesCollections): c is Collections => typeof c === "string" || Array.isArray(c);

/** slim's words for the variables of tf.layers. */
const NAMES: Readonly<Record<string, string>> = {
  kernel: "weights",
  bias: "biases",
  depthwise_kernel: "depthwise_weights",
  pointwise_kernel: "pointwise_weights",
};

/** What a variable of the model is in, besides `trainable_variables`. */
export const modelCollections = (
  given: VariablesCollections | undefined,
  name: string,
  before: readonly string[] = [],
): readonly string[] => [
  ...new Set([
    ...before,
    GraphKeys.GLOBAL_VARIABLES,
    GraphKeys.MODEL_VARIABLES,
    ...(given === undefined || isList(given) ? listOf(given) : listOf(given[name])),
  ]),
];

/** Renames variables, and puts them into `model_variables` and what else is asked for. */
const getterFor =
  (collections: VariablesCollections | undefined): CustomGetter =>
  (getter, name, options) => {
    const at = name.lastIndexOf("/") + 1;
    const short = NAMES[name.slice(at)] ?? name.slice(at);
    const kind = short.replace(/^(depth|point)wise_/, "");
    const all = modelCollections(collections, kind, options.collections);
    return getter(name.slice(0, at) + short, { ...options, collections: all });
  };

/** Runs `body` in the scope of a layer, `baseName` where no other is given; all variables that are made in it are of the model, if `isModel`. */
export const slimLayer = (
  x: Output,
  baseName: string,
  options: SlimScopeOptions & Pick<SlimOptions, "variablesCollections">,
  body: (scope: VariableScope) => Output,
  isModel = true,
): Output => {
  const opening = { reuse: options.reuse ?? null, defaultName: baseName };
  const customGetter = isModel ? getterFor(options.variablesCollections) : undefined;
  return variableScope(x.graph, options.scope ?? null, { ...opening, customGetter }, (scope) => {
    const y = body(scope);
    for (const key of listOf(options.outputsCollections)) x.graph.addToCollection(key, y);
    return y;
  });
};

/** Normalizer and activation over what `body` gives; it adds biases itself, if `hasBiases`. */
export const normalized = (
  x: Output,
  baseName: string,
  options: SlimOptions,
  body: (scope: VariableScope, hasBiases: boolean) => Output,
): Output =>
  slimLayer(x, baseName, options, (scope) => {
    const { normalizerFn = null, activationFn = relu, biasesInitializer } = options;
    const y = body(scope, normalizerFn === null && biasesInitializer !== null);
    const normal = normalizerFn === null ? y : normalizerFn(y);
    return activationFn === null ? normal : activationFn(normal);
  });

/** The same options in the words of tf.layers. */
export const layerOptions = (scope: VariableScope, useBias: boolean, o: SlimOptions) => ({
  scope,
  useBias,
  reuse: o.reuse ?? null,
  trainable: o.trainable ?? true,
  biasInitializer: o.biasesInitializer ?? zerosInitializer(),
  ...(o.biasesRegularizer && { biasRegularizer: o.biasesRegularizer }),
});

/** Of a kernel, in the words of tf.layers. */
export const kernelOptions = (o: SlimOptions) => ({
  kernelInitializer: o.weightsInitializer ?? xavierInitializer(),
  ...(o.weightsRegularizer && { kernelRegularizer: o.weightsRegularizer }),
});

/** @file Which variables a Keras layer has, in the order in which it saves them. Start at `layerVariables`. */

/** A layer's config, as far as it matters. */
export type Config = Readonly<Record<string, unknown>>;

const KERNEL = ["kernel", "bias"];
const CELL = ["kernel", "recurrent_kernel", "bias"];
const SEPARABLE = ["depthwise_kernel", "pointwise_kernel", "bias"];

/** Class in snake case -> names; optional ones come last, except where a flag of the config says. */
const NAMES: Readonly<Record<string, readonly string[]>> = {
  dense: KERNEL,
  einsum_dense: KERNEL,
  conv1d: KERNEL,
  conv2d: KERNEL,
  conv3d: KERNEL,
  conv1d_transpose: KERNEL,
  conv2d_transpose: KERNEL,
  conv3d_transpose: KERNEL,
  depthwise_conv1d: KERNEL,
  depthwise_conv2d: KERNEL,
  separable_conv1d: SEPARABLE,
  separable_conv2d: SEPARABLE,
  embedding: ["embeddings"],
  lstm_cell: CELL,
  gru_cell: CELL,
  simple_rnn_cell: CELL,
  conv_lstm_cell: CELL,
  cell: CELL,
  query_dense: KERNEL,
  key_dense: KERNEL,
  value_dense: KERNEL,
  output_dense: KERNEL,
  p_re_lu: ["alpha"],
  prelu: ["alpha"],
  rms_normalization: ["scale"],
  normalization: ["mean", "variance", "count"],
  seed_generator: ["seed_generator_state"],
};

/** Layers that may lack gamma or beta. */
const NORMALIZATIONS = new Set([
  "batch_normalization",
  "sync_batch_normalization",
  "layer_normalization",
  "group_normalization",
]);
const RENORM = ["moving_stddev", "renorm_mean", "renorm_stddev"];

/** Snake case as Keras makes it of a class: `BatchNormalization` -> `batch_normalization`. @see keras/src/utils/naming.py */
export const snakeCase = (name: string): string =>
  name
    .replace(/\W+/g, "")
    .replace(/(.)([A-Z][a-z]+)/g, "$1_$2")
    .replace(/([a-z])([A-Z])/g, "$1_$2")
    .toLowerCase();

/** `dense_3` -> `dense`. */
export const withoutNumber = (name: string): string => name.replace(/_\d+$/, "");

/**
 * Names of a layer's `count` variables; undefined where the class is not known.
 *
 * @param kind - class in snake case
 * @param keras2 - Keras 2 calls a depthwise convolution's kernel so
 */
export function layerVariables(
  kind: string,
  count: number,
  config: Config | undefined,
  keras2: boolean,
): readonly string[] | undefined {
  if (NORMALIZATIONS.has(kind)) return normalization(kind.includes("batch"), count, config);
  if (!Object.hasOwn(NAMES, kind)) return undefined;
  const names = NAMES[kind]!;
  const spelled = keras2 && kind.startsWith("depthwise") ? ["depthwise_kernel", "bias"] : names;
  return count <= spelled.length ? spelled : undefined;
}

/** Without a config, three variables of a batch norm are those without gamma: `scale=False` is common, `center=False` is not. */
function normalization(
  hasStatistics: boolean,
  count: number,
  config: Config | undefined,
): readonly string[] | undefined {
  const statistics = hasStatistics ? ["moving_mean", "moving_variance"] : [];
  const extra = hasStatistics && count > 4 ? RENORM : [];
  const free = count - statistics.length - extra.length;
  const scale = typeof config?.scale === "boolean" ? config.scale : free !== 1;
  const center = typeof config?.center === "boolean" ? config.center : true;
  const all = [...(scale ? ["gamma"] : []), ...(center ? ["beta"] : [])];
  const names = free === 0 ? [] : all;
  return names.length === free ? [...names, ...statistics, ...extra] : undefined;
}

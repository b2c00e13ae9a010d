/** @file Optimizers that Keras 2 and Keras 3 both have: what each calls their slots, and in which order Keras 3 lists them. Start at `kindOf`. */

/** A slot of an optimizer. */
export interface SlotKind {
  /** in Keras 2's words */
  readonly slot: string;
  /** list of the optimizer that holds it */
  readonly list: string;
  /** last part of its name in Keras 3 */
  readonly word: string;
}

export interface OptimizerKind {
  /** in Keras 3's words; names of the others without case and underscores begin with one of them */
  readonly names: readonly string[];
  /** slots that are made variable by variable, group after group */
  readonly groups: readonly (readonly SlotKind[])[];
}

const slot = (slot: string, list: string, word: string): SlotKind => ({ slot, list, word });
const M = slot("m", "_momentums", "momentum");
const V = slot("v", "_velocities", "velocity");

/** @see Keras src/optimizers/*.py, `build` */
const KINDS: readonly OptimizerKind[] = [
  { names: ["adamax"], groups: [[slot("m", "_m", "momentum"), slot("v", "_u", "norm")]] },
  { names: ["adam", "nadam", "lamb"], groups: [[M, V], [slot("vhat", "_velocity_hats", "velocity_hat")]] },
  { names: ["sgd"], groups: [[slot("momentum", "momentums", "momentum")]] },
  {
    names: ["rmsprop"],
    groups: [
      [slot("rms", "_velocities", "velocity")],
      [slot("momentum", "_momentums", "momentum")],
      [slot("mg", "_average_gradients", "average_gradient")],
    ],
  },
  { names: ["adagrad"], groups: [[slot("accumulator", "_accumulators", "accumulator")]] },
  {
    names: ["adadelta"],
    groups: [
      [
        slot("accum_grad", "_accumulated_grads", "accumulated_grad"),
        slot("accum_var", "_accumulated_delta_vars", "accumulated_delta_var"),
      ],
    ],
  },
  {
    names: ["ftrl"],
    groups: [[slot("accumulator", "_accumulators", "accumulator"), slot("linear", "_linears", "linear")]],
  },
  { names: ["lion"], groups: [[M]] },
];

/** Shadows of `use_ema`, which come before all slots. */
const EMA: readonly SlotKind[] = [slot("average", "_model_variables_moving_average", "average")];

/** The kind of an optimizer: by its name, else the first that has all its slots; undefined for one that is not known. */
export function kindOf(name: string, slots: ReadonlySet<string>): OptimizerKind | undefined {
  const bare = name.toLowerCase().replaceAll("_", "");
  const has = (kind: OptimizerKind): boolean => {
    const known = new Set([...kind.groups, EMA].flatMap((group) => group.map((s) => s.slot)));
    return [...slots].every((s) => known.has(s));
  };
  const found =
    KINDS.find((kind) => kind.names.some((n) => bare.startsWith(n)) && has(kind)) ??
    KINDS.find((k) => slots.size > 0 && has(k));
  return found && { ...found, groups: [EMA, ...found.groups] };
}

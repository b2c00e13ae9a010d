/**
 * @file The variables of LSTM and GRU layers as TensorFlow 1's cells, Keras and PyTorch have them. Each form goes to Keras's and from it by steps
 * of surgery, so that slots and averages follow. Start at `gateSteps`.
 *
 * | form | LSTM | GRU |
 * | --- | --- | --- |
 * | tf1 | kernel [in + h, 4h], gates i j f o; forget bias added at run time | gates/kernel r u, candidate/kernel |
 * | keras | kernel [in, 4h], recurrent_kernel, i f c o; forget bias in the bias | z r h; reset_after: bias [2, 3h] |
 * | pytorch | weight_ih [4h, in], weight_hh, i f g o; two biases, both added | r z n; reset after the product |
 *
 * @see TensorFlow python/keras/layers/legacy_rnn/rnn_cell_impl.py; Keras layers/rnn/{lstm,gru}.py; PyTorch nn/modules/rnn.py
 */

import { formatShape, VarscopeError } from "../../base/index.ts";
import type { Draft } from "./plan.ts";
import type { Step, Surgery } from "./surgery.ts";

export interface RnnForm {
  readonly form: "tf1" | "keras" | "pytorch";
  /** of tf1's LSTM: what the cell adds to the forget gate when it runs: 1 */
  readonly forgetBias?: number;
}

type Find = (name: string) => Draft | undefined;

/** A layer in Keras's form, or about to be. */
interface Layer {
  readonly scope: string;
  readonly kind: "LSTM" | "GRU";
  /** units */
  readonly h: number;
  readonly bias: "none" | "one" | "two";
}

/** Where the gates of Keras stand in the other form, and the other way round: both orders are their own inverse. */
const SWAPPED = { LSTM: [0, 2, 1, 3], GRU: [1, 0, 2] } as const;
const GATES = { LSTM: 4, GRU: 3 } as const;
const FORGET = 1;

/**
 * The steps from one form to another.
 *
 * @throws VarscopeError NOT_FOUND - no such layer in the scope; UNIMPLEMENTED - variables that the other form has no place for
 */
export function gateSteps({ name, from, to }: Step<"gates">, find: Find): Surgery[] {
  const [steps, layer] = TO_KERAS[from.form](name, find, from);
  if (to.form === "tf1") return [...steps, ...toTf1(layer, to)];
  if (to.form === "pytorch") return [...steps, ...toPytorch(layer)];
  return steps;
}

const TO_KERAS: Record<
  RnnForm["form"],
  (scope: string, find: Find, form: RnnForm) => readonly [Surgery[], Layer]
> = { tf1: fromTf1, keras: fromKeras, pytorch: fromPytorch };

const notFound = (scope: string, what: string): VarscopeError =>
  new VarscopeError("NOT_FOUND", `no ${what} are here`, {
    at: scope,
    hint: "give the scope that the layer's variables lie in; 'varscope inspect' lists them",
  });
const unlike = (scope: string, what: string): VarscopeError =>
  new VarscopeError("UNIMPLEMENTED", what, { at: scope });

/** Orders gates along the last axis. */
const ordered = ({ kind, h }: Layer, name: string, axis: number): Surgery => ({
  do: "take",
  name,
  axis,
  indexes: SWAPPED[kind].flatMap((gate) => Array.from({ length: h }, (_, i) => gate * h + i)),
});

/** Orders the gates of all of a layer's variables, between Keras's form and the form that differs in it. */
const allOrdered = (layer: Layer): Surgery[] =>
  ["kernel", "recurrent_kernel", ...(layer.bias === "none" ? [] : ["bias"])].map((word) =>
    ordered(layer, `${layer.scope}/${word}`, -1),
  );

const forgetShift = ({ scope, h }: Layer, by: number): Surgery => ({
  do: "shift",
  name: `${scope}/bias`,
  start: FORGET * h,
  count: h,
  by,
});

/** @throws VarscopeError UNIMPLEMENTED - peepholes, projections, layer normalization */
function needPlain(scope: string, find: Find, words: readonly string[]): void {
  const other = words.map((word) => `${scope}${word}`).find((name) => find(name) !== undefined);
  if (other !== undefined) throw unlike(scope, `${other} has no place in the other form`);
}

function needUnits(d: Draft, gates: number, at: string): number {
  const columns = d.shape[1] ?? 0;
  if (d.shape.length === 2 && columns > 0 && columns % gates === 0) return columns / gates;
  throw new VarscopeError("INVALID_ARGUMENT", `${formatShape(d.shape)} holds no ${gates} gates`, { at });
}

function fromTf1(scope: string, find: Find, { forgetBias = 1 }: RnnForm): readonly [Surgery[], Layer] {
  const gates = find(`${scope}/gates/kernel`);
  const kernel = find(`${scope}/kernel`);
  const bias = { bias: "one" } as const;
  if (gates !== undefined && find(`${scope}/candidate/kernel`) !== undefined) {
    const layer: Layer = { scope, kind: "GRU", h: needUnits(gates, 2, gates.name), ...bias };
    const both = (word: string, axis: number): Surgery => ({
      do: "concat",
      name: `${scope}/${word}`,
      axis,
      parts: [`${scope}/gates/${word}`, `${scope}/candidate/${word}`],
    });
    const steps = [
      both("kernel", 1),
      both("bias", 0),
      unjoined(layer, gates.shape[0]!),
      ...allOrdered(layer),
    ];
    return [steps, layer];
  }
  if (kernel === undefined || find(`${scope}/bias`) === undefined || find(`${scope}/recurrent_kernel`))
    throw notFound(scope, "kernel and bias of a cell of TensorFlow 1");
  needPlain(scope, find, ["/w_f_diag", "/w_i_diag", "/w_o_diag", "/projection/kernel"]);
  const layer: Layer = { scope, kind: "LSTM", h: needUnits(kernel, 4, kernel.name), ...bias };
  return [[unjoined(layer, kernel.shape[0]!), ...allOrdered(layer), forgetShift(layer, forgetBias)], layer];
}

/** TF 1's kernel: rows for the input, then for the state. */
function unjoined({ scope, h }: Layer, rows: number): Surgery {
  const parts = [
    { name: `${scope}/kernel`, size: rows - h },
    { name: `${scope}/recurrent_kernel`, size: h },
  ];
  return { do: "split", name: `${scope}/kernel`, axis: 0, parts };
}

function fromKeras(scope: string, find: Find): readonly [Surgery[], Layer] {
  const [kernel, recurrent, bias] = ["kernel", "recurrent_kernel", "bias"].map((w) => find(`${scope}/${w}`));
  if (kernel === undefined || recurrent === undefined)
    throw notFound(scope, "kernel and recurrent_kernel of a layer of Keras");
  const h = recurrent.shape[0] ?? 0;
  const kind = recurrent.shape[1] === 4 * h ? "LSTM" : "GRU";
  if (needUnits(recurrent, GATES[kind], recurrent.name) !== h)
    throw notFound(scope, "recurrent_kernel of an LSTM or GRU");
  return [
    [],
    { scope, kind, h, bias: bias === undefined ? "none" : bias.shape.length === 2 ? "two" : "one" },
  ];
}

function toTf1(layer: Layer, { forgetBias = 1 }: RnnForm): Surgery[] {
  const { scope, kind, h } = layer;
  if (layer.bias === "two") throw unlike(scope, RESET.after);
  const withBias: Layer = { ...layer, bias: "one" };
  const bias: Surgery[] =
    layer.bias === "one"
      ? []
      : [{ do: "zeros", name: `${scope}/bias`, like: `${scope}/kernel`, shape: [GATES[kind] * h] }];
  const parts = [`${scope}/kernel`, `${scope}/recurrent_kernel`];
  const join: Surgery = { do: "concat", name: `${scope}/kernel`, axis: 0, parts };
  if (kind === "LSTM") return [...bias, forgetShift(withBias, -forgetBias), ...allOrdered(withBias), join];
  const both = (word: string, axis: number): Surgery => ({
    do: "split",
    name: `${scope}/${word}`,
    axis,
    parts: [
      { name: `${scope}/gates/${word}`, size: 2 * h },
      { name: `${scope}/candidate/${word}`, size: h },
    ],
  });
  return [...bias, ...allOrdered(withBias), join, both("kernel", 1), both("bias", 0)];
}

/** Both have three gates and the same shapes, and compute different functions. */
const RESET = {
  after:
    "the reset gate acts after the recurrent product here (PyTorch; Keras's reset_after), in TensorFlow 1's GRUCell before it: no weights make them equal",
  before:
    "the reset gate acts before the recurrent product here (TensorFlow 1's GRUCell; Keras with reset_after=False), in PyTorch after it: no weights make them equal",
};

/** PyTorch's names of a scope: `lstm.l1_reverse` is `lstm.weight_ih_l1_reverse`, of a cell there is no such ending. */
function pytorchNames(scope: string): readonly ((word: string) => string)[] {
  const [, prefix, layer] = /^(.+)[./](l\d+(?:_reverse)?)$/.exec(scope) ?? [];
  if (layer !== undefined) return [".", "/"].map((dot) => (word) => `${prefix}${dot}${word}_${layer}`);
  return [".", "/"].flatMap((dot) =>
    ["_l0", ""].map((end) => (word: string) => `${scope}${dot}${word}${end}`),
  );
}

function fromPytorch(scope: string, find: Find): readonly [Surgery[], Layer] {
  const spell = pytorchNames(scope).find((names) => find(names("weight_hh")) !== undefined);
  const recurrent = spell && find(spell("weight_hh"));
  if (spell === undefined || recurrent === undefined || find(spell("weight_ih")) === undefined)
    throw notFound(scope, "weight_ih and weight_hh of a layer of PyTorch");
  needPlain("", find, [spell("weight_hr")]);
  const h = recurrent.shape[1] ?? 0;
  const kind = recurrent.shape[0] === 4 * h ? "LSTM" : "GRU";
  if (recurrent.shape[0] !== GATES[kind] * h) throw notFound(scope, "weight_hh of an LSTM or GRU");
  const hasBias = find(spell("bias_ih")) !== undefined;
  const layer: Layer = { scope, kind, h, bias: !hasBias ? "none" : kind === "LSTM" ? "one" : "two" };
  const kernels = [
    ["weight_ih", "kernel"],
    ["weight_hh", "recurrent_kernel"],
  ].flatMap(([word, own]): Surgery[] => [
    turned(spell(word!)),
    { do: "rename", name: spell(word!), to: `${scope}/${own}` },
  ]);
  const biases = [spell("bias_ih"), spell("bias_hh")];
  const bias: Surgery[] = !hasBias
    ? []
    : kind === "LSTM"
      ? [{ do: "sum", name: `${scope}/bias`, parts: biases }]
      : [
          ...biases.map((name): Surgery => ({ do: "reshape", name, shape: [1, 3 * h] })),
          { do: "concat", name: `${scope}/bias`, axis: 0, parts: biases },
        ];
  return [[...kernels, ...bias, ...(kind === "GRU" ? allOrdered(layer) : [])], layer];
}

const turned = (name: string): Surgery => ({
  do: "transpose",
  pattern: new RegExp(`^${name.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")}$`),
  perm: [1, 0],
});

function toPytorch(layer: Layer): Surgery[] {
  const { scope, kind, h } = layer;
  if (kind === "GRU" && layer.bias === "one") throw unlike(scope, RESET.before);
  const [spell] = pytorchNames(scope) as [(word: string) => string];
  const kernels = [
    ["kernel", "weight_ih"],
    ["recurrent_kernel", "weight_hh"],
  ].flatMap(([own, word]): Surgery[] => [
    turned(`${scope}/${own}`),
    { do: "rename", name: `${scope}/${own}`, to: spell(word!) },
  ]);
  const [ih, hh] = [spell("bias_ih"), spell("bias_hh")];
  const one: Surgery[] = [
    { do: "rename", name: `${scope}/bias`, to: ih },
    { do: "zeros", name: hh, like: ih, shape: [4 * h] },
  ];
  const two: Surgery[] = [
    { do: "split", name: `${scope}/bias`, axis: 0, parts: [{ name: ih }, { name: hh }] },
    ...[ih, hh].map((name): Surgery => ({ do: "reshape", name, shape: [3 * h] })),
  ];
  const order = kind === "GRU" ? allOrdered(layer) : [];
  return [...order, ...kernels, ...(layer.bias === "none" ? [] : layer.bias === "one" ? one : two)];
}

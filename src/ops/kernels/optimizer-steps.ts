/**
 * @file The formulas of TensorFlow's optimizer kernels, each written once over a small algebra: training-calc.ts computes them on
 * values and builds them of ONNX nodes. The order of operations is the kernels'. Start at `adam`.
 *
 * @see TensorFlow core/kernels/training_ops.cc
 */

/** Arithmetic on elements; scalars broadcast. */
export interface Calc<V> {
  add(a: V, b: V): V;
  sub(a: V, b: V): V;
  mul(a: V, b: V): V;
  div(a: V, b: V): V;
  max(a: V, b: V): V;
  pow(a: V, b: V): V;
  neg(a: V): V;
  sqrt(a: V): V;
  abs(a: V): V;
  sign(a: V): V;
  /** `value` where a > limit, else 0 */
  whereAbove(a: V, limit: V, value: V): V;
  number(value: number): V;
  /** the value of a scalar, where it is known */
  known(a: V): number | null;
}

/** Variables and other inputs by TensorFlow's names. */
export type Values<V> = Readonly<Record<string, V>>;
export type StepAttrs = Readonly<Record<string, unknown>>;

/** New values of the variables, by name. */
export type Step = <V>(c: Calc<V>, x: Values<V>, attrs: StepAttrs) => Record<string, V>;

/** old + (wanted - old) · (1 - decay) */
const decayed = <V>(c: Calc<V>, old: V, wanted: V, decay: V): V =>
  c.add(old, c.mul(c.sub(wanted, old), c.sub(c.number(1), decay)));

const square = <V>(c: Calc<V>, a: V): V => c.mul(a, a);

/** var - alpha · delta */
export const gradientDescent: Step = (c, x) => ({ var: c.sub(x.var!, c.mul(x.delta!, x.alpha!)) });

/** accum = accum · momentum + grad; var - accum · lr, or Nesterov's var - (grad · lr + accum · momentum · lr) */
export const momentum: Step = (c, x, attrs) => {
  const accum = c.add(c.mul(x.accum!, x.momentum!), x.grad!);
  const plain = (): typeof accum => c.mul(accum, x.lr!);
  const nesterov = (): typeof accum => c.add(c.mul(x.grad!, x.lr!), c.mul(accum, c.mul(x.momentum!, x.lr!)));
  return { var: c.sub(x.var!, attrs.use_nesterov === true ? nesterov() : plain()), accum };
};

/** accum = accum · momentum - grad · lr; var + accum, or Nesterov's var + accum · momentum - grad · lr */
export const kerasMomentum: Step = (c, x, attrs) => {
  const step = c.mul(x.grad!, x.lr!);
  const accum = c.sub(c.mul(x.accum!, x.momentum!), step);
  const change = attrs.use_nesterov === true ? c.sub(c.mul(accum, x.momentum!), step) : accum;
  return { var: c.add(x.var!, change), accum };
};

/** lr · √(1 - β₂ᵗ) / (1 - β₁ᵗ) */
const adamRate = <V>(c: Calc<V>, x: Values<V>): V => {
  const one = c.number(1);
  return c.div(c.mul(x.lr!, c.sqrt(c.sub(one, x.beta2_power!))), c.sub(one, x.beta1_power!));
};

/** m and v are moving means of grad and grad²; var - m · rate / (√v + ε). @see Kingma and Ba 2015 */
export const adam: Step = (c, x, attrs) => {
  const rate = adamRate(c, x);
  const m = decayed(c, x.m!, x.grad!, x.beta1!);
  const v = decayed(c, x.v!, square(c, x.grad!), x.beta2!);
  const ahead = (): typeof m => c.add(c.mul(x.grad!, c.sub(c.number(1), x.beta1!)), c.mul(m, x.beta1!));
  const mean = attrs.use_nesterov === true ? ahead() : m;
  return { var: c.sub(x.var!, c.div(c.mul(mean, rate), c.add(c.sqrt(v), x.epsilon!))), m, v };
};

/** Adam that divides by the largest v so far. @see Reddi et al. 2018 */
export const adamWithAmsgrad: Step = (c, x) => {
  const rate = adamRate(c, x);
  const m = decayed(c, x.m!, x.grad!, x.beta1!);
  const v = decayed(c, x.v!, square(c, x.grad!), x.beta2!);
  const vhat = c.max(x.vhat!, v);
  return { var: c.sub(x.var!, c.div(c.mul(m, rate), c.add(c.sqrt(vhat), x.epsilon!))), m, v, vhat };
};

/** v = max(β₂ · v, |grad|); var - lr / (1 - β₁ᵗ) · m / (v + ε). @see Kingma and Ba 2015, section 7.1 */
export const adaMax: Step = (c, x) => {
  const m = decayed(c, x.m!, x.grad!, x.beta1!);
  const v = c.max(c.mul(x.beta2!, x.v!), c.abs(x.grad!));
  const rate = c.div(x.lr!, c.sub(c.number(1), x.beta1_power!));
  return { var: c.sub(x.var!, c.mul(rate, c.div(m, c.add(v, x.epsilon!)))), m, v };
};

/** ms is a moving mean of grad²; mom = mom · momentum + grad · lr / √(ms + ε); var - mom */
export const rmsProp: Step = (c, x) => {
  const ms = decayed(c, x.ms!, square(c, x.grad!), x.rho!);
  const scaled = c.div(c.mul(x.grad!, x.lr!), c.sqrt(c.add(ms, x.epsilon!)));
  const mom = c.add(c.mul(x.mom!, x.momentum!), scaled);
  return { var: c.sub(x.var!, mom), ms, mom };
};

/** RMSProp over the variance ms - mg². */
export const centeredRmsProp: Step = (c, x) => {
  const ms = decayed(c, x.ms!, square(c, x.grad!), x.rho!);
  const mg = decayed(c, x.mg!, x.grad!, x.rho!);
  const variance = c.add(c.sub(ms, square(c, mg)), x.epsilon!);
  const scaled = c.div(c.mul(x.grad!, x.lr!), c.sqrt(variance));
  const mom = c.add(c.mul(x.mom!, x.momentum!), scaled);
  return { var: c.sub(x.var!, mom), mg, ms, mom };
};

/** accum + grad², unless the op leaves its slot alone */
const summedSquares = <V>(c: Calc<V>, x: Values<V>, attrs: StepAttrs): V =>
  attrs.update_slots === false ? x.accum! : c.add(x.accum!, square(c, x.grad!));

/** accum = accum + grad²; var - grad · lr / √accum. @see Duchi et al. 2011 */
export const adagrad: Step = (c, x, attrs) => {
  const accum = summedSquares(c, x, attrs);
  return { var: c.sub(x.var!, c.div(c.mul(x.grad!, x.lr!), c.sqrt(accum))), accum };
};

/** Adagrad with var - grad · lr / (√accum + ε) */
export const adagradV2: Step = (c, x, attrs) => {
  const accum = summedSquares(c, x, attrs);
  const root = c.add(c.sqrt(accum), x.epsilon!);
  return { var: c.sub(x.var!, c.div(c.mul(x.grad!, x.lr!), root)), accum };
};

/** update = √(accum_update + ε) / √(accum + ε) · grad; var - update · lr. @see Zeiler 2012 */
export const adadelta: Step = (c, x) => {
  const rest = c.sub(c.number(1), x.rho!);
  const blend = (old: typeof rest, value: typeof rest): typeof rest =>
    c.add(c.mul(old, x.rho!), c.mul(square(c, value), rest));
  const accum = blend(x.accum!, x.grad!);
  const ratio = c.div(c.sqrt(c.add(x.accum_update!, x.epsilon!)), c.sqrt(c.add(accum, x.epsilon!)));
  const update = c.mul(ratio, x.grad!);
  const accumUpdate = blend(x.accum_update!, update);
  return { var: c.sub(x.var!, c.mul(update, x.lr!)), accum, accum_update: accumUpdate };
};

/** a^(-power): a square root for the usual power. */
const rooted = <V>(c: Calc<V>, a: V, power: V): V =>
  c.known(power) === -0.5 ? c.sqrt(a) : c.pow(a, c.neg(power));

/**
 * Follow the regularized leader, with l2 shrinkage where the op has it.
 *
 *   accum' = accum + grad²,  linear' = linear + grad - (accum'^-p - accum^-p) / lr · var
 *   var = (sign(linear') · l1 - linear') / (accum'^-p / lr + 2 · l2) where |linear'| > l1, else 0
 *
 * With `multiply_linear_by_lr` linear is kept multiplied by lr.
 *
 * @see McMahan et al. 2013
 */
export const ftrl: Step = (c, x, attrs) => {
  const timesRate = attrs.multiply_linear_by_lr === true;
  const two = c.number(2);
  const { lr, l1, l2 } = x as { lr: typeof two; l1: typeof two; l2: typeof two };
  const shrinkage = x.l2_shrinkage;
  const grad = shrinkage === undefined ? x.grad! : c.add(x.grad!, c.mul(c.mul(two, shrinkage), x.var!));
  const accum = c.add(x.accum!, square(c, x.grad!));
  const root = rooted(c, accum, x.lr_power!);
  const growth = c.sub(root, rooted(c, x.accum!, x.lr_power!));
  const change = timesRate
    ? c.sub(c.mul(grad, lr), c.mul(growth, x.var!))
    : c.sub(grad, c.mul(c.div(growth, lr), x.var!));
  const linear = c.add(x.linear!, change);
  const limit = timesRate ? c.mul(l1, lr) : l1;
  const double = c.mul(two, l2);
  const denominator = timesRate ? c.add(root, c.mul(double, lr)) : c.add(c.div(root, lr), double);
  const shrunk = c.div(c.sub(c.mul(c.sign(linear), limit), linear), denominator);
  return { var: c.whereAbove(c.abs(linear), limit, shrunk), accum, linear };
};

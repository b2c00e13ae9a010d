/** @file Dropout, as TensorFlow builds it in three generations, found and taken out. Start at `droppedInput`. */

import { constantValue, type Operation, type Output } from "../../graph/index.ts";

/**
 * What an op drops elements of, where it is the last op of a dropout: its input before it was scaled; null for other ops.
 *
 * - SelectV2(uniform >= rate, x * scale, 0)
 * - (x * scale) * Cast(uniform >= rate)
 * - (x / keep) * Floor(keep + uniform)
 *
 * @see TensorFlow python/ops/nn_ops.py "dropout"
 */
export function droppedInput(op: Operation): Output | null {
  if (op.type === "SelectV2" || op.type === "Select")
    return isMask(op.inputs[0]!) && isZero(op.inputs[2]!) ? unscaled(op.inputs[1]!) : null;
  if (op.type !== "Mul") return null;
  for (const [i, mask] of op.inputs.entries()) {
    const wide = mask.op.type === "Cast" ? mask.op.inputs[0]! : mask;
    const drawn = isMask(wide) || (mask.op.type === "Floor" && isDrawn(mask.op.inputs[0]!));
    if (drawn) return unscaled(op.inputs[1 - i]!);
  }
  return null;
}

const isMask = (x: Output): boolean =>
  /^(GreaterEqual|Greater|Less|LessEqual)$/.test(x.op.type) && x.op.inputs.some(isDrawn);

const MAX_HOPS = 4;

/** Whether a value is a uniform random number, shifted or scaled. */
function isDrawn(x: Output, hops = MAX_HOPS): boolean {
  if (/^(Stateless)?RandomUniform(V2)?$/.test(x.op.type)) return true;
  if (hops === 0 || !/^(Add|AddV2|Mul|Identity)$/.test(x.op.type)) return false;
  return x.op.inputs.some((y) => isDrawn(y, hops - 1));
}

const isZero = (x: Output): boolean =>
  constantValue(x)?.data.every((v) => v === 0) ?? x.op.type === "ZerosLike";

/** The input of a product with one number, or of a division by one. */
function unscaled({ op }: Output): Output | null {
  if (op.type !== "Mul" && op.type !== "RealDiv") return null;
  const [x, by] = op.inputs.map((y) => constantValue(y));
  if (by?.data.length === 1) return op.inputs[0]!;
  return op.type === "Mul" && x?.data.length === 1 ? op.inputs[1]! : null;
}

/**
 * @file Gradients on their way: what each output has received so far, and how several add up, dense or as
 * rows. Start at `Received`.
 *
 * @see TensorFlow python/ops/gradients_util.py "_AggregatedGrads", "_MultiDeviceAddN";
 *   python/eager/backprop_util.py "AggregateIndexedSlicesGradients"
 */

import {
  type Grad,
  type IndexedSlices,
  isIndexedSlices,
  type Operation,
  type Output,
} from "../graph/index.ts";

/** Gradients received, by output. */
export class Received {
  private readonly lists = new Map<Output, Grad[]>();
  private readonly sums = new Map<Output, Grad>();

  add(to: Output, grad: Grad): void {
    const list = this.lists.get(to);
    if (list === undefined) this.lists.set(to, [grad]);
    else list.push(grad);
  }

  /** The sums for all outputs of an op; null where nothing arrived. */
  sumsOf(op: Operation): (Grad | null)[] {
    return op.outputs.map((y) => {
      const list = this.lists.get(y);
      if (list === undefined) return null;
      const sum = this.sums.get(y) ?? addUp(list);
      this.sums.set(y, sum);
      return sum;
    });
  }

  /** Whether anything arrived at an op. */
  has(op: Operation): boolean {
    return op.outputs.some((y) => this.lists.has(y));
  }

  /** The final gradient of an output; null where nothing arrived. */
  sum(y: Output): Grad | null {
    return this.sums.get(y) ?? this.lists.get(y)?.[0] ?? null;
  }
}

function addUp(grads: readonly Grad[]): Grad {
  if (grads.length === 1) return grads[0]!;
  const rows = grads.filter(isIndexedSlices);
  if (rows.length === 0) return addDense(grads as readonly Output[]);
  if (rows.length < grads.length) return graphOf(grads).add("AddN", [grads], { name: "AddN" });
  return concatRows(rows);
}

const graphOf = (grads: readonly Grad[]) => (isIndexedSlices(grads[0]) ? grads[0].values : grads[0]!).graph;

/** Sums per device, then the sum of those; each is made next to the first of its inputs. */
function addDense(grads: readonly Output[]): Output {
  const byDevice = new Map<string, Output[]>();
  for (const g of grads) byDevice.set(g.op.device, [...(byDevice.get(g.op.device) ?? []), g]);
  const sums = [...byDevice.keys()].sort().map((device) => {
    const group = byDevice.get(device)!;
    return group[0]!.graph.colocateWith(group[0]!, () => addN(group), true);
  });
  return addN(sums);
}

const addN = (xs: readonly Output[]): Output =>
  xs.length === 1 ? xs[0]! : xs[0]!.graph.add("AddN", [xs], { name: "AddN" });

/** One set of rows out of several; indices become int64 where they are mixed. */
function concatRows(rows: readonly IndexedSlices[]): IndexedSlices {
  const { graph } = rows[0]!.values;
  const mixed = new Set(rows.map((r) => r.indices.dtype)).size > 1;
  const indices = rows.map(({ indices: i }) =>
    mixed && i.dtype === "int32" ? graph.add("Cast", [i], { name: "Cast", attrs: { DstT: "int64" } }) : i,
  );
  const concat = (xs: readonly Output[]): Output => graph.add("ConcatV2", [xs, 0], { name: "concat" });
  return {
    values: concat(rows.map((r) => r.values)),
    indices: concat(indices),
    denseShape: rows[0]!.denseShape,
  };
}

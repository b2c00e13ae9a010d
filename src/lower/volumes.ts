/**
 * @file Volumes: convolution and pooling in three dimensions by those of planes, so that they have the layouts and recipes of images. What
 * the taps along the depth see is put side by side as channels: a convolution of volumes is one convolution of planes with kd times the
 * channels. Start at `Volumes.conv`; the measurements are in docs/lowering.md.
 */

import { isStatic, type Shape, VarscopeError } from "../base/index.ts";
import type { OnnxValue, OnnxVolumes, VolumeWindow } from "../graph/index.ts";
import {
  elementsOf,
  interleaved,
  type Phase,
  phasesOf,
  picked,
  type Sources,
  shiftedOf,
  sourcesBack,
  sourcesOf,
  tapsOf,
  type View,
} from "./along.ts";
import type { Emitter } from "./emitter.ts";
import { type AxisGeometry, axisGeometry, imageAxis } from "./geometry.ts";
import { dimsOf, type Layouts } from "./layout.ts";
import type { Nn } from "./nn.ts";
import { plainValue, type Value } from "./value.ts";

/** Dims of a volume, channels last. */
type Dims = readonly [n: number | null, d: number, h: number, w: number, c: number];

const LAST = [0, 2, 3, 4, 1];
const FIRST = [0, 4, 1, 2, 3];

export class Volumes implements OnnxVolumes {
  private readonly layouts: Layouts;
  private readonly nn: Nn;
  private readonly e: Emitter;

  constructor(layouts: Layouts, nn: Nn) {
    this.layouts = layouts;
    this.nn = nn;
    this.e = layouts.emitter;
  }

  conv(input: OnnxValue, filter: OnnxValue, given: VolumeWindow): OnnxValue {
    const { last, back, window } = this.channelsLast(given);
    const x = last(input);
    const [n, d, h, w] = sized(x.shape);
    const [kd, kh, kw, i, o] = filterDims(filter);
    const g = depthOf(window, d);
    const planes = this.stacked(x, g, o);
    const taps = this.e.transpose(this.plain(filter), [1, 2, 0, 3, 4]);
    const weights = this.reshaped(taps, [kh, kw, kd * i, o]);
    const y = this.nn.conv2d(planes, weights, window.plane) as Value;
    return back(this.layouts.volume(y, [n, g.out, ...outOf(window, h, w), o]));
  }

  convInputGrad(imageShape: Shape, filter: OnnxValue, grad: OnnxValue, given: VolumeWindow): OnnxValue {
    const { last, back, window, shapeLast } = this.channelsLast(given);
    const dy = last(grad);
    const shape = sized(shapeLast(imageShape));
    const [n, d, h, w, c] = shape;
    const [, kh, kw, , o] = filterDims(filter);
    const g = depthOf(window, d);
    const [, , oh, ow] = sized(dy.shape);
    const whole = this.view(dy, this.fits(c, o), [n, g.out, oh, ow, o]);
    const parts = phasesOf(g).map((phase): Value | null => {
      const count = phase.taps.length;
      if (count === 0) return null;
      const seen = picked(this.e, whole.view, sourcesBack(phase, g));
      const planes = whole.planes(seen.id, [n, phase.count, oh, ow, count * o]);
      const taps = this.e.transpose(this.tapsOf(filter, phase, g), [1, 2, 3, 0, 4]);
      const weights = this.reshaped(taps, [kh, kw, c, count * o]);
      const image = [times(n, phase.count), h, w, c];
      return this.nn.conv2dInputGrad(image, weights, planes, window.plane) as Value;
    });
    if (parts.length === 1) return back(this.layouts.volume(parts[0]!, shape));
    const blocked = parts.every((p) => p === null || p.layout === "nchwc");
    const count = Math.ceil(d / g.stride);
    const lists = parts.map((p) => p && this.view(p, blocked, [n, count, h, w, c]));
    const list = lists.find((l) => l !== null)!;
    const views = lists.map((l) => l?.view ?? null);
    const all = interleaved(this.e, views, 1, g);
    return back(this.layouts.volume(list.planes(all.id, shape), shape));
  }

  convFilterGrad(
    input: OnnxValue,
    filterShape: readonly number[],
    grad: OnnxValue,
    given: VolumeWindow,
  ): OnnxValue {
    const { last, window } = this.channelsLast(given);
    const [x, dy] = [last(input), last(grad)];
    const [kd, kh, kw, i, o] = filterShape as [number, number, number, number, number];
    const g = depthOf(window, sized(x.shape)[1]);
    const blocked = this.fits(i, o);
    const taps = sourcesOf(g).map((tap) => {
      const planes = this.seenBy(x, tap, blocked);
      return this.plain(
        this.nn.conv2dFilterGrad(planes, [kh, kw, i, o], this.layouts.planes(dy), window.plane),
      );
    });
    return this.reshaped(this.e.concat(taps, 0), [kd, kh, kw, i, o]);
  }

  maxPool(input: OnnxValue, given: VolumeWindow): OnnxValue {
    return this.pooled("maxPool", input, given, (planes, g) => {
      const seen = tapsOf(this.e, planes, 1, g, Number.NEGATIVE_INFINITY);
      return seen.length === 1 ? seen[0]!.id : this.e.emit("Max", ids(seen));
    });
  }

  avgPool(input: OnnxValue, given: VolumeWindow): OnnxValue {
    return this.pooled("avgPool", input, given, (planes, g) =>
      this.shared(this.sum(tapsOf(this.e, planes, 1, g)), g),
    );
  }

  /** Pools the planes, then along the depth. */
  private pooled(
    kind: "maxPool" | "avgPool",
    input: OnnxValue,
    given: VolumeWindow,
    alongDepth: (planes: View, g: AxisGeometry) => string,
  ): OnnxValue {
    const { last, back, window } = this.channelsLast(given);
    const x = last(input);
    const [n, d, h, w, c] = sized(x.shape);
    const g = depthOf(window, d);
    const y = this.nn[kind](this.layouts.planes(x), window.plane) as Value;
    const [rows, columns] = outOf(window, h, w);
    const list = this.view(y, y.layout === "nchwc", [n, d, rows, columns, c]);
    const shape: Dims = [n, g.out, rows, columns, c];
    return back(this.layouts.volume(list.planes(alongDepth(list.view, g), shape), shape));
  }

  avgPoolGrad(imageShape: Shape, grad: OnnxValue, given: VolumeWindow): OnnxValue {
    const { last, back, window, shapeLast } = this.channelsLast(given);
    const dy = last(grad);
    const shape = sized(shapeLast(imageShape));
    const [n, d, h, w, c] = shape;
    const g = depthOf(window, d);
    const [, , oh, ow] = sized(dy.shape);
    const list = this.view(dy, dy.layout === "nchwc", [n, g.out, oh, ow, c]);
    const share: View = { id: this.shared(list.view.id, g), dims: list.view.dims };
    const parts = phasesOf(g).map((phase): View | null => {
      if (phase.taps.length === 0) return null;
      const seen = shiftedOf(this.e, share, 1, phase);
      return { id: this.sum(seen), dims: seen[0]!.dims };
    });
    const spread = list.planes(interleaved(this.e, parts, 1, g).id, [n, d, oh, ow, c]);
    const dx = this.nn.avgPoolGrad([times(n, d), h, w, c], spread, window.plane) as Value;
    return back(this.layouts.volume(dx, shape));
  }

  maxPoolGrad(input: OnnxValue, pooled: OnnxValue, grad: OnnxValue, given: VolumeWindow): OnnxValue {
    const { last, back, window } = this.channelsLast(given);
    const [x, y, dy] = [input, pooled, grad].map(last) as [Value, Value, Value];
    const shape = sized(x.shape);
    const [n, d, h, w, c] = shape;
    const axes: AxisGeometry[] = [
      depthOf(window, d),
      bounded(imageAxis(window.plane, 0, h)),
      bounded(imageAxis(window.plane, 1, w)),
    ];
    const [, od, oh, ow] = sized(y.shape);
    const blocked = this.layouts.fits(c);
    const list = this.view(x, blocked, shape);
    const [maxima, grads] = [y, dy].map((v) => this.view(v, blocked, [n, od, oh, ow, c]).grid);
    const id = this.whereEqual(list.grid, maxima!, grads!, axes).id;
    return back(this.layouts.volume(list.planes(id, shape), shape));
  }

  /** Sum over all windows that hold an element: dy where it is 0 apart from the maximum, which infinities are not. Axis by axis, phase by phase. */
  private whereEqual(x: View, y: View, dy: View, axes: readonly AxisGeometry[]): View {
    const [g, ...rest] = axes;
    if (g === undefined) {
      const apart = this.e.emit("Sub", [x.id, y.id]);
      const mask = this.e.emit("Cast", [this.e.emit("Equal", [apart, this.e.filled(0, [])])], { to: 1 });
      return { id: this.e.emit("Mul", [mask, dy.id]), dims: x.dims };
    }
    const axis = GRID_AXES[GRID_AXES.length - axes.length]!;
    const parts = phasesOf(g).map((phase): View | null => {
      if (phase.taps.length === 0) return null;
      const some = elementsOf(this.e, x, axis, phase, g);
      const [maxima, grads] = [y, dy].map((v) => shiftedOf(this.e, v, axis, phase));
      const found = maxima!.map((m, i) => this.whereEqual(some, m, grads![i]!, rest));
      return { id: this.sum(found), dims: found[0]!.dims };
    });
    return interleaved(this.e, parts, axis, g);
  }

  private sum(parts: readonly View[]): string {
    return parts.length === 1 ? parts[0]!.id : this.e.emit("Sum", ids(parts));
  }

  /** Divided by the number of planes in each window along the depth. */
  private shared(id: string, g: AxisGeometry): string {
    const counts = Array.from({ length: g.out }, (_, o) => {
      const start = o * g.stride - g.before;
      return Math.min(start + g.kernel, g.size) - Math.max(start, 0);
    });
    if (counts.every((n) => n === 1)) return id;
    const data = Float32Array.from(counts, (n) => 1 / n);
    return this.e.emit("Mul", [id, this.e.constant({ dtype: "float32", shape: [1, g.out, 1], data })]);
  }

  /** Planes with what each tap along the depth sees as channels: [n*out, h, w, kd*c]. */
  private stacked(x: Value, g: AxisGeometry, outChannels: number): Value {
    const dims = sized(x.shape);
    const [n, , h, w, c] = dims;
    const { view, planes } = this.view(x, this.fits(c, outChannels), dims);
    return planes(picked(this.e, view, sourcesOf(g)).id, [n, g.out, h, w, g.kernel * c]);
  }

  /** The planes that one tap along the depth sees, in blocks or as TensorFlow has them. */
  private seenBy(x: Value, tap: Sources, blocked: boolean): Value {
    const dims = sized(x.shape);
    const [n, d, h, w, c] = dims;
    if (blocked) {
      const { view, planes } = this.view(x, true, dims);
      return planes(picked(this.e, view, [tap]).id, [n, tap.length, h, w, c]);
    }
    const flat: Shape = [n, d, h * w * c];
    const { id } = picked(this.e, { id: this.e.reshape(this.plain(x), dimsOf(flat)), dims: flat }, [tap]);
    const shape: Shape = [times(n, tap.length), h, w, c];
    return plainValue(this.e.reshape(id, dimsOf(shape)), "float32", shape);
  }

  private reshaped(id: string, dims: readonly number[]): Value {
    return plainValue(this.e.reshape(id, dims), "float32", dims);
  }

  private fits(...channels: readonly number[]): boolean {
    return channels.every((c) => this.layouts.fits(c));
  }

  /** A volume (or its planes) in an image layout, seen as [n, d, elements of a plane] and with height and width apart. */
  private view(x: Value, blocked: boolean, [n, d, h, w, c]: Dims) {
    const id = blocked ? this.layouts.nchwc(x, 3) : this.layouts.nchw(x, 3);
    const flat: Shape = [n, d, h * w * c];
    const block = this.layouts.block;
    const grid: Shape = blocked ? [n, d, c / block!, h, w, block!] : [n, d, c, h, w];
    const seen = (dims: Shape): View => ({ id: this.e.reshape(id, dimsOf(dims)), dims });
    const { layouts, e } = this;
    return {
      get view(): View {
        return seen(flat);
      },
      get grid(): View {
        return seen(grid);
      },
      /** a name in the same layout as planes of dims */
      planes: (name: string, [n, d, h, w, c]: Dims): Value => {
        const planes = e.reshape(name, dimsOf([times(n, d), c, h, w]));
        const shape = [times(n, d), h, w, c];
        return blocked ? layouts.blocked(planes, shape, 3) : layouts.channelsFirst(planes, shape, 3);
      },
    };
  }

  /** The filter's taps of a phase, [taps, kh, kw, in, out]. */
  private tapsOf(filter: OnnxValue, { taps }: Phase, g: AxisGeometry): string {
    const id = this.plain(filter);
    if (taps.length === g.kernel) return id;
    return this.e.emit("Gather", [id, this.e.ints(taps.map((t) => t.tap))], { axis: 0 });
  }

  private plain(x: OnnxValue): string {
    return this.layouts.plain(x as Value).id;
  }

  /** Volumes with their channels first are run with them last. */
  private channelsLast(window: VolumeWindow) {
    if (window.plane.dataFormat === "NHWC") {
      const same = (x: OnnxValue): Value => x as Value;
      return { last: same, back: same, window, shapeLast: (shape: Shape) => shape };
    }
    const moved = (x: OnnxValue, perm: readonly number[]): Value => {
      const shape = x.shape === null ? null : perm.map((p) => x.shape![p]!);
      return plainValue(this.e.transpose(this.plain(x), perm), x.dtype, shape);
    };
    return {
      last: (x: OnnxValue) => moved(x, LAST),
      back: (x: OnnxValue) => moved(x, FIRST),
      window: { ...window, plane: { ...window.plane, dataFormat: "NHWC" as const } },
      shapeLast: (shape: Shape) => LAST.map((axis) => shape[axis]!),
    };
  }
}

/** Axes of depth, height and width in a grid. */
const GRID_AXES = [1, 3, 4];

const ids = (views: readonly View[]): string[] => views.map((v) => v.id);

const times = (n: number | null, d: number): number | null => (n === null ? null : n * d);

/** @throws VarscopeError UNIMPLEMENTED - a dim other than the batch is not known */
function sized(shape: Shape | null): Dims {
  if (shape !== null && isStatic(shape.slice(1))) return shape as Dims;
  throw new VarscopeError(
    "UNIMPLEMENTED",
    "volumes need a known depth, height, width and number of channels",
  );
}

function filterDims(filter: OnnxValue): readonly [number, number, number, number, number] {
  return filter.shape as [number, number, number, number, number];
}

/** Height and width after the window. */
const outOf = ({ plane }: VolumeWindow, h: number, w: number): readonly [number, number] => [
  imageAxis(plane, 0, h).out,
  imageAxis(plane, 1, w).out,
];

const depthOf = ({ depth, plane }: VolumeWindow, size: number): AxisGeometry =>
  bounded(axisGeometry(depth, plane.padding, [0, 0], size));

/** With one window, strides past the end say nothing, and phases beyond the axis would be empty. */
const bounded = (g: AxisGeometry): AxisGeometry => ({ ...g, stride: Math.min(g.stride, g.size) });

/**
 * @file Images: convolution, pooling, normalization. Each method decides between the blocked recipe and the plain one; the recipes are in
 * blocked-conv.ts, plain-conv.ts, pool.ts and norm.ts.
 */

import { isStatic, type Shape, type Tensor, VarscopeError } from "../base/index.ts";
import type { DataFormat, OnnxNn, OnnxValue, Window } from "../graph/index.ts";
import * as blocked from "./blocked-conv.ts";
import { type Emitter, NCHWC } from "./emitter.ts";
import { channelAxisOf, geometry, geometryOrNull, groupsOf, outShape, windowAttrs } from "./geometry.ts";
import type { Layouts } from "./layout.ts";
import * as norm from "./norm.ts";
import * as plain from "./plain-conv.ts";
import * as pool from "./pool.ts";
import { repeat, resample } from "./resample.ts";
import { imageDims, plainValue, type Value } from "./value.ts";

/** How a value came about, where a later op can do better for knowing. */
type Origin =
  | { readonly kind: "phases"; readonly phases: blocked.Phases }
  | {
      readonly kind: "max-pool-grad";
      readonly x: Value;
      readonly y: Value;
      readonly dy: Value;
      readonly window: Window;
    };

export class Nn implements OnnxNn {
  private readonly layouts: Layouts;
  private readonly e: Emitter;
  private readonly origins = new Map<string, Origin>();

  constructor(layouts: Layouts) {
    this.layouts = layouts;
    this.e = layouts.emitter;
  }

  conv2d(input: OnnxValue, filter: OnnxValue, window: Window): OnnxValue {
    const x = input as Value;
    const axis = channelAxisOf(window);
    const { n, c } = imageDims(x.shape!, axis);
    const shape = this.filterShape(filter);
    const g = geometryOrNull(window, x.shape!);
    const out = outShape(axis, n, shape[3]!, g);
    const groups = groupsOf(c, shape[2]!);
    if (g !== null && groups === 1 && this.layouts.fits(shape[3]!)) {
      const block = this.layouts.block!;
      if (this.layouts.fits(c)) {
        const id = blocked.conv(this.e, this.layouts.nchwc(x, axis), this.id(filter), shape, g, block);
        return this.layouts.blocked(id, out, axis);
      }
      if (c !== null && c < block) {
        const id = blocked.conv(this.e, this.layouts.nchw(x, axis), this.id(filter), shape, g, block);
        return this.layouts.blocked(id, out, axis);
      }
    }
    const weights = this.e.transpose(this.id(filter), [3, 2, 0, 1]);
    const id = plain.conv(this.e, this.layouts.nchw(x, axis), weights, window, g, groups);
    return this.layouts.channelsFirst(id, out, axis);
  }

  conv2dInputGrad(imageShape: Shape, filter: OnnxValue, grad: OnnxValue, window: Window): OnnxValue {
    const dy = grad as Value;
    const axis = channelAxisOf(window);
    const g = geometry(window, imageShape);
    const shape = this.filterShape(filter);
    const { n, c } = imageDims(imageShape, axis);
    const groups = groupsOf(c, shape[2]!);
    if (groups === 1 && this.layouts.fits(c) && this.layouts.fits(shape[3]!)) {
      const block = this.layouts.block!;
      const blockedDy = this.layouts.nchwc(dy, axis);
      const one = blocked.inputGradStride1(this.e, this.id(filter), shape, blockedDy, g, block);
      if (one !== null) return this.layouts.blocked(one, imageShape, axis);
      const phases = blocked.inputGradStride2(this.e, this.id(filter), shape, blockedDy, g, block, n);
      const whole = phases && blocked.interleave(this.e, phases, block);
      if (phases && whole) {
        this.origins.set(whole, { kind: "phases", phases });
        return this.layouts.blocked(whole, imageShape, axis);
      }
    }
    const id = plain.inputGrad(this.e, this.id(filter), shape, this.layouts.nchw(dy, axis), g, groups);
    return this.layouts.channelsFirst(id, imageShape, axis);
  }

  conv2dFilterGrad(
    input: OnnxValue,
    filterShape: readonly number[],
    grad: OnnxValue,
    window: Window,
  ): OnnxValue {
    const x = input as Value;
    const dy = grad as Value;
    const axis = channelAxisOf(window);
    const g = geometry(window, x.shape!);
    const { n, c } = imageDims(x.shape!, axis);
    const [, , i, o] = filterShape as [number, number, number, number];
    const block = this.layouts.block;
    const undilated = g.dilations.every((d) => d === 1);
    if (
      block !== null &&
      n !== null &&
      n > 0 &&
      n % block === 0 &&
      undilated &&
      c === i &&
      this.layouts.fits(o)
    ) {
      const image = this.layouts.fits(i)
        ? this.layouts.nchwc(x, axis)
        : i < block
          ? this.nhwc(x, axis)
          : null;
      if (image !== null) {
        const id = blocked.filterGrad(this.e, image, this.layouts.nchwc(dy, axis), filterShape, g, n, block);
        return plainValue(id, "float32", filterShape);
      }
    }
    const groups = groupsOf(c, i);
    const id = plain.filterGrad(this.e, this.nhwc(x, axis), this.nhwc(dy, axis), filterShape, g, groups);
    return plainValue(id, "float32", filterShape);
  }

  depthwise(input: OnnxValue, filter: OnnxValue, window: Window): OnnxValue {
    const x = input as Value;
    const axis = channelAxisOf(window);
    const shape = this.filterShape(filter);
    const g = geometryOrNull(window, x.shape!);
    const { n } = imageDims(x.shape!, axis);
    const out = outShape(axis, n, shape[2]! * shape[3]!, g);
    if (g !== null && shape[3] === 1 && this.layouts.fits(shape[2]!)) {
      const id = blocked.depthwise(
        this.e,
        this.layouts.nchwc(x, axis),
        this.id(filter),
        shape,
        g,
        this.layouts.block!,
      );
      return this.layouts.blocked(id, out, axis);
    }
    const weights = plain.depthwiseWeights(this.e, this.id(filter), shape);
    const id = plain.conv(this.e, this.layouts.nchw(x, axis), weights, window, g, shape[2]!);
    return this.layouts.channelsFirst(id, out, axis);
  }

  depthwiseInputGrad(imageShape: Shape, filter: OnnxValue, grad: OnnxValue, window: Window): OnnxValue {
    const dy = grad as Value;
    const axis = channelAxisOf(window);
    const g = geometry(window, imageShape);
    const shape = this.filterShape(filter);
    if (shape[3] === 1 && this.layouts.fits(shape[2]!)) {
      const block = this.layouts.block!;
      const id = blocked.depthwiseInputGrad(
        this.e,
        this.id(filter),
        shape,
        this.layouts.nchwc(dy, axis),
        g,
        block,
      );
      if (id !== null) return this.layouts.blocked(id, imageShape, axis);
    }
    const id = plain.depthwiseInputGrad(this.e, this.id(filter), shape, this.layouts.nchw(dy, axis), g);
    return this.layouts.channelsFirst(id, imageShape, axis);
  }

  depthwiseFilterGrad(
    input: OnnxValue,
    filterShape: readonly number[],
    grad: OnnxValue,
    window: Window,
  ): OnnxValue {
    const x = input as Value;
    const dy = grad as Value;
    const axis = channelAxisOf(window);
    const g = geometry(window, x.shape!);
    const { n } = imageDims(x.shape!, axis);
    const undilated = g.dilations.every((d) => d === 1);
    if (n !== null && n > 0 && undilated && filterShape[3] === 1 && this.layouts.fits(filterShape[2]!)) {
      const [a, b] = [this.layouts.nchwc(x, axis), this.layouts.nchwc(dy, axis)];
      return plainValue(
        blocked.depthwiseFilterGrad(this.e, a, b, filterShape, g, n, this.layouts.block!),
        "float32",
        filterShape,
      );
    }
    const id = plain.depthwiseFilterGrad(this.e, this.nhwc(x, axis), this.nhwc(dy, axis), filterShape, g);
    return plainValue(id, "float32", filterShape);
  }

  maxPool(input: OnnxValue, window: Window): OnnxValue {
    return this.pool("MaxPool", input as Value, window, {});
  }

  avgPool(input: OnnxValue, window: Window): OnnxValue {
    return this.pool("AveragePool", input as Value, window, { count_include_pad: 0 });
  }

  private pool(type: string, x: Value, window: Window, extra: Record<string, number>): OnnxValue {
    const axis = channelAxisOf(window);
    const { n, c } = imageDims(x.shape!, axis);
    const g = geometryOrNull(window, x.shape!);
    const out = outShape(axis, n, c, g);
    const attrs = { ...windowAttrs(window, g), ...extra };
    if (g !== null && this.layouts.fits(c) && x.layout === "nchwc" && x.channelAxis === axis) {
      return this.layouts.blocked(this.e.emit(type, [x.id], attrs, NCHWC), out, axis);
    }
    return this.layouts.channelsFirst(this.e.emit(type, [this.layouts.nchw(x, axis)], attrs), out, axis);
  }

  maxPoolGrad(input: OnnxValue, pooled: OnnxValue, grad: OnnxValue, window: Window): OnnxValue {
    const [x, y, dy] = [input as Value, pooled as Value, grad as Value];
    const axis = channelAxisOf(window);
    const g = geometry(window, x.shape!);
    const { c } = imageDims(x.shape!, axis);
    if (this.layouts.fits(c) && pool.isHalving(g)) {
      const [bx, by, bdy] = [x, y, dy].map((v) => this.layouts.nchwc(v, axis)) as [string, string, string];
      const id = pool.maxPoolGradHalving(this.e, bx, by, bdy, c, g, this.layouts.block!);
      this.origins.set(id, { kind: "max-pool-grad", x: { ...x, id: bx }, y, dy, window });
      return this.layouts.blocked(id, x.shape!, axis);
    }
    const id = pool.maxPoolGradPlain(this.e, this.layouts.nchw(x, axis), this.layouts.nchw(dy, axis), g);
    return this.layouts.channelsFirst(id, x.shape, axis);
  }

  avgPoolGrad(imageShape: Shape, grad: OnnxValue, window: Window): OnnxValue {
    const dy = grad as Value;
    const axis = channelAxisOf(window);
    const g = geometry(window, imageShape);
    const { n, c } = imageDims(imageShape, axis);
    if (c === null)
      throw new VarscopeError("UNIMPLEMENTED", "the gradient of average pooling needs known channels");
    if (this.layouts.fits(c) && pool.isHalving(g)) {
      const phases = { batch: n, channels: c, size: g.out };
      const id = pool.avgPoolGradHalving(this.e, this.layouts.nchwc(dy, axis), phases, this.layouts.block!);
      return this.layouts.blocked(id, imageShape, axis);
    }
    const id = pool.avgPoolGradPlain(this.e, this.layouts.nchw(dy, axis), c, g);
    return this.layouts.channelsFirst(id, imageShape, axis);
  }

  batchNormTrain(x: OnnxValue, scale: OnnxValue, offset: OnnxValue, epsilon: number, format: DataFormat) {
    const image = this.image(x as Value, format);
    const { y, mean, variance } = norm.train(this.e, image, this.id(scale), this.id(offset), epsilon);
    const vector = (id: string): OnnxValue => plainValue(id, "float32", [image.channels]);
    return {
      y: this.fromImage(y, x as Value, format, image),
      mean: vector(mean),
      variance: vector(variance),
    };
  }

  batchNormInfer(
    x: OnnxValue,
    scale: OnnxValue,
    offset: OnnxValue,
    mean: OnnxValue,
    variance: OnnxValue,
    epsilon: number,
    format: DataFormat,
  ): OnnxValue {
    const image = this.image(x as Value, format);
    if (!image.blocked) {
      const inputs = [image.id, ...[scale, offset, mean, variance].map((v) => this.id(v))];
      const id = this.e.emit("BatchNormalization", inputs, { epsilon: { float: epsilon } });
      return this.fromImage(id, x as Value, format, image);
    }
    const ids = [scale, offset, mean, variance].map((v) => this.id(v)) as [string, string, string, string];
    return this.fromImage(norm.infer(this.e, image, ...ids, epsilon), x as Value, format, image);
  }

  batchNormGrad(
    dy: OnnxValue,
    x: OnnxValue,
    scale: OnnxValue,
    mean: OnnxValue,
    variance: OnnxValue,
    options: { epsilon: number; format: DataFormat; training: boolean },
  ) {
    const image = this.image(x as Value, options.format);
    const axis = channelAxisOf({ dataFormat: options.format });
    const grad = dy as Value;
    const dyId = image.blocked ? this.layouts.nchwc(grad, axis) : this.layouts.nchw(grad, axis);
    const out = norm.grad(
      this.e,
      { ...image, id: dyId },
      image,
      this.id(scale),
      this.id(mean),
      this.id(variance),
      options,
    );
    const vector = (id: string): OnnxValue => plainValue(id, "float32", [image.channels]);
    return {
      dx: this.fromImage(out.dx, x as Value, options.format, image),
      dscale: vector(out.dscale),
      doffset: vector(out.doffset),
    };
  }

  resample = (x: OnnxValue, rows: Tensor, columns: Tensor) => resample(this.layouts, x, rows, columns);
  repeat = (x: OnnxValue, rows: number, columns: number) => repeat(this.layouts, x, rows, columns);

  biasAdd(x: OnnxValue, bias: OnnxValue, format: DataFormat): OnnxValue {
    const image = this.image(x as Value, format);
    return this.fromImage(norm.channelAffine(this.e, image, "", this.id(bias)), x as Value, format, image);
  }

  biasGrad(dy: OnnxValue, format: DataFormat): OnnxValue {
    const image = this.image(dy as Value, format);
    return plainValue(norm.channelSum(this.e, image), "float32", [image.channels]);
  }

  reluGrad(grad: OnnxValue, features: OnnxValue): OnnxValue {
    const [dy, y] = [grad as Value, features as Value];
    const origin = this.origins.get(dy.id);
    if (origin?.kind === "max-pool-grad" && y.layout === "nchwc" && origin.x.id === y.id) {
      // The maximum passes exactly where it is positive: mask the small pooled gradient instead of the large one.
      const masked = this.masked(origin.dy, origin.y);
      return this.maxPoolGrad(origin.x, origin.y, masked, origin.window);
    }
    return this.masked(dy, y);
  }

  private masked(dy: Value, y: Value): Value {
    const image = [dy, y].find((v) => v.layout === "nchwc") ?? [dy, y].find((v) => v.layout === "nchw");
    if (image === undefined) {
      return plainValue(this.e.emit("Mul", [pool.step(this.e, y.id), dy.id]), dy.dtype, dy.shape);
    }
    const to = (v: Value): string =>
      image.layout === "nchwc"
        ? this.layouts.nchwc(v, image.channelAxis)
        : this.layouts.nchw(v, image.channelAxis);
    return { ...image, id: this.e.emit("Mul", [pool.step(this.e, to(y)), to(dy)]), shape: dy.shape };
  }

  /** Sum of gradients; images that are phases of one size add up before they are interleaved. */
  addPhases(a: Value, b: Value): Value | null {
    const [x, y] = [this.origins.get(a.id), this.origins.get(b.id)];
    if (x?.kind !== "phases" || y?.kind !== "phases") return null;
    const phases = blocked.addPhases(this.e, x.phases, y.phases);
    const id = blocked.interleave(this.e, phases, this.layouts.block!);
    return id === null ? null : this.layouts.blocked(id, a.shape!, a.channelAxis);
  }

  reduceImage(
    kind: "Mean" | "Sum",
    input: OnnxValue,
    axes: readonly number[],
    keepDims: boolean,
  ): OnnxValue | null {
    const x = input as Value;
    if (x.layout === "plain" || x.dtype !== "float32" || x.shape?.length !== 4) return null;
    const spatial = x.channelAxis === 3 ? "1,2" : "2,3";
    const { n, c, h, w } = imageDims(x.shape, x.channelAxis);
    if ([...axes].sort().join() !== spatial || c === null) return null;
    let id = this.e.emit("GlobalAveragePool", [x.id], {}, x.layout === "nchwc" ? NCHWC : "");
    if (kind === "Sum") {
      if (h === null || w === null) return null;
      id = this.e.emit("Mul", [id, this.e.filled(h * w, [])]);
    }
    const dims = x.channelAxis === 3 ? [n, 1, 1, c] : [n, c, 1, 1];
    if (!keepDims) return plainValue(this.e.reshape(id, [-1, c]), "float32", [n, c]);
    return plainValue(this.e.reshape(id, x.channelAxis === 3 ? [0, 1, 1, c] : [0, c, 1, 1]), "float32", dims);
  }

  private image(x: Value, format: DataFormat): norm.Image {
    const axis = channelAxisOf({ dataFormat: format });
    const { n, c, h, w } = imageDims(x.shape!, axis);
    if (c === null)
      throw new VarscopeError("UNIMPLEMENTED", "normalization needs a known number of channels");
    const isBlocked = x.layout === "nchwc" && x.channelAxis === axis;
    const id = isBlocked ? x.id : this.layouts.nchw(x, axis);
    return { id, blocked: isBlocked, batch: n, channels: c, size: [h, w] };
  }

  private fromImage(id: string, like: Value, format: DataFormat, image: norm.Image): Value {
    const axis = channelAxisOf({ dataFormat: format });
    return image.blocked
      ? this.layouts.blocked(id, like.shape!, axis)
      : this.layouts.channelsFirst(id, like.shape, axis);
  }

  private nhwc(x: Value, axis: 1 | 3): string {
    const id = this.layouts.plain(x).id;
    return axis === 3 ? id : this.e.transpose(id, [0, 2, 3, 1]);
  }

  private id(x: OnnxValue): string {
    return this.layouts.plain(x as Value).id;
  }

  private filterShape(filter: OnnxValue): readonly number[] {
    if (isStatic(filter.shape)) return filter.shape;
    throw new VarscopeError("UNIMPLEMENTED", "a convolution needs a filter of known shape");
  }
}

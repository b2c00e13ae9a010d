/** @file Moving values between layouts. All layout changes of a model happen here. Start at `Layouts`. */

import { isStatic, type Shape, VarscopeError } from "../base/index.ts";
import { type Emitter, NCHWC } from "./emitter.ts";
import { imageDims, plainValue, planesOf, type Value } from "./value.ts";

/** Which image layout a model prefers: ONNX's own, or the blocked one with so many channels a block. */
export interface LayoutChoice {
  readonly block: number | null;
}

/** Dims of a Reshape to a shape whose first alone may be unknown. @throws VarscopeError UNIMPLEMENTED - others are */
export function dimsOf(shape: Shape): number[] {
  const [first, ...rest] = shape;
  if (isStatic(rest)) return [first ?? -1, ...rest];
  throw new VarscopeError(
    "UNIMPLEMENTED",
    "volumes need a known depth, height, width and number of channels",
  );
}

/** Conversions, each emitted once. */
export class Layouts {
  readonly emitter: Emitter;
  readonly block: number | null;

  constructor(emitter: Emitter, choice: LayoutChoice) {
    this.emitter = emitter;
    this.block = choice.block;
  }

  /** Whether a float32 image of so many channels can be blocked. */
  fits(channels: number | null): channels is number {
    return this.block !== null && channels !== null && channels > 0 && channels % this.block === 0;
  }

  plain(x: Value): Value {
    if (x.layout === "plain") return x;
    if (x.shape!.length === 4) return plainValue(this.plainId(x), x.dtype, x.shape);
    return this.volume(this.plain(this.planes(x)), x.shape!);
  }

  /** A volume [N,D,H,W,C] as its planes [N*D,H,W,C], in its layout. Images stay. */
  planes(x: Value): Value {
    const shape = planesOf(x.shape!);
    if (x.layout !== "plain" || shape === x.shape) return { ...x, shape };
    return plainValue(this.emitter.reshape(x.id, dimsOf(shape)), x.dtype, shape);
  }

  /** Planes as the volume that they were. */
  volume(x: Value, shape: Shape): Value {
    if (x.layout !== "plain") return { ...x, shape };
    return plainValue(this.emitter.reshape(x.id, dimsOf(shape)), x.dtype, shape);
  }

  private plainId(x: Value): string {
    const e = this.emitter;
    if (x.layout === "nchw") return e.transpose(x.id, [0, 2, 3, 1]);
    const { c, h, w } = imageDims(x.shape!, x.channelAxis);
    if (h === 1 && w === 1) return e.reshape(x.id, x.channelAxis === 3 ? [0, 1, 1, c!] : [0, c!, 1, 1]);
    if (x.dtype === "float32") {
      const attrs = { channels: c!, channels_last: x.channelAxis === 3 ? 1 : 0 };
      return e.emit("ReorderOutput", [x.id], attrs, NCHWC);
    }
    const five = this.fiveDims(x);
    return x.channelAxis === 3
      ? e.reshape(e.transpose(five, [0, 2, 3, 1, 4]), [0, 0, 0, c!])
      : e.reshape(e.transpose(five, [0, 1, 4, 2, 3]), [0, c!, h ?? -1, w ?? -1]);
  }

  /** Memory [N,C,H,W]; TF's shape stays. `channelAxis` says where TF's shape has the channels. */
  nchw(x: Value, channelAxis: 1 | 3): string {
    if (channelAxis === 1) return this.plain(x).id;
    if (x.layout === "nchw") return x.id;
    if (x.shape!.length === 5) return this.nchw(this.planes(x), 3);
    if (x.layout === "nchwc" && x.channelAxis === 3 && x.dtype === "float32") {
      const { c, h, w } = imageDims(x.shape!, 3);
      if (h === 1 && w === 1) return x.id;
      return this.emitter.emit("ReorderOutput", [x.id], { channels: c!, channels_last: 0 }, NCHWC);
    }
    const { h, w, c } = imageDims(x.shape!, 3);
    const id = this.plain(x).id;
    if (c === 1 && h !== null && w !== null) return this.emitter.reshape(id, [0, 1, h, w]);
    return this.emitter.transpose(id, [0, 3, 1, 2]);
  }

  /** Memory blocked; only where `fits`. */
  nchwc(x: Value, channelAxis: 1 | 3): string {
    if (x.layout === "nchwc" && x.channelAxis === channelAxis) return x.id;
    if (x.layout === "nchwc") return this.nchwc(this.plain(x), channelAxis);
    if (x.shape!.length === 5) return this.nchwc(this.planes(x), channelAxis);
    const e = this.emitter;
    const { c, h, w } = imageDims(x.shape!, channelAxis);
    if (x.dtype !== "float32") {
      const b = this.block!;
      return channelAxis === 3
        ? e.reshape(e.transpose(e.reshape(this.plain(x).id, [0, 0, 0, c! / b, b]), [0, 3, 1, 2, 4]), [
            0,
            c!,
            h ?? -1,
            w ?? -1,
          ])
        : e.reshape(
            e.transpose(e.reshape(this.plain(x).id, [0, c! / b, b, h ?? -1, w ?? -1]), [0, 1, 3, 4, 2]),
            [0, c!, h ?? -1, w ?? -1],
          );
    }
    if (x.layout === "plain" && channelAxis === 3) {
      if (h === 1 && w === 1) return e.reshape(x.id, [0, c!, 1, 1]);
      return e.emit("ReorderInput", [x.id], { channels_last: 1 }, NCHWC);
    }
    return e.emit("ReorderInput", [this.nchw(x, channelAxis)], { channels_last: 0 }, NCHWC);
  }

  /** The 5-D view [N, C/B, H, W, B] of a blocked value. */
  fiveDims(x: Value): string {
    const { c } = imageDims(x.shape!, x.channelAxis);
    return this.emitter.reshape(x.id, [0, c! / this.block!, 0, 0, this.block!]);
  }

  blocked(id: string, shape: Shape, channelAxis: 1 | 3): Value {
    return { id, dtype: "float32", shape, layout: "nchwc", constant: null, channelAxis };
  }

  /** A value whose memory is [N,C,H,W] and whose TF shape has its channels on `channelAxis`. */
  channelsFirst(id: string, shape: Shape | null, channelAxis: 1 | 3): Value {
    return {
      id,
      dtype: "float32",
      shape,
      layout: channelAxis === 3 ? "nchw" : "plain",
      constant: null,
      channelAxis,
    };
  }
}

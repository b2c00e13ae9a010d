/**
 * @file The ONNX builder that ops lower themselves with: values in TF's terms on top, raw nodes below. Elementwise ops keep the layout of
 * their inputs; everything else sees TF's layout; images are `nn.ts`. Start at `Builder.map`.
 */

import {
  broadcastShapes,
  type DType,
  isStatic,
  type Shape,
  sameShape,
  scalar,
  type Tensor,
  tensor,
  VarscopeError,
} from "../base/index.ts";
import type { Onnx, OnnxAttr, OnnxOut, OnnxValue } from "../graph/index.ts";
import { Emitter } from "./emitter.ts";
import { optimize } from "./fuse.ts";
import { type LayoutChoice, Layouts } from "./layout.ts";
import { encodeModel } from "./model.ts";
import { Nn } from "./nn.ts";
import { ONNX_TYPES } from "./onnx-types.ts";
import { imageDims, plainValue, type Value } from "./value.ts";
import { Volumes } from "./volumes.ts";

/** An input of an elementwise node on an image. */
interface Part {
  readonly id: string;
  readonly kind: "image" | "scalar" | "vector";
}

/** Implements what `lower` may use. One for each ONNX model. */
export class Builder implements Onnx {
  readonly emitter = new Emitter();
  readonly layouts: Layouts;
  readonly nn: Nn;
  readonly volumes: Volumes;
  /** outputs of Adds of two blocked images */
  private readonly imageAdds = new Set<string>();
  private readonly constants = new Map<Tensor, Value>();

  constructor(choice: LayoutChoice) {
    this.layouts = new Layouts(this.emitter, choice);
    this.nn = new Nn(this.layouts);
    this.volumes = new Volumes(this.layouts, this.nn);
  }

  /** A model input. */
  input(name: string, dtype: DType, shape: Shape | null): Value {
    return plainValue(name, dtype, shape);
  }

  /** The name of a value in TF's layout. */
  plain(x: OnnxValue | null): string {
    return x === null ? "" : this.layouts.plain(x as Value).id;
  }

  add(
    type: string,
    inputs: readonly (OnnxValue | null)[],
    attrs: Record<string, OnnxAttr> = {},
    out: OnnxOut = {},
  ): OnnxValue {
    return this.addMany(type, inputs, attrs, [out])[0]!;
  }

  addMany(
    type: string,
    inputs: readonly (OnnxValue | null)[],
    attrs: Record<string, OnnxAttr>,
    outs: readonly OnnxOut[],
  ): OnnxValue[] {
    const ids = this.emitter.emitMany(
      type,
      inputs.map((x) => this.plain(x)),
      attrs,
      outs.length,
    );
    const first = inputs.find((x) => x !== null);
    return ids.map((id, i) =>
      plainValue(id, outs[i]!.dtype ?? first?.dtype ?? "float32", outs[i]!.shape ?? null),
    );
  }

  map(
    type: string,
    inputs: readonly OnnxValue[],
    attrs: Record<string, OnnxAttr> = {},
    out: OnnxOut = {},
  ): OnnxValue {
    const values = inputs as readonly Value[];
    const shape = out.shape ?? values.map((x) => x.shape).reduce((a, b) => broadcastShapes(a, b));
    const dtype = out.dtype ?? values[values.length - 1]!.dtype;
    const image = values.find((x) => x.layout === "nchwc") ?? values.find((x) => x.layout === "nchw");
    if (image !== undefined && shape !== null && image.shape !== null && sameDims(shape, image.shape)) {
      const parts = values.map((x) => this.beside(x, image));
      if (parts.every((p) => p !== null))
        return this.mapImage(type, parts as Part[], attrs, { ...image, dtype, shape });
    }
    const id = this.emitter.emit(
      type,
      values.map((x) => this.plain(x)),
      attrs,
    );
    return plainValue(id, dtype, shape);
  }

  private mapImage(
    type: string,
    parts: readonly Part[],
    attrs: Record<string, OnnxAttr>,
    like: Value,
  ): Value {
    const five = like.layout === "nchwc" && parts.some((p) => p.kind === "vector");
    if (!five) {
      const id = this.emitter.emit(
        type,
        parts.map((p) => p.id),
        attrs,
      );
      const allImages = parts.every((p) => p.kind === "image");
      if (type === "Add" && like.layout === "nchwc" && allImages) this.imageAdds.add(id);
      return { ...like, id, constant: null };
    }
    const { c } = imageDims(like.shape!, like.channelAxis);
    const block = this.layouts.block!;
    const views = parts.map((p) =>
      p.kind === "image" ? this.emitter.reshape(p.id, [0, c! / block, 0, 0, block]) : p.id,
    );
    const id = this.emitter.reshape(this.emitter.emit(type, views, attrs), [0, c!, 0, 0]);
    return { ...like, id, constant: null };
  }

  /** `x` as it can meet an image in the image's layout: of the same shape, a scalar, or a vector along the channels. */
  private beside(x: Value, image: Value): Part | null {
    if (x.layout === image.layout && x.channelAxis === image.channelAxis && sameDims(x.shape!, image.shape!))
      return { id: x.id, kind: "image" };
    if (isStatic(x.shape) && x.shape.every((d) => d === 1) && x.shape.length <= 4)
      return { id: this.plain(x), kind: "scalar" };
    if (x.shape !== null && sameDims(x.shape, image.shape!)) {
      const id =
        image.layout === "nchwc"
          ? this.layouts.nchwc(x, image.channelAxis)
          : this.layouts.nchw(x, image.channelAxis);
      return { id, kind: "image" };
    }
    return this.channelVector(x, image);
  }

  private channelVector(x: Value, image: Value): Part | null {
    const { c } = imageDims(image.shape!, image.channelAxis);
    const axis = image.channelAxis - 4 + (x.shape?.length ?? 0);
    if (c === null || !isStatic(x.shape) || axis < 0 || x.shape.length > image.shape!.length) return null;
    if (!x.shape.every((d, i) => d === (i === axis ? c : 1))) return null;
    if (image.layout === "nchw")
      return { id: this.emitter.reshape(this.plain(x), [c, 1, 1]), kind: "vector" };
    const block = this.layouts.block!;
    return { id: this.emitter.reshape(this.plain(x), [c / block, 1, 1, block]), kind: "vector" };
  }

  sum(inputs: readonly OnnxValue[]): OnnxValue {
    return inputs.reduce((a, b) => this.nn.addPhases(a as Value, b as Value) ?? this.map("Add", [a, b]));
  }

  /** The model's bytes. Inputs that nothing uses are left out; `inputs` of the result says which stayed. */
  finish(
    inputs: readonly Value[],
    outputs: readonly OnnxValue[],
  ): { bytes: Uint8Array; inputs: string[]; outputs: string[] } {
    const made = new Set(this.emitter.nodes.flatMap((n) => n.outputs));
    const taken = new Set<string>();
    const ids = outputs.map((x) => {
      const id = this.plain(x);
      const name = made.has(id) && !taken.has(id) ? id : this.copyOf(id);
      taken.add(name);
      return name;
    });
    const nodes = optimize(this.emitter.nodes, ids, this.imageAdds, this.emitter.constants);
    const used = new Set(nodes.flatMap((n) => n.inputs));
    const ports = inputs.filter((x) => used.has(x.id));
    const bytes = encodeModel(
      nodes,
      this.emitter.constants,
      ports.map((x) => ({ name: x.id, dtype: x.dtype, shape: x.shape })),
      outputs.map((x, i) => ({ name: ids[i]!, dtype: x.dtype, shape: x.shape })),
    );
    return { bytes, inputs: ports.map((x) => x.id), outputs: ids };
  }

  /** A model's output must be a node's own: inputs, constants and second uses are copied. */
  private copyOf(id: string): string {
    const name = this.emitter.fresh();
    this.emitter.nodes.push({
      type: "Identity",
      domain: "",
      inputs: [id],
      outputs: [name],
      attrs: {},
      name: "",
    });
    return name;
  }

  constant(value: Tensor): OnnxValue {
    let known = this.constants.get(value);
    if (known === undefined) {
      known = plainValue(this.emitter.constant(value), value.dtype, value.shape, value);
      this.constants.set(value, known);
    }
    return known;
  }

  ints(values: readonly number[]): OnnxValue {
    return this.constant(tensor([...values], "int64", [values.length]));
  }

  scalar(value: number, dtype: DType): OnnxValue {
    return this.constant(scalar(value, dtype));
  }

  cast(x: OnnxValue, dtype: DType): OnnxValue {
    if (x.dtype === dtype) return x;
    const to = ONNX_TYPES[dtype];
    if (to === undefined) throw new VarscopeError("UNIMPLEMENTED", `ONNX has no ${dtype}`);
    return this.map("Cast", [x], { to }, { dtype });
  }

  reshape(x: OnnxValue, shape: Shape): OnnxValue {
    if (shape.filter((d) => d === null).length > 1) {
      throw new VarscopeError("UNIMPLEMENTED", "reshape to a shape with more than one unknown dim");
    }
    if (isStatic(shape) && sameShape(x.shape, shape)) return x; // in whatever layout
    const id = this.emitter.emit("Reshape", [this.plain(x), this.emitter.ints(shape.map((d) => d ?? -1))], {
      allowzero: 1,
    });
    return plainValue(id, x.dtype, shape);
  }

  transpose(x: OnnxValue, perm: readonly number[]): OnnxValue {
    const shape = x.shape === null ? null : perm.map((p) => x.shape![p]!);
    return plainValue(this.emitter.transpose(this.plain(x), perm), x.dtype, shape);
  }

  shapeOf(x: OnnxValue): OnnxValue {
    if (isStatic(x.shape)) return this.ints(x.shape);
    return plainValue(this.emitter.emit("Shape", [this.plain(x)]), "int64", [x.shape?.length ?? null]);
  }

  withShape(x: OnnxValue, shape: Shape | null): OnnxValue {
    return shape === null ? x : { ...x, shape };
  }
}

/** Same rank and the same dims as far as both are known; an unknown dim is taken to be the same symbol. */
const sameDims = (a: Shape, b: Shape): boolean => a.length === b.length && a.every((d, i) => d === b[i]);

/**
 * @file Raw ONNX nodes under construction: values are names, nothing knows TensorFlow. Every node is pure, so equal nodes are made once.
 * Start at `Emitter.emit`.
 */

import { type DType, type Tensor, tensor } from "../base/index.ts";
import type { OnnxAttr } from "../graph/index.ts";

/** The domain of ONNX Runtime's blocked kernels. */
export const NCHWC = "com.microsoft.nchwc";

export interface RawNode {
  type: string;
  readonly domain: string;
  inputs: string[];
  readonly outputs: string[];
  attrs: Record<string, OnnxAttr>;
  /** the TF node it was made for */
  readonly name: string;
}

/** Nodes and constants, in topological order. */
export class Emitter {
  readonly nodes: RawNode[] = [];
  readonly constants = new Map<string, Tensor>();
  /** the TF node being lowered: errors at run time name it */
  source = "";
  private readonly known = new Map<string, string[]>();
  private readonly constantIds = new Map<string, string>();
  private next = 0;

  fresh(): string {
    return `v${this.next++}`;
  }

  /** A node with one output. "" is an omitted input. */
  emit(type: string, inputs: readonly string[], attrs: Record<string, OnnxAttr> = {}, domain = ""): string {
    return this.emitMany(type, inputs, attrs, 1, domain)[0]!;
  }

  emitMany(
    type: string,
    inputs: readonly string[],
    attrs: Record<string, OnnxAttr>,
    outputs: number,
    domain = "",
  ): string[] {
    const key = `${domain}.${type}(${inputs.join(",")})${outputs}${JSON.stringify(attrs, plainData)}`;
    const hit = this.known.get(key);
    if (hit !== undefined) return hit;
    const outs = Array.from({ length: outputs }, () => this.fresh());
    this.nodes.push({ type, domain, inputs: [...inputs], outputs: outs, attrs, name: this.source });
    this.known.set(key, outs);
    return outs;
  }

  constant(value: Tensor): string {
    // Small constants are shared by value; large ones are told apart by identity, which the caller's memo keeps.
    const key =
      value.data.length <= 64
        ? `${value.dtype}${JSON.stringify([value.shape, value.data], plainData)}`
        : null;
    const hit = key === null ? undefined : this.constantIds.get(key);
    if (hit !== undefined) return hit;
    const id = this.fresh();
    this.constants.set(id, value);
    if (key !== null) this.constantIds.set(key, id);
    return id;
  }

  ints(values: readonly number[]): string {
    return this.constant(tensor([...values], "int64", [values.length]));
  }

  /** A float32 (by default) constant filled with one value; shared by shape and value. */
  filled(value: number, shape: readonly number[], dtype: DType = "float32"): string {
    const key = `fill ${dtype} ${value} ${shape.join(",")}`;
    let id = this.constantIds.get(key);
    if (id === undefined) {
      const size = shape.reduce((a, b) => a * b, 1);
      id = this.fresh();
      this.constants.set(id, tensor(new Array<number>(size).fill(value), dtype, shape));
      this.constantIds.set(key, id);
    }
    return id;
  }

  /** Dims: 0 copies the input's dim at that place, -1 is computed. */
  reshape(x: string, dims: readonly number[]): string {
    return this.emit("Reshape", [x, this.ints(dims)]);
  }

  transpose(x: string, perm: readonly number[]): string {
    return perm.every((p, i) => p === i) ? x : this.emit("Transpose", [x], { perm });
  }

  concat(parts: readonly string[], axis: number): string {
    return parts.length === 1 ? parts[0]! : this.emit("Concat", parts, { axis });
  }

  /** x[..., begin:end:step, ...] along some axes. */
  slice(
    x: string,
    axes: readonly number[],
    begin: readonly number[],
    end: readonly number[],
    steps?: readonly number[],
  ): string {
    const inputs = [x, this.ints(begin), this.ints(end), this.ints(axes)];
    if (steps?.some((s) => s !== 1)) inputs.push(this.ints(steps));
    return this.emit("Slice", inputs);
  }
}

const plainData = (_: string, v: unknown): unknown => {
  if (typeof v === "bigint") return `${v}n`;
  if (v instanceof BigInt64Array || v instanceof BigUint64Array) return Array.from(v, String);
  if (typeof v === "number" && !Number.isFinite(v)) return String(v);
  if (Object.is(v, -0)) return "-0";
  return ArrayBuffer.isView(v)
    ? Array.from(v as Uint8Array, (x) => (Number.isFinite(x) && !Object.is(x, -0) ? x : String(x)))
    : v;
};

/** @file Raw nodes to the bytes of an ONNX model. Start at `encodeModel`. */

import { create, toBinary } from "@bufbuild/protobuf";
import { bytesOf, type DType, type Shape, type Tensor, VarscopeError } from "../base/index.ts";
import type { OnnxAttr } from "../graph/index.ts";
import {
  type AttributeProto,
  AttributeProtoSchema,
  GraphProtoSchema,
  ModelProtoSchema,
  type NodeProto,
  NodeProtoSchema,
  OperatorSetIdProtoSchema,
  type TensorProto,
  TensorProtoSchema,
  TensorShapeProto_DimensionSchema,
  TensorShapeProtoSchema,
  TypeProto_TensorSchema,
  TypeProtoSchema,
  type ValueInfoProto,
  ValueInfoProtoSchema,
} from "../proto/onnx.gen.ts";
import { NCHWC, type RawNode } from "./emitter.ts";
import { ONNX_TYPES } from "./onnx-types.ts";

/** Newest opset whose kernels all supported ONNX Runtime builds have. */
const OPSET = 21;
const IR_VERSION = 10;

export interface ModelPort {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: Shape | null;
}

const TEXT = new TextEncoder();

export function encodeModel(
  nodes: readonly RawNode[],
  constants: ReadonlyMap<string, Tensor>,
  inputs: readonly ModelPort[],
  outputs: readonly ModelPort[],
): Uint8Array {
  const used = new Set(nodes.flatMap((n) => n.inputs));
  const blocked = nodes.some((n) => n.domain === NCHWC);
  const model = create(ModelProtoSchema, {
    irVersion: BigInt(IR_VERSION),
    producerName: "varscope",
    opsetImport: [
      create(OperatorSetIdProtoSchema, { domain: "", version: BigInt(OPSET) }),
      ...(blocked ? [create(OperatorSetIdProtoSchema, { domain: NCHWC, version: 1n })] : []),
    ],
    graph: create(GraphProtoSchema, {
      name: "varscope",
      node: uniqueNames(nodes).map(([name, n]) => encodeNode(n, name)),
      initializer: [...constants].filter(([id]) => used.has(id)).map(([id, t]) => encodeTensor(t, id)),
      input: inputs.map(encodePort),
      output: outputs.map(encodePort),
    }),
  });
  return toBinary(ModelProtoSchema, model);
}

function onnxType(dtype: DType): number {
  const type = ONNX_TYPES[dtype];
  if (type === undefined) throw new VarscopeError("UNIMPLEMENTED", `ONNX Runtime has no ${dtype}`);
  return type;
}

/** One TF node is made of several of ours, and ONNX Runtime wants their names apart: `name`, `name#1`, ... */
function uniqueNames(nodes: readonly RawNode[]): [string, RawNode][] {
  const uses = new Map<string, number>();
  return nodes.map((node) => {
    const n = uses.get(node.name) ?? 0;
    uses.set(node.name, n + 1);
    return [n === 0 ? node.name : `${node.name}#${n}`, node];
  });
}

const encodeNode = (node: RawNode, name: string): NodeProto =>
  create(NodeProtoSchema, {
    name,
    opType: node.type,
    domain: node.domain,
    input: node.inputs,
    output: node.outputs,
    attribute: Object.entries(node.attrs).map(([key, value]) => encodeAttr(key, value)),
  });

/** @see onnx.proto3 AttributeProto.AttributeType */
const ATTR = { FLOAT: 1, INT: 2, STRING: 3, TENSOR: 4, FLOATS: 6, INTS: 7, STRINGS: 8 } as const;

function encodeAttr(name: string, value: OnnxAttr): AttributeProto {
  const make = (init: Partial<AttributeProto>): AttributeProto =>
    create(AttributeProtoSchema, { name, ...init } as never);
  if (typeof value === "number") return make({ type: ATTR.INT, i: BigInt(value) });
  if (typeof value === "string") return make({ type: ATTR.STRING, s: TEXT.encode(value) as never });
  if ("float" in value) return make({ type: ATTR.FLOAT, f: value.float });
  if ("floats" in value) return make({ type: ATTR.FLOATS, floats: [...value.floats] });
  if ("tensor" in value) return make({ type: ATTR.TENSOR, t: encodeTensor(value.tensor, "") });
  if (typeof value[0] === "string")
    return make({ type: ATTR.STRINGS, strings: value.map((v) => TEXT.encode(String(v))) as never });
  return make({ type: ATTR.INTS, ints: value.map((v) => BigInt(v)) });
}

const encodeTensor = (t: Tensor, name: string): TensorProto =>
  create(TensorProtoSchema, {
    name,
    dataType: onnxType(t.dtype),
    dims: t.shape.map((d) => BigInt(d)),
    rawData: bytesOf(t) as never,
  });

function encodePort(port: ModelPort): ValueInfoProto {
  const dims = port.shape?.map((d, i) =>
    create(TensorShapeProto_DimensionSchema, {
      value:
        d === null
          ? { case: "dimParam", value: `${port.name}_${i}` }
          : { case: "dimValue", value: BigInt(d) },
    }),
  );
  const type = create(TypeProto_TensorSchema, { elemType: onnxType(port.dtype) });
  if (dims !== undefined) type.shape = create(TensorShapeProtoSchema, { dim: dims });
  return create(ValueInfoProtoSchema, {
    name: port.name,
    type: create(TypeProtoSchema, { value: { case: "tensorType", value: type } }),
  });
}

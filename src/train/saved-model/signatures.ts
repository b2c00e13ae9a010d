/**
 * @file Signatures: which tensors a SavedModel takes and gives, by the names that its callers use. Start at `predictSignatureDef`.
 *
 * @see TensorFlow python/saved_model/signature_def_utils_impl.py, utils_impl.py
 */

import { create } from "@bufbuild/protobuf";
import { DTYPES, dtypeFromCode, type Tensor, VarscopeError } from "../../base/index.ts";
import { writeShape, writeTensorProto } from "../../formats/graph-def/index.ts";
import { SavedModelKeys, SignatureMethods } from "../../formats/saved-model/index.ts";
import type { Operation, Output } from "../../graph/index.ts";
import {
  type SignatureDef,
  SignatureDefSchema,
  type TensorInfo,
  TensorInfoSchema,
} from "../../proto/meta-graph.gen.ts";

/** A sparse tensor as its three parts: int64 [n, rank], values [n], int64 [rank]. */
export interface SparseOutputs {
  readonly indices: Output;
  readonly values: Output;
  readonly denseShape: Output;
}

/** Tensors by the names of a signature. */
export type SignatureTensors = Readonly<Record<string, Output | SparseOutputs>>;

const isSparse = (x: Output | SparseOutputs): x is SparseOutputs => "indices" in x;

/** A tensor as signatures name it. */
export function buildTensorInfo(tensor: Output | SparseOutputs): TensorInfo {
  if (!isSparse(tensor)) {
    return create(TensorInfoSchema, {
      encoding: { case: "name", value: tensor.name },
      dtype: DTYPES[tensor.dtype].code,
      tensorShape: writeShape(tensor.shape),
    });
  }
  const { indices, values, denseShape } = tensor;
  const value = {
    valuesTensorName: values.name,
    indicesTensorName: indices.name,
    denseShapeTensorName: denseShape.name,
  };
  const rank = denseShape.shape?.[0] ?? null;
  return create(TensorInfoSchema, {
    encoding: { case: "cooSparse", value },
    dtype: DTYPES[values.dtype].code,
    tensorShape: writeShape(rank === null ? null : new Array<null>(rank).fill(null)),
  });
}

/** A signature of tensors. @param defaults - values of inputs that callers may leave out */
export const buildSignatureDef = (
  inputs: SignatureTensors,
  outputs: SignatureTensors,
  methodName: string,
  defaults: Readonly<Record<string, Tensor>> = {},
): SignatureDef =>
  create(SignatureDefSchema, {
    inputs: infos(inputs),
    outputs: infos(outputs),
    methodName,
    defaults: Object.fromEntries(Object.entries(defaults).map(([k, t]) => [k, writeTensorProto(t)])),
  });

const infos = (tensors: SignatureTensors): { [name: string]: TensorInfo } =>
  Object.fromEntries(Object.entries(tensors).map(([name, x]) => [name, buildTensorInfo(x)]));

/** For Predict requests: any tensors. @throws VarscopeError INVALID_ARGUMENT - none */
export function predictSignatureDef(inputs: SignatureTensors, outputs: SignatureTensors): SignatureDef {
  for (const [what, tensors] of [
    ["inputs", inputs],
    ["outputs", outputs],
  ] as const) {
    if (Object.keys(tensors).length === 0) throw refused(`Prediction \`${what}\` cannot be None or empty.`);
  }
  return buildSignatureDef(inputs, outputs, SignatureMethods.PREDICT);
}

/** For Classify requests. @param examples - string: encoded tf.Examples; classes: string; scores: float32; one of the two may be null */
export function classificationSignatureDef(
  examples: Output,
  classes: Output | null,
  scores: Output | null,
): SignatureDef {
  if (classes === null && scores === null) {
    throw refused("Classification `classes` and `scores` cannot both be None.");
  }
  check(examples, "string", "Classification input tensors must be of type string.");
  if (classes !== null) check(classes, "string", "Classification classes must be of type string Tensor.");
  if (scores !== null) check(scores, "float32", "Classification scores must be a float Tensor.");
  const outputs = { ...(classes && { classes }), ...(scores && { scores }) };
  return buildSignatureDef({ inputs: examples }, outputs, SignatureMethods.CLASSIFY);
}

/** For Regress requests. @param examples - string: encoded tf.Examples; predictions: float32 */
export function regressionSignatureDef(examples: Output, predictions: Output): SignatureDef {
  check(examples, "string", "Regression input tensors must be of type string.");
  check(predictions, "float32", "Regression output tensors must be of type float.");
  return buildSignatureDef({ inputs: examples }, { outputs: predictions }, SignatureMethods.REGRESS);
}

/** A signature that only names an op. */
export function opSignatureDef(op: Operation | Output, key: string): SignatureDef {
  const info = create(TensorInfoSchema, {
    encoding: { case: "name", value: op.name },
    tensorShape: writeShape(null),
  });
  return create(SignatureDefSchema, { outputs: { [key]: info } });
}

function check(tensor: Output, dtype: "string" | "float32", sentence: string): void {
  if (tensor.dtype !== dtype) throw refused(`${sentence} Found ${tensor.dtype}.`, tensor.name);
}

const refused = (what: string, at?: string): VarscopeError =>
  new VarscopeError("INVALID_ARGUMENT", what, at === undefined ? {} : { at });

/** Whether TensorFlow Serving can serve the signature. */
export function isValidSignature({ methodName, inputs, outputs }: SignatureDef): boolean {
  const dtypes = (of: { readonly [name: string]: TensorInfo }): string =>
    Object.entries(of)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([name, info]) => `${name}: ${dtypeFromCode(info.dtype)}`)
      .join(", ");
  const examples = dtypes(inputs) === "inputs: string";
  if (methodName === SignatureMethods.REGRESS) return examples && dtypes(outputs) === "outputs: float32";
  if (methodName === SignatureMethods.CLASSIFY) {
    const some = ["classes: string", "scores: float32", "classes: string, scores: float32"];
    return examples && some.includes(dtypes(outputs));
  }
  const some = Object.keys(inputs).length > 0 && Object.keys(outputs).length > 0;
  return methodName === SignatureMethods.PREDICT && some;
}

/** @throws VarscopeError INVALID_ARGUMENT - a tensor without a name or dtype, or a name that SavedModels keep for themselves */
export function checkSignatures(signatures: { readonly [name: string]: SignatureDef }): void {
  for (const [name, { inputs, outputs }] of Object.entries(signatures)) {
    if (name === SavedModelKeys.INIT_OP_SIGNATURE) {
      throw refused(
        `SignatureDef map key "${name}" is reserved for initialization. Please use a different key.`,
      );
    }
    if (name === SavedModelKeys.TRAIN_OP_SIGNATURE) {
      throw refused(
        `SignatureDef map key "${name}" is reserved for the train op. Please use a different key.`,
      );
    }
    for (const info of [...Object.values(inputs), ...Object.values(outputs)]) {
      const missing = info.encoding.case === undefined ? "encoding" : info.dtype === 0 ? "dtype" : null;
      if (missing === null) continue;
      throw refused(
        `All TensorInfo protos used in the SignatureDefs must have the ${missing} field set.`,
        name,
      );
    }
  }
}

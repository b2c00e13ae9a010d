/**
 * @file Summaries for TensorBoard: ops that give serialized Summary messages. The functions that name and collect them are in
 * summary-api.ts.
 *
 * @see TensorFlow core/ops/logging_ops.cc, core/kernels/summary_op.cc
 */

import {
  create,
  type DescMessage,
  fromBinary,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from "@bufbuild/protobuf";
import {
  bytesOf,
  DTYPES,
  floatToHalf,
  fromData,
  getElement,
  halfToFloat,
  roundHalfEven,
  type Shape,
  sameShape,
  sizeOf,
  type Tensor,
  VarscopeError,
} from "../base/index.ts";
import { absent, attr, defineOp } from "../graph/index.ts";
import {
  type Summary_ValueSchema,
  SummaryMetadataSchema,
  SummarySchema,
  type TensorProto,
  TensorProtoSchema,
} from "../proto/index.ts";
import { histogramOf } from "./kernels/histogram.ts";
import { bytesOfFloats, writePng } from "./kernels/png.ts";
import { writeWav } from "./kernels/wav.ts";
import { FLOATS, INTS, UINTS } from "./signatures.ts";

const REAL = [...FLOATS, ...INTS, ...UINTS] as const;
const TEXT = absent("ONNX Runtime's kernels do not build strings");
const NO_GRADIENT = absent("TensorFlow registers none");

const invalid = (what: string): VarscopeError => new VarscopeError("INVALID_ARGUMENT", what);
const decoder = new TextDecoder();
const textAt = (t: Tensor, index: number): string =>
  decoder.decode((t.data as readonly Uint8Array[])[index]!);

type Value = MessageInitShape<typeof Summary_ValueSchema>;

const summaryOf = (value: readonly Value[]): readonly Tensor[] => [
  fromData("string", [], [toBinary(SummarySchema, create(SummarySchema, { value: [...value] }))]),
];

const scalarShape = (): readonly { shape: Shape }[] => [{ shape: [] }];

const onlyTag = (tag: Tensor): string => {
  if (tag.shape.length > 0) throw invalid("tag must be scalar");
  return textAt(tag, 0);
};

/** An element as a number; int64 are rounded to double. */
const numberAt = (t: Tensor, index: number): number => Number(getElement(t, index));

/** Tags and values, element by element. @see TensorFlow core/kernels/summary_op.cc "SummaryScalarOp" */
export const ScalarSummary = defineOp("ScalarSummary", {
  inputs: { tags: "string", values: "T" },
  outputs: { summary: "string" },
  attrs: { T: attr.type(...REAL) },
  infer: scalarShape,
  grad: NO_GRADIENT,
  lower: TEXT,
  host: ({ tags, values }) => {
    if (!sameShape(tags.shape, values.shape)) {
      const name = sizeOf(tags.shape) === 1 ? ` (tag '${textAt(tags, 0)}')` : "";
      throw invalid(`tags and values are not the same shape: [${tags.shape}] != [${values.shape}]${name}`);
    }
    return summaryOf(
      Array.from({ length: sizeOf(tags.shape) }, (_, i) => ({
        tag: textAt(tags, i),
        value: { case: "simpleValue", value: Math.fround(numberAt(values, i)) },
      })),
    );
  },
});

/** Numbers of values in buckets. @see TensorFlow core/kernels/summary_op.cc "SummaryHistoOp" */
export const HistogramSummary = defineOp("HistogramSummary", {
  inputs: { tag: "string", values: "T" },
  outputs: { summary: "string" },
  attrs: { T: attr.typeOr("float32", ...REAL) },
  infer: scalarShape,
  grad: NO_GRADIENT,
  lower: TEXT,
  host: ({ tag, values }, _, { op }) => {
    const numbers = Float64Array.from({ length: sizeOf(values.shape) }, (_, i) => numberAt(values, i));
    for (const x of numbers) {
      if (Number.isNaN(x)) throw invalid(`Nan in summary histogram for: ${op.name}`);
      if (!Number.isFinite(x)) throw invalid(`Infinity in Histogram for: ${op.name}`);
    }
    return summaryOf([{ tag: onlyTag(tag), value: { case: "histo", value: histogramOf(numbers) } }]);
  },
});

/** `tag/suffix` of a single output, else `tag/suffix/0`, ... */
const numbered = (tag: string, suffix: string, most: number, index: number): string =>
  most === 1 ? `${tag}/${suffix}` : `${tag}/${suffix}/${index}`;

/** Images as PNG. @see TensorFlow core/kernels/summary_image_op.cc */
export const ImageSummary = defineOp("ImageSummary", {
  inputs: { tag: "string", tensor: "T" },
  outputs: { summary: "string" },
  attrs: {
    max_images: attr.int({ default: 3, min: 1 }),
    T: attr.typeOr("float32", "uint8", "float32", "float16", "float64"),
    bad_color: attr.tensor({ default: fromData("uint8", [4], Uint8Array.of(255, 0, 0, 255)) }),
  },
  infer: scalarShape,
  grad: NO_GRADIENT,
  lower: TEXT,
  host: ({ tag, tensor }, { max_images, bad_color }) => {
    const [batch, height, width, channels] = tensor.shape;
    if (tensor.shape.length !== 4 || ![1, 3, 4].includes(channels!)) {
      throw invalid(`Tensor must be 4-D with last dim 1, 3, or 4, not [${tensor.shape}]`);
    }
    if (bad_color.dtype !== "uint8" || sizeOf(bad_color.shape) < channels!) {
      throw invalid(
        `expected bad_color to have at least ${channels} uint8 values, got shape [${bad_color.shape}]`,
      );
    }
    const base = onlyTag(tag);
    const size = height! * width! * channels!;
    const pixels = (at: number): Uint8Array => {
      if (tensor.dtype === "uint8") return (tensor.data as Uint8Array).subarray(at * size, (at + 1) * size);
      const values = Array.from({ length: size }, (_, i) => numberAt(tensor, at * size + i));
      return bytesOfFloats(values, channels!, bad_color.data as Uint8Array, ROUND[tensor.dtype]!);
    };
    return summaryOf(
      Array.from({ length: Math.min(max_images, batch!) }, (_, i) => ({
        tag: numbered(base, "image", max_images, i),
        value: {
          case: "image",
          value: {
            height: height!,
            width: width!,
            colorspace: channels!,
            encodedImageString: writePng({
              width: width!,
              height: height!,
              channels: channels!,
              bytes: pixels(i),
            }),
          },
        },
      })),
    );
  },
});

/** A double rounded to a dtype of pixels. */
const ROUND: Partial<Record<string, (x: number) => number>> = {
  float16: (x) => halfToFloat(floatToHalf(x)),
  float32: Math.fround,
  float64: (x) => x,
};

/** Sound as WAV: [batch, frames] or [batch, frames, channels]. @see TensorFlow core/kernels/summary_audio_op.cc */
export const AudioSummaryV2 = defineOp("AudioSummaryV2", {
  inputs: { tag: "string", tensor: "float32", sample_rate: "float32" },
  outputs: { summary: "string" },
  attrs: { max_outputs: attr.int({ default: 3, min: 1 }) },
  infer: scalarShape,
  grad: NO_GRADIENT,
  lower: TEXT,
  host: ({ tag, tensor, sample_rate }, { max_outputs }) => {
    const [batch, frames, channels = 1] = tensor.shape;
    if (tensor.shape.length !== 2 && tensor.shape.length !== 3) {
      throw invalid(`tensor must be 2-D or 3-D, got shape [${tensor.shape}]`);
    }
    if (sample_rate.shape.length > 0) throw invalid("sample_rate must be scalar");
    const rate = numberAt(sample_rate, 0);
    if (!(rate > 0)) throw invalid(`sample_rate must be positive, got: ${rate}`);
    const base = onlyTag(tag);
    const size = frames! * channels;
    const data = tensor.data as Float32Array;
    return summaryOf(
      Array.from({ length: Math.min(max_outputs, batch!) }, (_, i) => ({
        tag: numbered(base, "audio", max_outputs, i),
        value: {
          case: "audio",
          value: {
            sampleRate: rate,
            numChannels: BigInt(channels),
            lengthFrames: BigInt(frames!),
            encodedAudioString: writeWav(
              data.subarray(i * size, (i + 1) * size),
              channels,
              roundHalfEven(rate),
            ),
            contentType: "audio/wav",
          },
        },
      })),
    );
  },
});

/** Any tensor, with metadata that says which plugin shows it. @see TensorFlow core/kernels/summary_tensor_op.cc */
export const TensorSummaryV2 = defineOp("TensorSummaryV2", {
  inputs: { tag: "string", tensor: "T", serialized_summary_metadata: "string" },
  outputs: { summary: "string" },
  attrs: { T: attr.type() },
  infer: scalarShape,
  grad: NO_GRADIENT,
  lower: TEXT,
  host: ({ tag, tensor, serialized_summary_metadata }) =>
    summaryOf([
      {
        tag: onlyTag(tag),
        value: { case: "tensor", value: protoOf(tensor) },
        metadata: parsed(SummaryMetadataSchema, serialized_summary_metadata.data[0] as unknown as Uint8Array),
      },
    ]),
});

const protoOf = (t: Tensor): TensorProto =>
  create(TensorProtoSchema, {
    dtype: DTYPES[t.dtype].code,
    tensorShape: { dim: t.shape.map((size) => ({ size: BigInt(size) })) },
    ...(t.dtype === "string"
      ? { stringVal: [...(t.data as readonly Uint8Array[])] }
      : { tensorContent: bytesOf(t) }),
  });

function parsed<D extends DescMessage>(schema: D, bytes: Uint8Array): MessageShape<D> {
  try {
    return fromBinary(schema, bytes);
  } catch (cause) {
    throw new VarscopeError("INVALID_ARGUMENT", "Could not parse one of the summary inputs", { cause });
  }
}

/** The values of several summaries. @see TensorFlow core/kernels/summary_op.cc "SummaryMergeOp" */
export const MergeSummary = defineOp("MergeSummary", {
  inputs: { inputs: "N*string" },
  outputs: { summary: "string" },
  attrs: { N: attr.int({ min: 1 }) },
  infer: scalarShape,
  grad: NO_GRADIENT,
  lower: TEXT,
  host: ({ inputs }) => {
    const tags = new Set<string>();
    const values = inputs.flatMap((t) =>
      (t.data as readonly Uint8Array[]).flatMap((bytes) => parsed(SummarySchema, bytes).value),
    );
    for (const { tag } of values) {
      // A tag may come once: TensorBoard would mix the values.
      if (tags.has(tag)) throw invalid(`Duplicate tag ${tag} found in summary inputs`);
      tags.add(tag);
    }
    return summaryOf(values);
  },
});

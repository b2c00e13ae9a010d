/**
 * @file Which bucket a string falls in. The hashes are part of models, so they are TensorFlow's to the bit.
 *
 * @see TensorFlow core/ops/string_ops.cc; core/kernels/string_to_hash_bucket_op.h, fingerprint_op.cc
 */

import { bytesOf, joinBytes, sizeOf, type Tensor } from "../base/index.ts";
import { absent, attr, defineOp, type Output } from "../graph/index.ts";
import { bytesIn, invalid, needRank, sameShape, shownBytes, stopped } from "./host-facts.ts";
import { fingerprint64, hash64, sipHash } from "./kernels/fingerprint.ts";

const buckets = attr.int({ min: 1 });

function bucketed(input: Tensor, count: number, hash: (bytes: Uint8Array) => bigint): Tensor {
  const data = BigInt64Array.from(bytesIn(input), (bytes) => hash(bytes) % BigInt(count));
  return { dtype: "int64", shape: input.shape, data };
}

/** FarmHash's fingerprint modulo `num_buckets`. */
export const StringToHashBucketFast = defineOp("StringToHashBucketFast", {
  ...stopped,
  inputs: { input: "string" },
  outputs: { output: "int64" },
  attrs: { num_buckets: buckets },
  infer: sameShape,
  host: ({ input }, { num_buckets }) => [bucketed(input, num_buckets, fingerprint64)],
});

/** SipHash under a key of two numbers, modulo `num_buckets`. */
export const StringToHashBucketStrong = defineOp("StringToHashBucketStrong", {
  ...stopped,
  inputs: { input: "string" },
  outputs: { output: "int64" },
  attrs: { num_buckets: buckets, key: attr.ints() },
  infer: sameShape,
  host: ({ input }, { num_buckets, key }) => {
    if (key.length !== 2) throw invalid("Key must have 2 elements");
    const words = key.map((k) => BigInt.asUintN(64, BigInt(k))) as [bigint, bigint];
    return [bucketed(input, num_buckets, (bytes) => sipHash(bytes, words))];
  },
});

/** TensorFlow's first hash modulo `num_buckets`. */
export const StringToHashBucket = defineOp("StringToHashBucket", {
  ...stopped,
  inputs: { string_tensor: "string" },
  outputs: { output: "int64" },
  attrs: { num_buckets: buckets },
  infer: ({ string_tensor }) => [{ shape: string_tensor.shape }],
  host: ({ string_tensor }, { num_buckets }) => [bucketed(string_tensor, num_buckets, hash64)],
});

const little64 = (value: bigint): Uint8Array => new Uint8Array(BigUint64Array.of(value).buffer);

/** FarmHash's fingerprint of each row: uint8 [rows, 8], the lowest byte first. A row of several strings is hashed by their hashes. */
export const Fingerprint = defineOp("Fingerprint", {
  lower: stopped.lower,
  grad: absent("TensorFlow registers none"),
  inputs: { data: "T", method: "string" },
  outputs: { fingerprint: "uint8" },
  attrs: { T: attr.type() },
  infer: ({ data, method }) => {
    needRank(method, 0);
    if (data.shape !== null && data.shape.length === 0)
      throw invalid("Shape must be at least rank 1 but is rank 0");
    const known = method.value === null ? null : shownBytes(bytesIn(method.value)[0]!);
    return [{ shape: [data.shape?.[0] ?? null, known === "farmhash64" ? 8 : null] }];
  },
  host: ({ data, method }) => {
    const name = shownBytes(bytesIn(method)[0]!);
    if (name !== "farmhash64") throw invalid(`Unsupported fingerprint method: ${name}`);
    const [rows, ...inner] = data.shape as readonly [number, ...number[]];
    const width = sizeOf(inner);
    const rowOf = (i: number): Uint8Array => {
      if (data.dtype !== "string") {
        const bytes = bytesOf(data);
        const size = bytes.length / rows;
        return bytes.subarray(i * size, (i + 1) * size);
      }
      const row = bytesIn(data).slice(i * width, (i + 1) * width);
      return width === 1 ? row[0]! : joinBytes(row.map((text) => little64(fingerprint64(text))));
    };
    const prints = Array.from({ length: rows }, (_, i) => little64(fingerprint64(rowOf(i))));
    return [{ dtype: "uint8", shape: [rows, 8], data: joinBytes(prints) }];
  },
});

/** FarmHash's fingerprint modulo `numBuckets`: int64, the strings' shape. Named "StringToHashBucketFast". */
export const stringToHashBucketFast = (
  input: Output,
  numBuckets: number,
  name = "StringToHashBucketFast",
): Output => input.graph.add(StringToHashBucketFast, [input], { name, attrs: { num_buckets: numBuckets } });

/** SipHash under `key` modulo `numBuckets`: int64, the strings' shape. Named "StringToHashBucketStrong". */
export const stringToHashBucketStrong = (
  input: Output,
  numBuckets: number,
  key: readonly [number, number],
  name = "StringToHashBucketStrong",
): Output =>
  input.graph.add(StringToHashBucketStrong, [input], { name, attrs: { num_buckets: numBuckets, key } });

/** TensorFlow's first hash modulo `numBuckets`: int64, the strings' shape. Named "StringToHashBucket". */
export const stringToHashBucket = (input: Output, numBuckets: number, name = "StringToHashBucket"): Output =>
  input.graph.add(StringToHashBucket, [input], { name, attrs: { num_buckets: numBuckets } });

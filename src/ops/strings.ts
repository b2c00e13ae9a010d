/** @file `strings`: ops on strings under the names that `tf.strings` has. */

export {
  stringLength as length,
  stringLower as lower,
  stringStrip as strip,
  stringUpper as upper,
  substr,
  type UnitOptions,
} from "./string-edit.ts";
export {
  stringToHashBucket as toHashBucket,
  stringToHashBucketFast as toHashBucketFast,
  stringToHashBucketStrong as toHashBucketStrong,
} from "./string-hash.ts";
export { type AsStringOptions, asString, stringToNumber as toNumber } from "./string-number.ts";
export { type RegexReplaceOptions, regexFullMatch, regexReplace } from "./string-regex.ts";
export {
  type ReduceJoinOptions,
  reduceJoin,
  type SparseWords,
  type StringSplitOptions,
  stringSplit as split,
} from "./string-split.ts";
export { stringJoin as join } from "./text.ts";

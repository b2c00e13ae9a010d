/**
 * @file Which variable of one container is which of another, over the spellings that makers give to the same thing. Values are not compared
 * here (edit/compare). Start at match.ts.
 */

export {
  type MatchedBy,
  type Matching,
  type MatchOptions,
  matchVariables,
  type Pair,
  type Unmatched,
} from "./match.ts";
export { optimizerFamily } from "./spelling.ts";

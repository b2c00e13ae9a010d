/**
 * @file The doctor: what is wrong with variables, by numbers; rules in files by subject, one table of them. It repairs nothing: each finding
 * names the command that does. Start at diagnose.ts; a rule is described in rule.ts.
 */

export {
  type DiagnoseOptions,
  type DiagnosePathOptions,
  type Diagnosis,
  diagnose,
  diagnosePath,
} from "./diagnose.ts";
export type { Finding, Rule, Severity } from "./rule.ts";
export { RULES, rulesTable } from "./rules.ts";

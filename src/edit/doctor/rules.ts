/** @file All rules of the doctor, in the order in which findings of equal severity are told. Start at `RULES`. */

import { CHANNEL_RULES } from "./channel-rules.ts";
import { CONTAINER_RULES } from "./container-rules.ts";
import { GRAPH_RULES } from "./graph-rules.ts";
import { NORM_RULES } from "./norm-rules.ts";
import { PAIRING_RULES } from "./pairing-rules.ts";
import type { Rule } from "./rule.ts";
import { SLOT_RULES } from "./slot-rules.ts";
import { SWAP_RULES } from "./swap-rules.ts";
import { VALUE_RULES } from "./value-rules.ts";

export const RULES: readonly Rule[] = [
  ...CONTAINER_RULES,
  ...VALUE_RULES,
  ...NORM_RULES,
  ...SWAP_RULES,
  ...CHANNEL_RULES,
  ...SLOT_RULES,
  ...GRAPH_RULES,
  ...PAIRING_RULES,
];

/** The rules as a table of Markdown, for docs/doctor.md. */
export function rulesTable(): string {
  const cell = (text: string): string => text.replaceAll("|", "\\|");
  const rows = RULES.map(
    (r) =>
      `| \`${r.id}\` | ${r.severity} | ${r.needs === "graph" ? "file and graph" : "file"} | ${cell(r.finds)} | ${cell(r.threshold)} |`,
  );
  return ["| rule | worst | looks at | finds | threshold, and why |", "|---|---|---|---|---|", ...rows].join(
    "\n",
  );
}

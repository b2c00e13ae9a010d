/**
 * The truth table in docs/compatibility.md, from tests/features/*.json: what TensorFlow 1, TensorFlow 2 and tfjs have, what is here, and the test
 * that shows it. tests/features.test.ts compares the page with it and looks for each test.
 *
 *   node tools/features.mjs
 */
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

const ROOT = join(dirname(fileURLToPath(import.meta.url)), "..");
const FOLDER = join(ROOT, "tests", "features");
const PAGE = join(ROOT, "docs", "compatibility.md");
const MARKS = ["<!-- features: made by tools/features.mjs -->", "<!-- /features -->"];

/** Parts by the letter and number that ids begin with. */
const PARTS = {
  A1: "Batch normalization: defaults and names",
  A2: "Batch normalization: features",
  A3: "Batch normalization: traps",
  A4: "Batch normalization: what nobody else has",
  B1: "Graphs and scopes: features",
  B2: "Graphs and scopes: error sentences",
  B3: "Graphs and scopes: traps",
  B4: "Graphs and scopes: what nobody else has",
  C1: "Savers, checkpoints, monitored training",
  C2: "Checkpoint files",
  C3: "Checkpoints: traps",
  C4: "Checkpoints: what nobody else has",
  D: "Readers and printers",
  E1: "Freezing, importing, transforming",
  E2: "Folding batch normalization",
  E3: "Freezing and folding: what nobody else has",
  E: "Freezing and folding: traps",
  F: "Averages of variables",
  G: "Weight surgery",
  L: "Loops, lists, many models",
  R: "Clusters and devices",
};

/** All rows, in the order of their ids. */
export function featureRows() {
  const files = readdirSync(FOLDER).filter((f) => f.endsWith(".json"));
  const rows = files.flatMap((file) =>
    JSON.parse(readFileSync(join(FOLDER, file), "utf8")).map((row) => ({ ...row, file })),
  );
  return rows;
}

/** Part of an id: the longest key of PARTS that it begins with. */
export const partOf = (id) =>
  Object.keys(PARTS)
    .filter(
      (key) =>
        id === key ||
        id.startsWith(`${key} `) ||
        id.startsWith(`${key}.`) ||
        new RegExp(`^${key}(?=\\D|$)`).test(id),
    )
    .sort((a, b) => b.length - a.length)[0] ?? (/^[LR]\d/.test(id) ? id[0] : undefined);

const cell = (text) =>
  String(text ?? "")
    .replaceAll("|", "\\|")
    .replaceAll("\n", " ");

function proofOf({ here, test, why }) {
  const shown = test === undefined ? "" : `\`${test.split(" > ")[0]}\``;
  if (here === "yes") return shown;
  return [why, shown].filter((s) => s !== undefined && s !== "").join("; ");
}

/** The generated part of the page. */
export function featureTable(rows = featureRows()) {
  const counts = { yes: 0, partly: 0, no: 0 };
  for (const row of rows) counts[row.here] += 1;
  const lines = [
    `${rows.length} features, error sentences and traps: ${counts.yes} as they should be, ${counts.partly} partly, ${counts.no} not here.`,
  ];
  for (const [part, title] of Object.entries(PARTS)) {
    const own = rows.filter((row) => partOf(row.id) === part);
    if (own.length === 0) continue;
    lines.push(
      "",
      `### ${title}`,
      "",
      "| feature | here | TF 1 | TF 2 | tfjs | test, or why not |",
      "|---|---|---|---|---|---|",
    );
    for (const row of own) {
      const cells = [row.feature, row.here, row.tf1, row.tf2, row.tfjs, proofOf(row)];
      lines.push(`| ${cells.map(cell).join(" | ")} |`);
    }
  }
  return lines.join("\n");
}

/** The page with its generated part made anew. */
export function withFeatures(page, table = featureTable()) {
  const [from, to] = MARKS.map((mark) => page.indexOf(mark));
  if (from < 0 || to < from) throw new Error(`docs/compatibility.md lacks its marks ${MARKS.join(" and ")}`);
  return `${page.slice(0, from + MARKS[0].length)}\n\n${table}\n\n${page.slice(to)}`;
}

if (process.argv[1] !== undefined && pathToFileURL(process.argv[1]).href === import.meta.url) {
  writeFileSync(PAGE, withFeatures(readFileSync(PAGE, "utf8")));
}

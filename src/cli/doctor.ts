/** @file `varscope doctor`: prints what edit/doctor finds. Start at `doctorCommand`. */

import { type Diagnosis, diagnosePath, type Finding, type Severity } from "../edit/doctor/index.ts";
import { formatJson } from "./json.ts";
import { progressOn } from "./progress.ts";
import { formatBytes, formatCount, type Streams, type Style, styleFor } from "./terminal.ts";

export interface DoctorFlags {
  readonly graph?: string;
  readonly json?: boolean;
}

/** Prints findings. @returns whether one is an error. @throws VarscopeError as `diagnosePath` */
export async function doctorCommand(
  path: string,
  flags: DoctorFlags,
  { stdout, stderr, signal }: Streams,
): Promise<boolean> {
  const progress = progressOn(stderr, "examining");
  try {
    const found = await diagnosePath(path, {
      ...(flags.graph !== undefined && { graph: flags.graph }),
      ...(signal && { signal }),
      onProgress: progress.report,
    });
    progress.end();
    const { findings } = found;
    const text = flags.json
      ? formatJson({ path: found.path, format: found.format, findings, checked: found.checked }, 2)
      : diagnosisLines(found, styleFor(stdout)).join("\n");
    stdout.write(`${text}\n`);
    return findings.some((f) => f.severity === "error");
  } finally {
    progress.end();
  }
}

const SEVERITIES: readonly Severity[] = ["error", "warning", "info"];
const TITLES: Readonly<Record<Severity, readonly [string, string]>> = {
  error: ["error", "errors"],
  warning: ["warning", "warnings"],
  info: ["note", "notes"],
};
const COLOURS: Readonly<Record<Severity, "red" | "yellow" | "cyan">> = {
  error: "red",
  warning: "yellow",
  info: "cyan",
};

const plural = (n: number, [one, more]: readonly [string, string]): string =>
  `${formatCount(n)} ${n === 1 ? one : more}`;

function diagnosisLines(found: Diagnosis, style: Style): string[] {
  const { findings, path, format } = found;
  const grave = findings.filter((f) => f.severity !== "info").length;
  const head = format === null ? path : `${style.bold(format)}  ${path}`;
  if (grave === 0) {
    const notes = findings.flatMap((f) => findingLines(f, style));
    return [
      `${head}  ${style.bold("healthy")}: ${checkedText(found)}`,
      ...(notes.length > 0 ? ["", ...notes.slice(0, -1)] : []),
    ];
  }
  const groups = SEVERITIES.flatMap((severity) => {
    const mine = findings.filter((f) => f.severity === severity);
    if (mine.length === 0) return [];
    const title = `${plural(mine.length, TITLES[severity])}`;
    return [style[COLOURS[severity]](title), "", ...mine.flatMap((f) => findingLines(f, style))];
  });
  return [`${head}  ${checkedText(found)}`, "", ...groups.slice(0, -1)];
}

function findingLines(
  { rule, severity, message, repair, variables, value }: Finding,
  style: Style,
): string[] {
  const number =
    value === null ? "" : `  ${typeof value === "number" ? formatNumberOf(value) : String(value)}`;
  const count = variables.length > 1 ? style.dim(`  ${formatCount(variables.length)} variables`) : "";
  return [
    `  ${style[COLOURS[severity]](rule)}${style.bold(number)}${count}`,
    `    ${message}`,
    `    ${style.dim("$")} ${repair}`,
    "",
  ];
}

const formatNumberOf = (x: number): string =>
  Number.isInteger(x) ? String(x) : String(Number(x.toPrecision(4)));

/** What was looked at, so that silence means something. */
function checkedText({ checked }: Diagnosis): string {
  const parts = [
    plural(checked.tensors, ["tensor", "tensors"]),
    formatBytes(checked.bytes),
    ...(checked.normalizations > 0
      ? [plural(checked.normalizations, ["batch normalization", "batch normalizations"])]
      : []),
    ...(checked.step === null ? [] : [`step ${checked.step}`]),
    ...(checked.graph === null ? [] : [`with graph ${checked.graph}`]),
  ];
  return checked.rules === 0 ? "nothing could be examined" : `${checked.rules} rules on ${parts.join(", ")}`;
}

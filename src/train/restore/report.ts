/**
 * @file What a restore found: which variables have a value in the checkpoint, which have none and where it may be, what was left over.
 * Start at `RestoreReport`.
 */

/** Variable by checkpoint key, as `initFromCheckpoint` and `Saver` take it. */
export type KeyMap = Readonly<Record<string, string>>;

export interface RestoreOptions {
  /** variables without a matching value keep theirs, in place of an error: false */
  readonly partial?: boolean;
  /** names of variables by the keys that they are to be read from, where these differ from the saver's */
  readonly assignmentMap?: KeyMap;
}

export interface MatchedVariable {
  /** the variable's */
  readonly name: string;
  /** the checkpoint's */
  readonly key: string;
}

export interface MissingVariable {
  readonly name: string;
  /** that was looked for */
  readonly key: string;
  /** keys that are like it */
  readonly near: readonly string[];
  /** keys that nothing took and whose values would fit */
  readonly fitting: readonly string[];
}

export interface MismatchedVariable {
  readonly name: string;
  readonly key: string;
  /** `float32 [3] here, float32 [2] in the checkpoint` */
  readonly what: string;
}

/** What was matched, what was not, and why. Variables in the order of the saver or the graph. */
export interface RestoreReport {
  /** of the checkpoint */
  readonly path: string;
  /** have a value there: after a restore, have been given it */
  readonly matched: readonly MatchedVariable[];
  readonly missing: readonly MissingVariable[];
  /** of another shape or dtype */
  readonly mismatched: readonly MismatchedVariable[];
  /** keys that no variable takes */
  readonly unused: readonly string[];
  /** keys of all that matched, and of those missing variables for which one candidate is clear */
  readonly assignmentMap: KeyMap;
}

/** Lines of each kind that are printed. */
const MOST_LINES = 20;

/** The report as text: what is missing with its candidates, what differs, what is unused, and the assignment map where it would help. */
export function formatRestoreReport(report: RestoreReport): string {
  const { matched, missing, mismatched, unused, assignmentMap } = report;
  const total = matched.length + missing.length + mismatched.length;
  const lines = [`${matched.length} of ${total} variables are in ${report.path}`];
  lines.push(
    ...some(missing, ({ name, key, near, fitting }) => {
      const wanted = name === key ? `no key '${key}'` : `no key '${key}' for ${name}`;
      const hints = [
        near.length > 0 ? `near: ${near.join(", ")}` : "",
        fitting.length > 0 ? `same shape: ${fitting.join(", ")}` : "",
      ].filter((hint) => hint !== "");
      return `missing: ${[wanted, ...hints].join("; ")}`;
    }),
    ...some(
      mismatched,
      ({ name, key, what }) => `differs: ${name === key ? name : `${name} (${key})`}: ${what}`,
    ),
  );
  if (unused.length > 0) {
    const shown = unused.slice(0, MOST_LINES).join(", ");
    lines.push(
      `unused: ${shown}${unused.length > MOST_LINES ? `, and ${unused.length - MOST_LINES} more` : ""}`,
    );
  }
  if (Object.keys(assignmentMap).length > matched.length)
    lines.push(`assignment map: ${JSON.stringify(assignmentMap, null, 2)}`);
  return lines.join("\n");
}

const some = <T>(items: readonly T[], line: (item: T) => string): string[] => {
  const shown = items.slice(0, MOST_LINES).map(line);
  return items.length > MOST_LINES ? [...shown, `... and ${items.length - MOST_LINES} more`] : shown;
};

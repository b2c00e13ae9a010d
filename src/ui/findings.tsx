/** @file What the doctor found. Start at `Findings`. */

import type { Finding } from "../edit/doctor/rule.ts";
import { Copy } from "./detail.tsx";
import type { Inspector, Work } from "./state.ts";
import { count, plural } from "./words.ts";

interface FindingsProps {
  readonly inspector: Inspector;
  readonly findings: Work<readonly Finding[]>;
}

const ORDER = ["error", "warning", "info"] as const;
const MARK = { error: "✕", warning: "!", info: "i" } as const;

/** Findings, the worst first. */
export function Findings({ inspector, findings }: FindingsProps) {
  return (
    <section class="findings" aria-label="Findings">
      {findings.state === "idle" && (
        <div class="empty">
          <p>The doctor reads the values that it needs and says what is wrong.</p>
          <button type="button" class="primary" onClick={() => void inspector.diagnose()}>
            Run the doctor
          </button>
        </div>
      )}
      {findings.state === "running" && <p class="empty">Reading…</p>}
      {findings.state === "failed" && <p class="error">{findings.error}</p>}
      {findings.state === "done" && findings.value.length === 0 && (
        <div class="empty healthy">
          <span class="mark">✓</span>
          <h2>Nothing found</h2>
          <p>No rule of the doctor has anything to say about this file.</p>
        </div>
      )}
      {findings.state === "done" &&
        ORDER.flatMap((severity) => findings.value.filter((f) => f.severity === severity)).map((f) => (
          <Card key={`${f.rule} ${f.message}`} finding={f} inspector={inspector} />
        ))}
    </section>
  );
}

const MOST_NAMES = 12;

function Card({
  finding: { rule, severity, variables, message, repair },
  inspector,
}: {
  readonly finding: Finding;
  readonly inspector: Inspector;
}) {
  return (
    <article class={`finding ${severity}`}>
      <span class="mark" role="img" aria-label={severity}>
        {MARK[severity]}
      </span>
      <div>
        <h3>{rule}</h3>
        <p>{message}</p>
        {variables.length > 0 && (
          <p class="names">
            {variables.slice(0, MOST_NAMES).map((name) => (
              <button
                type="button"
                class="link"
                key={name}
                onClick={() => inspector.select({ kind: "variable", name })}
              >
                {name}
              </button>
            ))}
            {variables.length > MOST_NAMES && <span>and {count(variables.length - MOST_NAMES)} more</span>}
          </p>
        )}
        {repair && (
          <p class="repair">
            <code>{repair}</code>
            <Copy text={repair} />
          </p>
        )}
      </div>
    </article>
  );
}

/** For the tab: how many findings, in words. */
export function findingsLabel(findings: Work<readonly Finding[]>): string {
  if (findings.state !== "done") return "";
  return findings.value.length === 0 ? "none" : plural(findings.value.length, "finding");
}

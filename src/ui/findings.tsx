/** @file What the doctor found. Start at `Findings`. */

import type { Diagnosis, Finding } from "../edit/doctor/index.ts";
import { Copy } from "./detail.tsx";
import type { Inspector, Work } from "./state.ts";
import { count, plural } from "./words.ts";

interface FindingsProps {
  readonly inspector: Inspector;
  readonly findings: Work<Diagnosis>;
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
      {findings.state === "running" && (
        <div class="empty">
          <p>Reading…</p>
          <progress
            {...(findings.progress === null
              ? {}
              : { value: findings.progress.done, max: Math.max(1, findings.progress.all) })}
          />
        </div>
      )}
      {findings.state === "failed" && <p class="error">{findings.error}</p>}
      {findings.state === "done" && <Diagnosed inspector={inspector} diagnosis={findings.value} />}
    </section>
  );
}

function Diagnosed({
  inspector,
  diagnosis: { findings, checked },
}: {
  readonly inspector: Inspector;
  readonly diagnosis: Diagnosis;
}) {
  const words = `${plural(checked.rules, "rule")} on ${plural(checked.tensors, "tensor")} and ${plural(checked.normalizations, "batch normalization")}`;
  if (findings.length === 0) {
    return (
      <div class="empty healthy">
        <span class="mark">✓</span>
        <h2>Nothing found</h2>
        <p>{words}.</p>
      </div>
    );
  }
  const sorted = ORDER.flatMap((severity) => findings.filter((f) => f.severity === severity));
  return (
    <>
      <p class="checked">{words}.</p>
      {sorted.map((f, i) => (
        <Card key={`${i} ${f.rule}`} finding={f} inspector={inspector} />
      ))}
    </>
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

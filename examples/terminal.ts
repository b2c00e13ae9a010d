/** Things to look at in a terminal: a progress bar, a table, a curve. Quiet or plain where the output is no terminal. */

const BLOCKS = " ▁▂▃▄▅▆▇█";

export interface ProgressBar {
  update(done: number, note: string): void;
  end(): void;
}

/** One line that is drawn over and over; nothing where standard error is no terminal. */
export function progressBar(total: number, width = 28): ProgressBar {
  const out = process.stderr;
  let last = 0;
  return {
    update(done, note) {
      const now = performance.now();
      if (!out.isTTY || (now - last < 50 && done < total)) return;
      last = now;
      const full = Math.round((done / total) * width);
      out.write(`\r${"█".repeat(full)}${"░".repeat(width - full)} ${done}/${total}  ${note}\x1b[K`);
    },
    end() {
      if (out.isTTY) out.write("\r\x1b[K");
    },
  };
}

/** Columns that align; numbers to the right. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = head.map((h, i) => Math.max(h.length, ...rows.map((r) => r[i]!.length)));
  const isNumber = head.map((_, i) => rows.length > 0 && rows.every((r) => /^-?[\d.]+$/.test(r[i]!)));
  const line = (cells: readonly string[]): string =>
    cells
      .map((c, i) => (isNumber[i] ? c.padStart(widths[i]!) : c.padEnd(widths[i]!)))
      .join("  ")
      .trimEnd();
  return [line(head), widths.map((w) => "─".repeat(w)).join("  "), ...rows.map(line)].join("\n");
}

/** A loss curve on a logarithmic scale, averaged to `width` columns. */
export function lossCurve(losses: readonly number[], width = 72, height = 8): string {
  const columns = Array.from({ length: width }, (_, i) => {
    const part = losses.slice(
      Math.floor((i * losses.length) / width),
      Math.max(Math.floor(((i + 1) * losses.length) / width), Math.floor((i * losses.length) / width) + 1),
    );
    return Math.log10(part.reduce((a, b) => a + b, 0) / part.length);
  });
  const [low, high] = [Math.min(...columns), Math.max(...columns)];
  const rows = Array.from({ length: height }, (_, r) => {
    const bars = columns.map((c) => {
      const filled = ((c - low) / (high - low || 1)) * height - (height - 1 - r);
      return BLOCKS[Math.max(0, Math.min(8, Math.round(filled * 8)))];
    });
    const label = 10 ** (low + ((high - low) * (height - r)) / height);
    return `${label.toPrecision(2).padStart(8)} ┤${bars.join("")}`;
  });
  return ["    loss", ...rows, `${" ".repeat(9)}└${"─".repeat(width)} ${losses.length} steps`].join("\n");
}

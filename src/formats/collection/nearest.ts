/** @file Names that somebody may have meant. Start at `nearestNames`. */

/** Up to `most` of `names` that are like `wanted`: the same last part, one inside the other, or few changed letters. */
export function nearestNames(wanted: string, names: Iterable<string>, most = 3): string[] {
  const low = wanted.toLowerCase();
  const scored: { readonly name: string; readonly score: number }[] = [];
  for (const name of names) {
    const score = unlikeness(low, name.toLowerCase());
    if (score <= 0.5) scored.push({ name, score });
  }
  scored.sort((a, b) => a.score - b.score || (a.name < b.name ? -1 : 1));
  return scored.slice(0, most).map((s) => s.name);
}

const lastOf = (name: string): string => name.slice(name.lastIndexOf("/") + 1);

/** 0 for the same name, up to 1 for nothing in common. */
function unlikeness(a: string, b: string): number {
  const changed = changedLetters(a, b) / Math.max(a.length, b.length, 1);
  const bonus = b.includes(a) || lastOf(a) === lastOf(b) ? 0.3 : 0;
  return Math.max(0, changed - bonus);
}

/** Names longer than this are compared by their ends. */
const MAX_LETTERS = 200;

/** Letters put in, taken out or changed to make `b` of `a`. @see Levenshtein 1966; Wagner and Fischer 1974 */
function changedLetters(a: string, b: string): number {
  const [x, y] = [a.slice(-MAX_LETTERS), b.slice(-MAX_LETTERS)];
  let row = Array.from({ length: y.length + 1 }, (_, i) => i);
  for (let i = 1; i <= x.length; i++) {
    const next = [i];
    for (let j = 1; j <= y.length; j++) {
      const change = row[j - 1]! + (x[i - 1] === y[j - 1] ? 0 : 1);
      next.push(Math.min(change, row[j]! + 1, next[j - 1]! + 1));
    }
    row = next;
  }
  return row[y.length]!;
}

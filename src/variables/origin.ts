/** @file Where in a caller's code something was made, for the errors of making it again. */

/** The lines of code that an error made there stands for: five at most, without this package's own. */
export function linesOf(origin: Error | undefined): string[] {
  const own = new URL("..", import.meta.url).href;
  const lines = (origin?.stack ?? "").split("\n").filter((line) => /^\s+at /.test(line));
  return lines.filter((line) => !line.includes(own)).slice(0, 5);
}

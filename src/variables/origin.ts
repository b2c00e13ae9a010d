/** @file Where in a caller's code something was made, for the errors of making it again. */

const OWN = new URL("..", import.meta.url).href;

/** The lines of code that an error made there stands for: five at most, without this package's own. */
export const linesOf = (origin: Error | undefined): string[] =>
  (origin?.stack ?? "")
    .split("\n")
    .filter((line) => /^\s+at /.test(line) && !line.includes(OWN))
    .slice(0, 5);

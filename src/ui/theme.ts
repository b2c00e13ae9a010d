/** @file Dark or light: as the system has it, until somebody chooses. Start at `toggleTheme`. */

const KEY = "varscope-theme";

/** Puts back what was chosen before. Pages from a disk may have no storage. */
export function restoreTheme(): void {
  try {
    const theme = localStorage.getItem(KEY);
    if (theme !== null) document.documentElement.dataset.theme = theme;
  } catch {
    // no storage: as the system has it
  }
}

/** The other one, and remembers it. */
export function toggleTheme(): void {
  const root = document.documentElement;
  const isDark =
    root.dataset.theme === undefined
      ? matchMedia("(prefers-color-scheme: dark)").matches
      : root.dataset.theme === "dark";
  root.dataset.theme = isDark ? "light" : "dark";
  try {
    localStorage.setItem(KEY, root.dataset.theme);
  } catch {
    // no storage: for this page alone
  }
}

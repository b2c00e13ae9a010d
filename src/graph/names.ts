/** @file TensorFlow's naming rules: legal names, uniquifying (case-insensitive), name scopes. Start at `Namer`. */

import { VarscopeError } from "../base/index.ts";

/** @see TensorFlow python/framework/ops.py _VALID_OP_NAME_REGEX, _VALID_SCOPE_NAME_REGEX */
const OP_NAME = /^[A-Za-z0-9.][A-Za-z0-9_.\\/>-]*$/;
const SCOPE_NAME = /^[A-Za-z0-9_.\\/>-]*$/;

/** Names in use in one graph, and its stack of name scopes. */
export class Namer {
  private readonly used = new Map<string, number>();
  /** current scope without the trailing slash */
  private scope = "";

  get currentScope(): string {
    return this.scope;
  }

  /** A name in the current scope that no op and no scope has, and from now on in use. `w`, then `w_1`, `w_2`. */
  unique(name: string, markAsUsed = true): string {
    const full = this.scope === "" ? name : `${this.scope}/${name}`;
    const base = full.toLowerCase();
    let i = this.used.get(base) ?? 0;
    if (markAsUsed) this.used.set(base, i + 1);
    if (i === 0) return full;
    let key = base;
    while (this.used.has(key)) key = `${base}_${i++}`;
    if (markAsUsed) this.used.set(key, 1);
    return `${full}_${i - 1}`;
  }

  /** The name of a new op: `name/` is taken exactly, anything else is made unique in the current scope. */
  opName(name: string): string {
    if (!OP_NAME.test(this.scope === "" ? name : `${this.scope}/${name}`) || name === "") {
      throw new VarscopeError(
        "INVALID_ARGUMENT",
        `\`${name}\` is not a valid node name. Accepted names conform to Regex /${OP_NAME.source}/`,
      );
    }
    if (!name.endsWith("/")) return this.unique(name);
    const exact = name.slice(0, -1);
    if (!this.used.has(exact.toLowerCase())) this.used.set(exact.toLowerCase(), 1);
    return exact;
  }

  /** Marks the name of an imported op as used, without changing it. */
  reserve(name: string): void {
    const key = name.toLowerCase();
    if (!this.used.has(key)) this.used.set(key, 1);
  }

  /**
   * Runs `body` inside a scope and gives it the scope's text with its slash (`""` at the root). `name/` re-enters exactly; null or ""
   * is the root.
   *
   * @throws VarscopeError INVALID_ARGUMENT - not a legal name; a body that is asynchronous, which would outlive its scope
   */
  within<R>(name: string | null, body: (scope: string) => R): R {
    const outer = this.scope;
    this.scope = this.enter(name);
    try {
      return finished(body(this.scope === "" ? "" : `${this.scope}/`));
    } finally {
      this.scope = outer;
    }
  }

  private enter(name: string | null): string {
    if (name === null || name === "") return "";
    const pattern = this.scope === "" ? OP_NAME : SCOPE_NAME;
    if (!pattern.test(name)) {
      const kind = this.scope === "" ? "root scope" : "scope";
      throw new VarscopeError(
        "INVALID_ARGUMENT",
        `'${name}' is not a valid ${kind} name. A ${kind} name has to match the following pattern: ${pattern.source}`,
      );
    }
    return name.endsWith("/") ? name.slice(0, -1) : this.unique(name);
  }
}

/** The result of a scope's body, which must be there: what is made after an await is made in whatever scope is open then. */
function finished<R>(result: R): R {
  if (!(result instanceof Promise)) return result;
  result.catch(() => undefined); // its own failure comes second
  throw new VarscopeError("INVALID_ARGUMENT", "the body of a scope is asynchronous and would outlive it", {
    hint: "build the graph in plain functions, await before or after",
  });
}

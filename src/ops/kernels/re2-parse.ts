/**
 * @file RE2's syntax, as a tree. Characters are told apart by classes of JavaScript's RegExp, one character at a time; how they follow each other
 * is matched in `re2.ts`. Start at `parseRe2`.
 *
 * @see RE2 doc/syntax.txt, re2/parse.cc
 */

import { VarscopeError } from "../../base/index.ts";

/** Characters: whether one of the classes holds it. */
export interface CharSet {
  readonly holds: (char: string) => boolean;
}

export type Assertion = "begin" | "end" | "beginLine" | "endLine" | "word" | "notWord";

export type Re2Node =
  | { readonly kind: "set"; readonly set: CharSet }
  | { readonly kind: "all"; readonly items: readonly Re2Node[] }
  | { readonly kind: "any"; readonly items: readonly Re2Node[] }
  | {
      readonly kind: "repeat";
      readonly item: Re2Node;
      readonly min: number;
      readonly max: number;
      readonly greedy: boolean;
    }
  | { readonly kind: "group"; readonly item: Re2Node; readonly index: number }
  | { readonly kind: "assert"; readonly what: Assertion };

/** RE2's bound of a repetition, and of repetitions within each other. */
const MOST_REPEATS = 1000;
/** RE2's bound of groups within groups. */
const MOST_DEPTH = 1000;

interface Flags {
  fold: boolean;
  multiline: boolean;
  dotAll: boolean;
  ungreedy: boolean;
}

const POSIX: Record<string, string> = {
  alnum: "0-9A-Za-z",
  alpha: "A-Za-z",
  ascii: "\\x00-\\x7F",
  blank: "\\t ",
  cntrl: "\\x00-\\x1F\\x7F",
  digit: "0-9",
  graph: "!-~",
  lower: "a-z",
  print: " -~",
  punct: "!-\\/:-@\\[-`\\{-~",
  space: "\\t\\n\\v\\f\\r ",
  upper: "A-Z",
  word: "0-9A-Za-z_",
  xdigit: "0-9A-Fa-f",
};
const PERL: Record<string, string> = { d: "0-9", s: "\\t\\n\\f\\r ", w: "0-9A-Za-z_" };
const CONTROL: Record<string, number> = { a: 7, f: 12, t: 9, n: 10, r: 13, v: 11 };

/** Reads one pattern. */
class Parser {
  readonly chars: readonly string[];
  at = 0;
  groups = 0;
  depth = 0;
  flags: Flags = { fold: false, multiline: false, dotAll: false, ungreedy: false };

  constructor(pattern: string) {
    this.chars = [...pattern];
  }

  fail(what: string, from: number, to = this.at): never {
    const part = this.chars.slice(from, to).join("");
    throw new SyntaxError(part === "" ? what : `${what}: ${part}`);
  }

  get next(): string | undefined {
    return this.chars[this.at];
  }

  takes(text: string): boolean {
    const letters = [...text];
    if (letters.some((c, i) => this.chars[this.at + i] !== c)) return false;
    this.at += letters.length;
    return true;
  }

  alternatives(): Re2Node {
    if (++this.depth > MOST_DEPTH) this.fail("expression nests too deeply", 0, 0);
    const items = [this.sequence()];
    while (this.takes("|")) items.push(this.sequence());
    this.depth--;
    return items.length === 1 ? items[0]! : { kind: "any", items };
  }

  sequence(): Re2Node {
    const items: Re2Node[] = [];
    /** where the repetition before this place begins: they do not stack */
    let repeated: number | null = null;
    while (this.next !== undefined && this.next !== "|" && this.next !== ")") {
      const from = this.at;
      const times = this.repetition();
      if (times === null) {
        const item = this.item();
        if (item !== null) items.push(...item);
        repeated = null;
        continue;
      }
      if (repeated !== null) this.fail("bad repetition operator", repeated);
      const item = items.pop();
      if (item === undefined) this.fail("no argument for repetition operator", from);
      if (times.max > MOST_REPEATS || times.min > MOST_REPEATS || (times.max >= 0 && times.max < times.min))
        this.fail("invalid repetition size", from);
      const node: Re2Node = { kind: "repeat", item, ...times };
      if (repeatsOf(node) > MOST_REPEATS) this.fail("invalid repetition size", from);
      items.push(node);
      repeated = from;
    }
    return items.length === 1 ? items[0]! : { kind: "all", items };
  }

  /** `max` -1: any number. Null where no repetition stands. */
  repetition(): { min: number; max: number; greedy: boolean } | null {
    const signs: Record<string, readonly [number, number]> = { "*": [0, -1], "+": [1, -1], "?": [0, 1] };
    let bounds: readonly [number, number] | undefined = signs[this.next ?? ""];
    if (bounds !== undefined) this.at++;
    else if (this.next === "{") bounds = this.counts();
    if (bounds === undefined) return null;
    return { min: bounds[0], max: bounds[1], greedy: this.takes("?") === this.flags.ungreedy };
  }

  counts(): readonly [number, number] | undefined {
    const rest = this.chars.slice(this.at, this.at + 24).join("");
    const found = /^\{(\d{1,9})(,(\d{1,9})?)?\}/.exec(rest);
    if (found === null) return undefined;
    this.at += found[0].length;
    const min = Number(found[1]);
    return [min, found[2] === undefined ? min : found[3] === undefined ? -1 : Number(found[3])];
  }

  /** Nodes of one item; null where there is none, as after flags. */
  item(): readonly Re2Node[] | null {
    const c = this.next!;
    if (c === "(") return this.group();
    if (c === "[") return [this.brackets()];
    if (c === "\\") return this.escaped();
    this.at++;
    const { multiline, dotAll } = this.flags;
    if (c === ".") return [setOf(dotAll ? [] : ["\\n"], { negated: true, fold: false })];
    if (c === "^") return [{ kind: "assert", what: multiline ? "beginLine" : "begin" }];
    if (c === "$") return [{ kind: "assert", what: multiline ? "endLine" : "end" }];
    return [this.literal(c.codePointAt(0)!)];
  }

  literal(code: number): Re2Node {
    return setOf([classed(code)], { negated: false, fold: this.flags.fold });
  }

  group(): readonly Re2Node[] | null {
    const from = this.at++;
    const before = { ...this.flags };
    let index: number | null = null;
    const name = /^\?P<(\w*)(>?)/.exec(this.chars.slice(this.at, this.at + 256).join(""));
    if (name !== null) {
      this.at += name[0].length;
      if (name[1] === "" || name[2] === "") this.fail("invalid named capture group", from);
      index = ++this.groups;
    } else if (this.next !== "?") index = ++this.groups;
    else if (this.options(from)) return null;
    const item = this.alternatives();
    if (!this.takes(")")) this.fail("missing )", 0, this.chars.length);
    this.flags = before;
    return [index === null ? { kind: "all", items: [item] } : { kind: "group", item, index }];
  }

  /** Flags after `(?`. @returns whether they stand alone: `(?i)` */
  options(from: number): boolean {
    this.at++;
    const names = { i: "fold", m: "multiline", s: "dotAll", U: "ungreedy" } as const;
    let [on, seen] = [true, false];
    for (;;) {
      const c = this.next;
      if (c === undefined) this.fail("invalid perl operator", from);
      this.at++;
      if (c === ":" || c === ")") {
        if (!on && !seen) this.fail("invalid perl operator", from);
        return c === ")";
      }
      if (c === "-" && on) [on, seen] = [false, false];
      else if (c in names) {
        this.flags = { ...this.flags, [names[c as keyof typeof names]]: on };
        seen = true;
      } else this.fail("invalid perl operator", from);
    }
  }

  escaped(): readonly Re2Node[] {
    if (this.takes("\\Q")) return this.quoted();
    const asserts: Record<string, Assertion> = { A: "begin", z: "end", b: "word", B: "notWord" };
    const what = asserts[this.chars[this.at + 1] ?? ""];
    if (what !== undefined) {
      this.at += 2;
      return [{ kind: "assert", what }];
    }
    if (this.chars[this.at + 1] === "C")
      throw new VarscopeError("UNIMPLEMENTED", "\\C, one byte of a character", { hint: "use . instead" });
    const { fold } = this.flags;
    const part = this.classEscape();
    return [part === null ? this.literal(this.escape()) : setOfParts([part], false, fold)];
  }

  quoted(): Re2Node[] {
    const out: Re2Node[] = [];
    while (this.next !== undefined && !this.takes("\\E")) {
      out.push(this.literal(this.next.codePointAt(0)!));
      this.at++;
    }
    return out;
  }

  /** \d, \pN and their negations. Null where something else stands. */
  classEscape(): Part | null {
    const [from, c] = [this.at, this.chars[this.at + 1] ?? ""];
    const perl = PERL[c.toLowerCase()];
    if (perl !== undefined) {
      this.at += 2;
      return { source: perl, negated: c !== c.toLowerCase() };
    }
    if (c !== "p" && c !== "P") return null;
    this.at += 2;
    let name = this.next ?? "";
    this.at++;
    if (name === "{") {
      const end = this.chars.indexOf("}", this.at);
      if (end < 0) this.fail("invalid character class range", from, this.chars.length);
      name = this.chars.slice(this.at, end).join("");
      this.at = end + 1;
    }
    const isCaret = name.startsWith("^");
    const source = unicodeClass(isCaret ? name.slice(1) : name);
    if (source === null) this.fail("invalid character class range", from);
    return { source, negated: (c === "P") !== isCaret };
  }

  /** A character after a backslash. */
  escape(): number {
    const from = this.at++;
    const c = this.next;
    if (c === undefined) this.fail("trailing \\", 0, 0);
    this.at++;
    const octal = /^(0[0-7]{0,2}|[1-7][0-7]{1,2})/.exec(this.chars.slice(this.at - 1, this.at + 2).join(""));
    if (octal !== null) {
      this.at += octal[0].length - 1;
      return Number.parseInt(octal[0], 8);
    }
    if (c === "x") {
      return this.hex(from);
    }
    const control = CONTROL[c];
    if (control !== undefined) return control;
    if (c.codePointAt(0)! >= 0x80 || /[0-9A-Za-z]/.test(c)) this.fail("invalid escape sequence", from);
    return c.codePointAt(0)!;
  }

  /** Two digits, or any number of them in braces, up to Unicode's last code. */
  hex(from: number): number {
    const isBraced = this.takes("{");
    let [code, digits] = [0, 0];
    while (isBraced || digits < 2) {
      const digit = Number.parseInt(this.next ?? "", 16);
      if (Number.isNaN(digit)) break;
      code = 16 * code + digit;
      digits++;
      this.at++;
      if (code > 0x10ffff) this.fail("invalid escape sequence", from);
    }
    const isWhole = isBraced ? digits > 0 && this.takes("}") : digits === 2;
    if (!isWhole) this.fail("invalid escape sequence", from);
    return code;
  }

  brackets(): Re2Node {
    const from = this.at++;
    const negated = this.takes("^");
    const parts: Part[] = [];
    for (let isFirst = true; isFirst || this.next !== "]"; isFirst = false) {
      if (this.next === undefined) this.fail("missing ]", from, this.chars.length);
      const part = this.posix() ?? (this.next === "\\" ? this.classEscape() : null) ?? this.range(from);
      parts.push(part);
    }
    this.at++;
    return setOfParts(parts, negated, this.flags.fold);
  }

  posix(): Part | null {
    const found = /^\[:(\^?)(.*?):\]/u.exec(this.chars.slice(this.at, this.at + 32).join(""));
    if (found === null) return null;
    const from = this.at;
    this.at += [...found[0]].length;
    const source = POSIX[found[2]!];
    if (source === undefined) this.fail("invalid character class range", from);
    return { source, negated: found[1] === "^" };
  }

  range(open: number): Part {
    const from = this.at;
    const one = (): number => {
      if (this.next === undefined) this.fail("missing ]", open, this.chars.length);
      if (this.next === "\\") return this.escape();
      return this.chars[this.at++]!.codePointAt(0)!;
    };
    const low = one();
    if (this.next !== "-" || [undefined, "]"].includes(this.chars[this.at + 1]))
      return { source: classed(low), negated: false };
    this.at++;
    const high = one();
    if (high < low) this.fail("invalid character class range", from);
    return { source: `${classed(low)}-${classed(high)}`, negated: false };
  }
}

interface Part {
  readonly source: string;
  readonly negated: boolean;
}

const classed = (code: number): string => `\\u{${code.toString(16)}}`;

const setOf = (sources: readonly string[], { negated, fold }: { negated: boolean; fold: boolean }): Re2Node =>
  setOfParts(
    sources.map((source) => ({ source, negated: false })),
    negated,
    fold,
  );

/** Each negation for itself: inside one class, JavaScript folds what is not in it, RE2 what is. */
function setOfParts(parts: readonly Part[], negated: boolean, fold: boolean): Re2Node {
  const plain = parts.filter((p) => !p.negated).map((p) => p.source);
  const sources = [...(plain.length === 0 ? [] : [`[${plain.join("")}]`])];
  for (const { source } of parts.filter((p) => p.negated)) sources.push(`[^${source}]`);
  const tests = sources.map((source) => new RegExp(`^${source}$`, fold ? "iu" : "u"));
  return { kind: "set", set: { holds: (c) => tests.some((test) => test.test(c)) !== negated } };
}

/** A general category or a script, as JavaScript names it. */
function unicodeClass(name: string): string | null {
  if (name === "Any") return "\\u{0}-\\u{10ffff}";
  if (!/^\w+$/.test(name)) return null;
  for (const source of name.length <= 2 ? [`\\p{gc=${name}}`] : [`\\p{Script=${name}}`]) {
    try {
      new RegExp(source, "u");
      return source;
    } catch {
      // no such class
    }
  }
  return null;
}

/** How often the innermost repetition of a node is written out. */
function repeatsOf(node: Re2Node): number {
  if (node.kind === "repeat") return Math.max(1, node.max, node.min) * repeatsOf(node.item);
  if (node.kind === "group") return repeatsOf(node.item);
  if (node.kind !== "all" && node.kind !== "any") return 1;
  return node.items.reduce((most, item) => Math.max(most, repeatsOf(item)), 1);
}

/** A pattern's tree and its number of groups. */
export interface Re2Tree {
  readonly root: Re2Node;
  readonly groups: number;
}

/**
 * @throws VarscopeError INVALID_ARGUMENT - RE2's own sentence of what is wrong; UNIMPLEMENTED - \C
 */
export function parseRe2(pattern: string): Re2Tree {
  const parser = new Parser(pattern);
  try {
    const root = parser.alternatives();
    if (parser.next !== undefined) parser.fail("unexpected )", 0, parser.chars.length);
    return { root, groups: parser.groups };
  } catch (cause) {
    if (!(cause instanceof SyntaxError)) throw cause;
    throw new VarscopeError("INVALID_ARGUMENT", `Invalid pattern: ${pattern}, error: ${cause.message}`);
  }
}

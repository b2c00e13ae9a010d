/**
 * @file Protobuf text, token by token: names, numbers, quoted bytes, signs, with comments and space between.
 * Start at `Scanner`.
 */

import { VarscopeError } from "../../base/index.ts";

const SPACE = /(?:[\s\v\f]+|#[^\n]*)*/y;
const NAME = /[A-Za-z_][A-Za-z0-9_]*/y;
const BRACKETED = /\[\s*([A-Za-z0-9_./-]+)\s*\]/y;
const NUMBER = /(?:0[xX][0-9a-fA-F]+|(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?[fF]?)/y;
const ESCAPE = /^(?:([0-7]{1,3})|[xX]([0-9a-fA-F]{1,2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8}))/;
const BACKSLASH = 92;

const SIMPLE: Record<string, number> = {
  a: 7,
  b: 8,
  f: 12,
  n: 10,
  r: 13,
  t: 9,
  v: 11,
  "\\": 92,
  "'": 39,
  '"': 34,
  "?": 63,
};

const ENCODER = new TextEncoder();
const latin = (bytes: Uint8Array): string => String.fromCharCode(...bytes);

/** A place in a text, and what stands there. */
export class Scanner {
  private readonly text: string;
  private readonly file: string;
  private pos = 0;

  constructor(text: string, file: string) {
    this.text = text;
    this.file = file;
    this.skip();
  }

  get atEnd(): boolean {
    return this.pos >= this.text.length;
  }

  /** Takes one of the signs `: ; , { } < > [ ] - ` if it stands here. */
  take(sign: string): boolean {
    if (this.text[this.pos] !== sign) return false;
    this.pos++;
    this.skip();
    return true;
  }

  peek(): string {
    return this.text[this.pos] ?? "the end";
  }

  need(sign: string): void {
    if (!this.take(sign)) this.fail(`'${sign}' is missing before '${this.peek()}'`);
  }

  name(): string | undefined {
    return this.match(NAME)?.[0];
  }

  /** `[type.googleapis.com/...]` or `[an.extension]` */
  bracketed(): string | undefined {
    return this.match(BRACKETED)?.[1];
  }

  number(): string | undefined {
    return this.match(NUMBER)?.[0];
  }

  /** One or more adjoining quoted strings as bytes; undefined where none stands here. */
  bytes(): Uint8Array | undefined {
    const parts: Uint8Array[] = [];
    for (let text = this.quoted(); text !== undefined; text = this.quoted()) parts.push(this.unescape(text));
    if (parts.length <= 1) return parts[0];
    const all = new Uint8Array(parts.reduce((n, p) => n + p.length, 0));
    let at = 0;
    for (const part of parts) {
      all.set(part, at);
      at += part.length;
    }
    return all;
  }

  /** @throws VarscopeError INVALID_ARGUMENT - at `file:line:column` */
  fail(what: string): never {
    const before = this.text.slice(0, this.pos);
    const line = before.split("\n").length;
    const column = this.pos - before.lastIndexOf("\n");
    throw new VarscopeError("INVALID_ARGUMENT", what, { at: `${this.file}:${line}:${column}` });
  }

  private match(pattern: RegExp): RegExpExecArray | undefined {
    pattern.lastIndex = this.pos;
    const m = pattern.exec(this.text);
    if (m === null) return undefined;
    this.pos = pattern.lastIndex;
    this.skip();
    return m;
  }

  private skip(): void {
    SPACE.lastIndex = this.pos;
    SPACE.exec(this.text);
    this.pos = SPACE.lastIndex;
  }

  /**
   * What stands between quotes here. By hand: a pattern would keep a way back for each of millions of
   * escapes.
   */
  private quoted(): string | undefined {
    const { text, pos } = this;
    const mark = text[pos];
    if (mark !== '"' && mark !== "'") return undefined;
    let end = pos + 1;
    while (end < text.length && text[end] !== mark && text[end] !== "\n") end += text[end] === "\\" ? 2 : 1;
    if (text[end] !== mark) this.fail("a quoted string does not end on its line");
    this.pos = end + 1;
    this.skip();
    return text.slice(pos + 1, end);
  }

  private unescape(text: string): Uint8Array {
    const from = ENCODER.encode(text);
    if (!text.includes("\\")) return from;
    const to = new Uint8Array(from.length); // no escape is shorter than what it stands for
    let size = 0;
    for (let i = 0; i < from.length; ) {
      if (from[i] !== BACKSLASH) {
        to[size++] = from[i++]!;
        continue;
      }
      const { bytes, length } = this.escape(latin(from.subarray(i + 1, i + 10)));
      for (const b of bytes) to[size++] = b;
      i += 1 + length;
    }
    return to.slice(0, size);
  }

  /**
   * The bytes of the escape that `text` begins with (behind its backslash), and how much of it belongs to it.
   */
  private escape(text: string): { bytes: Iterable<number>; length: number } {
    const [whole, octal, hex, short, long] = ESCAPE.exec(text) ?? [];
    if (whole === undefined) {
      const byte = SIMPLE[text[0] ?? ""] ?? this.fail(`'\\${text[0] ?? ""}' is no escape`);
      return { bytes: [byte], length: 1 };
    }
    const { length } = whole;
    if (octal !== undefined) return { bytes: [Number.parseInt(octal, 8) & 0xff], length };
    if (hex !== undefined) return { bytes: [Number.parseInt(hex, 16)], length };
    return { bytes: ENCODER.encode(this.codePoint((short ?? long)!)), length };
  }

  private codePoint(hex: string): string {
    const code = Number.parseInt(hex, 16);
    if (code > 0x10ffff || (code >= 0xd800 && code < 0xe000)) this.fail(`U+${hex} is no character`);
    return String.fromCodePoint(code);
  }
}

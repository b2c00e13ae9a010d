/**
 * @file Matching as RE2 does: all ways through a pattern at once, so that time grows with the length of the text and never faster. JavaScript's
 * own engine tries one way after the other, which some patterns make exponential. A match begins and ends between characters; RE2's \\B also
 * finds empty ones between the bytes of a character. Start at `compileRe2`.
 *
 * @see Cox, Regular Expression Matching: the Virtual Machine Approach (swtch.com/~rsc/regexp/regexp2.html)
 */

import { joinBytes, VarscopeError } from "../../base/index.ts";
import { type Assertion, type CharSet, parseRe2, type Re2Node } from "./re2-parse.ts";
import { type Runes, runesOf } from "./utf8.ts";

/** A step of a program: take a character, go on in two places (the first is preferred), remember the place, look around, be done. */
type Step =
  | { readonly op: "take"; readonly set: CharSet; readonly ascii: Uint8Array }
  | { readonly op: "split"; readonly to: number; readonly or: number }
  | { readonly op: "save"; readonly slot: number }
  | { readonly op: "assert"; readonly what: Assertion }
  | { readonly op: "done" };

/** RE2 refuses programs beyond 8 MB: about as many steps. */
const MOST_STEPS = 200_000;
/** Steps of all matches in one text: some seconds. */
const MOST_WORK = 50_000_000;

/** A compiled pattern. */
export interface Re2 {
  readonly pattern: string;
  readonly groups: number;
  readonly steps: readonly Step[];
}

/** @throws VarscopeError INVALID_ARGUMENT - no pattern of RE2, or one that is too large */
export function compileRe2(pattern: string): Re2 {
  const { root, groups } = parseRe2(pattern);
  const steps: Step[] = [];
  const emit = (step: Step): number => {
    if (steps.length >= MOST_STEPS) {
      throw new VarscopeError(
        "INVALID_ARGUMENT",
        `Invalid pattern: ${pattern}, error: pattern too large - compile failed`,
      );
    }
    return steps.push(step) - 1;
  };
  const compile = (node: Re2Node): void => {
    if (node.kind === "set") emit({ op: "take", set: node.set, ascii: asciiOf(node.set) });
    else if (node.kind === "assert") emit({ op: "assert", what: node.what });
    else if (node.kind === "all") node.items.forEach(compile);
    else if (node.kind === "any") compileAny(node.items);
    else if (node.kind === "repeat") compileRepeat(node);
    else {
      emit({ op: "save", slot: 2 * node.index });
      compile(node.item);
      emit({ op: "save", slot: 2 * node.index + 1 });
    }
  };
  const optional = (greedy: boolean, body: () => void): void => {
    const at = emit({ op: "split", to: 0, or: 0 });
    body();
    const [into, past] = [at + 1, steps.length];
    steps[at] = greedy ? { op: "split", to: into, or: past } : { op: "split", to: past, or: into };
  };
  function compileAny(items: readonly Re2Node[]): void {
    const ends: number[] = [];
    for (const item of items.slice(0, -1)) {
      optional(true, () => {
        compile(item);
        ends.push(emit({ op: "split", to: 0, or: 0 }));
      });
    }
    compile(items.at(-1)!);
    for (const end of ends) steps[end] = { op: "split", to: steps.length, or: steps.length };
  }
  function compileRepeat({ item, min, max, greedy }: Extract<Re2Node, { kind: "repeat" }>): void {
    const copies = max < 0 && min > 0 ? min - 1 : min;
    for (let i = 0; i < copies; i++) compile(item);
    if (max < 0) {
      const loop = (): void => {
        const again = steps.length;
        compile(item);
        const past = steps.length + 1;
        emit(greedy ? { op: "split", to: again, or: past } : { op: "split", to: past, or: again });
      };
      if (min === 0) optional(greedy, loop);
      else loop();
      return;
    }
    const nest = (left: number): void => {
      if (left > 0) {
        optional(greedy, () => {
          compile(item);
          nest(left - 1);
        });
      }
    };
    nest(max - min);
  }
  emit({ op: "save", slot: 0 });
  compile(root);
  emit({ op: "save", slot: 1 });
  emit({ op: "done" });
  return { pattern, groups, steps };
}

function asciiOf(set: CharSet): Uint8Array {
  return Uint8Array.from({ length: 128 }, (_, code) => Number(set.holds(String.fromCharCode(code))));
}

const isWord = (code: number | undefined): boolean =>
  code !== undefined && code < 128 && /\w/.test(String.fromCharCode(code));

function holdsAt(what: Assertion, { codes }: Runes, at: number): boolean {
  const end = codes.length;
  if (what === "begin") return at === 0;
  if (what === "end") return at === end;
  if (what === "beginLine") return at === 0 || codes[at - 1] === 10;
  if (what === "endLine") return at === end || codes[at] === 10;
  const isEdge = isWord(codes[at - 1]) !== isWord(codes[at]);
  return isEdge === (what === "word");
}

/** Where a match and its groups begin and end, in characters; -1 for groups that took no part. */
export type Slots = Int32Array;

/** Ways that are alive at one place, in order of preference. */
interface Ways {
  readonly at: Int32Array;
  readonly slots: Slots[];
  size: number;
}

/** A match's state: one a text, so that the work of all its matches counts together. */
export class Matcher {
  private readonly re: Re2;
  private readonly text: Runes;
  private readonly mostWork: number;
  private readonly seen: Int32Array;
  private mark = 0;
  private work = 0;
  private now: Ways;
  private next: Ways;
  private readonly stack: { at: number; slots: Slots }[] = [];

  constructor(re: Re2, text: Runes, mostWork = MOST_WORK) {
    this.re = re;
    this.mostWork = mostWork;
    this.text = text;
    this.seen = new Int32Array(re.steps.length);
    const ways = (): Ways => ({ at: new Int32Array(re.steps.length), slots: [], size: 0 });
    this.now = ways();
    this.next = ways();
  }

  /**
   * The first match at or after `from`; of those the one that the pattern prefers.
   *
   * @param full - only a match of the whole text
   */
  match(from: number, full = false): Slots | null {
    const { codes } = this.text;
    const none: Slots = new Int32Array(2 * (this.re.groups + 1)).fill(-1);
    let found: Slots | null = null;
    this.now.size = 0;
    for (let place = from; ; place++) {
      if (found === null && (!full || place === from)) {
        if (place === from) this.mark++;
        this.follow(this.now, 0, none, place);
      }
      if (this.now.size === 0 && (found !== null || full)) break;
      this.mark++;
      this.next.size = 0;
      found = this.advance(place, full) ?? found;
      if (place >= codes.length) break;
      [this.now, this.next] = [this.next, this.now];
    }
    return found;
  }

  /** Takes the character at `place` along every way; ends at the first that is done. */
  private advance(place: number, full: boolean): Slots | null {
    const { codes } = this.text;
    const code = codes[place];
    for (let i = 0; i < this.now.size; i++) {
      const at = this.now.at[i]!;
      const step = this.re.steps[at]!;
      if (step.op === "done") {
        if (!full || place === codes.length) return this.now.slots[i]!;
        continue;
      }
      if (step.op === "take" && code !== undefined && takes(step, code))
        this.follow(this.next, at + 1, this.now.slots[i]!, place + 1);
    }
    return null;
  }

  /** Adds all steps that are reached from `at` without a character, in order of preference. */
  private follow(ways: Ways, at: number, slots: Slots, place: number): void {
    const { stack } = this;
    stack.push({ at, slots });
    for (let way = stack.pop(); way !== undefined; way = stack.pop()) {
      if (this.seen[way.at] === this.mark) continue;
      this.seen[way.at] = this.mark;
      if (++this.work > this.mostWork) {
        stack.length = 0;
        throw new VarscopeError(
          "RESOURCE_EXHAUSTED",
          `matching ${this.re.pattern} takes over ${this.mostWork} steps`,
          {
            hint: "use a simpler pattern or shorter texts",
          },
        );
      }
      const step = this.re.steps[way.at]!;
      if (step.op === "split") {
        if (step.or !== step.to) stack.push({ at: step.or, slots: way.slots });
        stack.push({ at: step.to, slots: way.slots });
      } else if (step.op === "save") {
        const saved = way.slots.slice();
        saved[step.slot] = place;
        stack.push({ at: way.at + 1, slots: saved });
      } else if (step.op === "assert") {
        if (holdsAt(step.what, this.text, place)) stack.push({ at: way.at + 1, slots: way.slots });
      } else {
        ways.at[ways.size] = way.at;
        ways.slots[ways.size++] = way.slots;
      }
    }
  }
}

function takes({ ascii, set }: Extract<Step, { op: "take" }>, code: number): boolean {
  if (code < 128) return ascii[code] === 1;
  // bytes that are no UTF-8 are in no class
  return code <= 0x10ffff && set.holds(String.fromCodePoint(code));
}

/** Whether the pattern fits the whole text. */
export const fitsWhole = (re: Re2, bytes: Uint8Array): boolean =>
  new Matcher(re, runesOf(bytes)).match(0, true) !== null;

/**
 * Matches replaced, `\1` in `rewrite` by the first group, `\0` by all. A rewrite that names a group which the pattern has not replaces nothing.
 *
 * @param all - every match, else the first
 * @see RE2 re2/re2.cc "GlobalReplace"
 */
export function replaceMatches(re: Re2, bytes: Uint8Array, rewrite: Uint8Array, all: boolean): Uint8Array {
  const { pieces, isWhole } = rewriteOf(rewrite);
  if (pieces.some((p) => typeof p === "number" && p > re.groups) || !(all || isWhole)) return bytes;
  const text = runesOf(bytes);
  const matcher = new Matcher(re, text);
  const out: Uint8Array[] = [];
  const part = (from: number, to: number): Uint8Array => bytes.subarray(text.starts[from], text.starts[to]);
  let [place, last, isFound] = [0, -1, false];
  while (place <= text.codes.length) {
    const slots = matcher.match(place);
    if (slots === null) break;
    const [from, to] = [slots[0]!, slots[1]!];
    out.push(part(place, from));
    if (from === last && from === to) {
      // no empty match where the last one ended
      if (from < text.codes.length) out.push(part(from, from + 1));
      place = from + 1;
      continue;
    }
    for (const piece of pieces) {
      if (typeof piece !== "number") out.push(piece);
      else if (slots[2 * piece]! >= 0) out.push(part(slots[2 * piece]!, slots[2 * piece + 1]!));
    }
    [place, last, isFound] = [to, to, true];
    if (!all) break;
  }
  if (!isFound) return bytes;
  if (place < text.codes.length) out.push(part(place, text.codes.length));
  return joinBytes(out);
}

/** Bytes and numbers of groups, up to a backslash that means nothing: there RE2 stops. */
function rewriteOf(rewrite: Uint8Array): { pieces: (Uint8Array | number)[]; isWhole: boolean } {
  const pieces: (Uint8Array | number)[] = [];
  for (let i = 0; i < rewrite.length; i++) {
    if (rewrite[i] !== 0x5c) {
      pieces.push(rewrite.subarray(i, i + 1));
      continue;
    }
    const next = rewrite[++i];
    if (next !== undefined && next >= 0x30 && next <= 0x39) pieces.push(next - 0x30);
    else if (next === 0x5c) pieces.push(rewrite.subarray(i, i + 1));
    else return { pieces, isWhole: false };
  }
  return { pieces, isWhole: true };
}

/** @file Options of `varscope edit` that are steps of surgery, kept in the order in which they are given. Start at `addSurgery`. */

import { type Command, InvalidArgumentError } from "commander";
import { readFile } from "#platform";
import { VarscopeError } from "../base/index.ts";
import type { RnnForm } from "../edit/change/gates.ts";
import type { Step, Surgery } from "../edit/change/surgery.ts";
import type { NewEntries } from "../edit/change/vocabulary.ts";
import { assignment, pattern } from "./arguments.ts";

/** A step, once the files that it names have been read. */
export type GivenStep = () => Promise<Surgery>;

/** Adds the options; what is given of them comes to `steps`, in order. */
export function addSurgery(command: Command, steps: GivenStep[]): Command {
  const step = (parse: (text: string) => Surgery | GivenStep) => (text: string) => {
    const made = parse(text);
    steps.push(typeof made === "function" ? made : async () => made);
  };
  return command
    .option(
      "--reshape <name=dims>",
      "another shape of as many elements (fc6/kernel=7,7,512,4096); repeatable",
      step(reshapeOf),
    )
    .option(
      "--reverse <name:axis>",
      "reverse an axis (conv1/kernel:2 is RGB <-> BGR); repeatable",
      step(reverseOf),
    )
    .option(
      "--transpose <regex=from,to>",
      "axes in another order (conv=oihw,hwio or conv=2,3,1,0), of variables of that rank; repeatable",
      step(transposeOf),
    )
    .option(
      "--split <name=parts@axis>",
      "parts as variables of their own (qkv=q,k,v@1 or qkv=q:64,kv:128@1); repeatable",
      step(splitOf),
    )
    .option("--concat <name=parts@axis>", "one variable of several (qkv=q,k,v@1); repeatable", step(concatOf))
    .option(
      "--take <name@axis=places>",
      "places of an axis, in this order (head/kernel@-1=0,5-9,2 or =@file); repeatable",
      step(takeOf),
    )
    .option(
      "--channels <name=n>",
      "input channels of a kernel: 1 sums them, more repeat them; name@axis=n, n:zeros, n:mean; repeatable",
      step(channelsOf),
    )
    .option(
      "--vocab <name@axis=old,new>",
      "rows follow their lines in two vocabulary files; a third word says what new ones are: zeros, mean, normal:SEED; repeatable",
      step(vocabularyOf),
    )
    .option(
      "--gates <scope=from,to>",
      "LSTM or GRU as tf1, keras or pytorch has it (tf1:0 for a forget bias of 0); repeatable",
      step(gatesOf),
    );
}

const wrong = (text: string, how: string): InvalidArgumentError =>
  new InvalidArgumentError(`'${text}' is not of the form ${how}.`);
const invalid = (what: string, hint: string): VarscopeError =>
  new VarscopeError("INVALID_ARGUMENT", what, { hint });

function reshapeOf(text: string): Surgery {
  const [name, dims] = assignment(text);
  return { do: "reshape", name, shape: dimsOf(dims) };
}

function dimsOf(text: string): number[] {
  const dims =
    text === "" || text === "[]"
      ? []
      : text
          .replace(/^\[|\]$/g, "")
          .split(/[,x]/)
          .map((s) => s.trim());
  if (dims.every((s) => /^\d+$/.test(s) && Number.isSafeInteger(Number(s)))) return dims.map(Number);
  throw invalid(`${text} is no shape`, "write it as 1,1,4096,4096");
}

function reverseOf(text: string): Surgery {
  const [, name, axis] = /^(.+):(-?\d+)$/.exec(text) ?? [];
  if (name === undefined)
    throw invalid(`--reverse ${text} names no axis`, "write it as NAME:AXIS, such as conv1/kernel:2");
  return { do: "reverse", name, axis: Number(axis) };
}

/** `TEXT@AXIS`. */
function axisOf(text: string, how: string): readonly [string, number] {
  const [, before, axis] = /^(.+)@(-?\d+)$/.exec(text) ?? [];
  if (before === undefined) throw wrong(text, how);
  return [before, Number(axis)];
}

function transposeOf(text: string): Surgery {
  const [names, layouts] = assignment(text);
  return { do: "transpose", pattern: pattern(names), perm: permOf(layouts) };
}

/** `oihw,hwio`, or the axes themselves. */
function permOf(text: string): number[] {
  const words = text.toLowerCase().split(",");
  if (words.every((w) => /^\d+$/.test(w))) return words.map(Number);
  const [from, to, more] = words;
  const isLayout = from !== undefined && to !== undefined && more === undefined;
  const letters = isLayout ? [...from] : [];
  const isOrder =
    isLayout &&
    new Set(letters).size === letters.length &&
    letters.toSorted().join("") === [...to].toSorted().join("");
  if (!isOrder) throw wrong(text, "oihw,hwio or 2,3,1,0");
  return [...to].map((letter) => letters.indexOf(letter));
}

function splitOf(text: string): Surgery {
  const how = "NAME=PART,PART@AXIS or NAME=PART:SIZE,PART:SIZE@AXIS";
  const [name, rest] = assignment(text);
  const [list, axis] = axisOf(rest, how);
  const parts = list.split(",").map((part) => {
    const [, own, size] = /^(.+):([1-9]\d*)$/.exec(part) ?? [];
    return own === undefined ? { name: part } : { name: own, size: Number(size) };
  });
  if (parts.some((p) => p.name === "")) throw wrong(text, how);
  return { do: "split", name, axis, parts };
}

function concatOf(text: string): Surgery {
  const how = "NAME=PART,PART@AXIS";
  const [name, rest] = assignment(text);
  const [list, axis] = axisOf(rest, how);
  const parts = list.split(",");
  if (parts.includes("")) throw wrong(text, how);
  return { do: "concat", name, axis, parts };
}

function takeOf(text: string): GivenStep {
  const how = "NAME@AXIS=0,5-9,2 or NAME@AXIS=@file";
  const [place, list] = assignment(text);
  const [name, axis] = axisOf(place, how);
  if (!list.startsWith("@")) {
    const indexes = placesOf(list);
    if (indexes === null) throw wrong(text, how);
    return async () => ({ do: "take", name, axis, indexes });
  }
  const file = list.slice(1);
  return async () => {
    const indexes = placesOf(new TextDecoder().decode(await readFile(file)));
    if (indexes !== null) return { do: "take", name, axis, indexes };
    throw new VarscopeError("INVALID_ARGUMENT", "this is no list of places", {
      at: file,
      hint: "write whole numbers and ranges (5-9), one a line",
    });
  };
}

/** Longest list of places. */
const MOST_PLACES = 2 ** 27;

/** Places and ranges of them, separated by commas or white space; null where it is something else. */
function placesOf(text: string): number[] | null {
  const places: number[] = [];
  for (const word of text.split(/[\s,]+/).filter((w) => w !== "")) {
    const [, first, last = first] = /^(\d+)(?:-(\d+))?$/.exec(word) ?? [];
    if (first === undefined || Number(last) < Number(first)) return null;
    if (Number(last) - Number(first) + places.length > MOST_PLACES) return null;
    for (let i = Number(first); i <= Number(last); i++) places.push(i);
  }
  return places;
}

function channelsOf(text: string): Surgery {
  const [place, rest] = assignment(text);
  const [, name, axis] = /^(.+?)(?:@(-?\d+))?$/.exec(place)!;
  const [, count, how] = /^([1-9]\d*)(?::(scale|zeros|mean))?$/.exec(rest) ?? [];
  if (count === undefined) throw wrong(text, "NAME=N, NAME=N:zeros or NAME@AXIS=N:mean");
  return {
    do: "channels",
    name: name!,
    count: Number(count),
    ...(axis !== undefined && { axis: Number(axis) }),
    ...(how !== undefined && { how: how as NonNullable<Step<"channels">["how"]> }),
  };
}

function vocabularyOf(text: string): Surgery {
  const how = "NAME@AXIS=OLD,NEW or NAME@AXIS=OLD,NEW,FILL";
  const [place, rest] = assignment(text);
  const [name, axis] = axisOf(place, how);
  const [oldFile, newFile, fill, more] = rest.split(",");
  if (!oldFile || !newFile || more !== undefined) throw wrong(text, how);
  return {
    do: "vocabulary",
    name,
    axis,
    oldFile,
    newFile,
    ...(fill !== undefined && { fill: freshOf(fill) }),
  };
}

function freshOf(text: string): NewEntries {
  if (text === "zeros") return 0;
  if (text === "mean") return "mean";
  const [, seed, stddev] = /^normal:(\d+)(?::([\d.e+-]+))?$/.exec(text) ?? [];
  const wide = stddev === undefined ? undefined : Number(stddev);
  if (seed === undefined || (wide !== undefined && !(wide >= 0)))
    throw wrong(text, "zeros, mean, normal:SEED or normal:SEED:STDDEV");
  return { seed: Number(seed), ...(wide !== undefined && { stddev: wide }) };
}

function gatesOf(text: string): Surgery {
  const [name, rest] = assignment(text);
  const [from, to, more] = rest.split(",");
  if (from === undefined || to === undefined || more !== undefined) throw wrong(text, "SCOPE=FROM,TO");
  return { do: "gates", name, from: formOf(from), to: formOf(to) };
}

function formOf(text: string): RnnForm {
  const [, form, bias] = /^(tf1|keras|pytorch)(?::(-?[\d.]+))?$/.exec(text) ?? [];
  const forgetBias = bias === undefined ? undefined : Number(bias);
  if (form === undefined || Number.isNaN(forgetBias) || (bias !== undefined && form !== "tf1"))
    throw wrong(text, "tf1, tf1:FORGET_BIAS, keras or pytorch");
  return { form: form as RnnForm["form"], ...(forgetBias !== undefined && { forgetBias }) };
}

/** @file Numbers, sizes and shapes as the page writes them. Start at `count`. */

import type { Shape } from "../base/index.ts";

/** 12345 as 12,345. */
export const count = (n: number): string => n.toLocaleString("en-US");

/** 2600000 as 2.6 M. */
export function short(n: number): string {
  const units = ["", " K", " M", " G", " T"];
  let [x, unit] = [n, 0];
  while (x >= 999.5 && unit < units.length - 1) {
    x /= 1000;
    unit++;
  }
  return `${unit === 0 || x >= 99.95 ? Math.round(x) : x.toFixed(x < 9.995 ? 2 : 1)}${units[unit]}`;
}

/** 4936 as 4.8 KiB. */
export function bytes(n: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let [x, unit] = [n, 0];
  while (x >= 1024 && unit < units.length - 1) {
    x /= 1024;
    unit++;
  }
  return `${unit === 0 ? x : x.toFixed(x < 10 ? 1 : 0)} ${units[unit]}`;
}

/** A number in four digits. */
export function number(x: number | bigint): string {
  if (typeof x === "bigint" || !Number.isFinite(x)) return String(x);
  const size = Math.abs(x);
  if (Number.isInteger(x) && size < 1e7) return String(x).replace("-", "−");
  const text = size >= 1e-3 && size < 1e5 ? String(Number(x.toPrecision(4))) : x.toExponential(2);
  return text.replaceAll("-", "−").replace("e+", "e");
}

/** 3 × 3 × 1 × 32; "scalar"; "?" where nothing is known. */
export function shape(dims: Shape | null): string {
  if (dims === null) return "?";
  return dims.length === 0 ? "scalar" : dims.map((d) => d ?? "?").join("×");
}

/** "1 tensor", "2 tensors". */
export const plural = (n: number, what: string): string => `${count(n)} ${what}${n === 1 ? "" : "s"}`;

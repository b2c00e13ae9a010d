/**
 * @file Devices: `/job:worker/replica:0/task:1/device:GPU:0` as text and as fields, merged field by field, and functions that choose one.
 * Start at `DeviceSpec`.
 *
 * @see TensorFlow python/framework/device_spec.py, device.py; python/framework/ops.py "_UserDeviceSpec"
 */

import { VarscopeError } from "../base/index.ts";
import type { Operation } from "./operation.ts";

/** Fields of a device; those that are absent are left open. */
export interface DeviceSpec {
  readonly job?: string;
  readonly replica?: number;
  readonly task?: number;
  /** as `GPU` */
  readonly deviceType?: string;
  readonly deviceIndex?: number;
}

/** Chooses the device of a new op, which has its inputs, attributes and shapes; its `device` is what inner scopes chose. "": none. */
export type DeviceFunction = (op: Operation) => string | DeviceSpec;

/** A device scope: text, fields, or a function that chooses. */
export type Device = string | DeviceSpec | DeviceFunction;

/** Types that may stand without `device:`. */
const TYPES: ReadonlySet<string> = new Set(["CPU", "GPU", "TPU", "CUSTOM", "EPU"]);

/**
 * Fields of `/job:ps/task:1/cpu:0`.
 *
 * @throws VarscopeError INVALID_ARGUMENT - an unknown attribute, two device types, or no number where one must be
 */
export function parseDevice(text: string): DeviceSpec {
  let spec: DeviceSpec = {};
  for (const part of text.split("/").filter((p) => p !== "")) {
    const fields = parsePart(part, text);
    if (spec.deviceType !== undefined && fields.deviceType !== undefined)
      fail(`Multiple device types are not allowed while parsing the device spec: ${text}.`);
    spec = { ...spec, ...fields };
  }
  return spec;
}

function parsePart(part: string, text: string): DeviceSpec {
  const [key, first, second, ...more] = part.split(":");
  if (more.length > 0) return unknown(key!, text);
  if (key === "device" && second !== undefined) return typeAndIndex(first!, second, text);
  if (second !== undefined) return unknown(key!, text);
  if (TYPES.has(key!.toUpperCase())) return typeAndIndex(key!.toUpperCase(), first ?? "*", text);
  if (first === undefined) return unknown(key!, text);
  if (key === "job") return { job: first };
  if (key === "replica") return { replica: number(first, text) };
  if (key === "task") return { task: number(first, text) };
  return unknown(key!, text);
}

function typeAndIndex(type: string, index: string, text: string): DeviceSpec {
  // lower case of these two alone is old usage
  const deviceType = type === "cpu" || type === "gpu" ? type.toUpperCase() : type;
  return index === "*" ? { deviceType } : { deviceType, deviceIndex: number(index, text) };
}

function number(digits: string, text: string): number {
  if (/^\d+$/.test(digits)) return Number(digits);
  return fail(`invalid literal for int() with base 10: '${digits}'`, text);
}

const unknown = (key: string, text: string): never =>
  fail(`Unknown attribute '${key}' is encountered while parsing the device spec: '${text}'.`);

function fail(what: string, at?: string): never {
  throw new VarscopeError("INVALID_ARGUMENT", what, at === undefined ? {} : { at });
}

/** The text of a device: an index that is open is `*`. */
export function formatDevice({ job, replica, task, deviceType, deviceIndex }: DeviceSpec): string {
  const jobs = job === undefined ? "" : `/job:${job}`;
  const replicas = replica === undefined ? "" : `/replica:${replica}`;
  const tasks = task === undefined ? "" : `/task:${task}`;
  return `${jobs}${replicas}${tasks}${deviceType === undefined ? "" : `/device:${deviceType}:${deviceIndex ?? "*"}`}`;
}

const fieldsOf = (device: string | DeviceSpec): DeviceSpec =>
  typeof device === "string" ? parseDevice(device) : device;

/** Devices as one text: of two that name a field, the later one counts. */
export const mergeDevices = (devices: readonly (string | DeviceSpec)[]): string =>
  formatDevice(Object.assign({}, ...devices.map(fieldsOf)));

/** Gives an op the device of the scopes that are open, outermost first: a function replaces what the scopes inside it chose, all else fills in. */
export function applyDevices(op: Operation, scopes: readonly Device[]): void {
  for (const scope of scopes.toReversed()) {
    if (typeof scope !== "function") op.device = mergeDevices([scope, op.device]);
    else {
      const chosen = scope(op);
      op.device = typeof chosen === "string" ? chosen : formatDevice(chosen);
    }
  }
}

/** @file Device strings: `/job:worker/replica:0/task:1/device:GPU:0`, parsed and merged field by field. */

import { VarscopeError } from "../base/index.ts";

interface DeviceSpec {
  job?: string;
  replica?: string;
  task?: string;
  device?: string;
}

function parseDevice(text: string): DeviceSpec {
  const spec: DeviceSpec = {};
  for (const part of text.split("/").filter((p) => p !== "")) {
    const [key, ...rest] = part.split(":");
    const lower = key!.toLowerCase();
    if (lower === "job" || lower === "replica" || lower === "task") spec[lower] = rest.join(":");
    else if (lower === "device")
      spec.device = rest.length === 1 ? `${rest[0]!.toUpperCase()}:*` : rest.join(":");
    else if (lower === "cpu" || lower === "gpu") spec.device = `${lower.toUpperCase()}:${rest[0] ?? "*"}`;
    else
      throw new VarscopeError(
        "INVALID_ARGUMENT",
        `Unknown attribute '${part}' is encountered while parsing the device spec '${text}'`,
      );
  }
  return spec;
}

/** The devices of nested scopes as one string; inner fields win. */
export function mergeDevices(devices: readonly string[]): string {
  const spec: DeviceSpec = Object.assign({}, ...devices.map(parseDevice));
  const fields = (["job", "replica", "task", "device"] as const).filter((k) => spec[k] !== undefined);
  return fields.map((k) => `/${k}:${spec[k]}`).join("");
}

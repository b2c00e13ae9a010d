/** @file What is inside a container: variables with role and layer, totals, the graph's face. Start at `inspect`. */

import { type DType, type Shape, sizeOrNull, VarscopeError } from "../base/index.ts";
import type { Format } from "../formats/collection/index.ts";
import { type Role, roleOf } from "../formats/collection/index.ts";
import { type Container, openContainer } from "./container.ts";
import type { GraphFacts } from "./graph-facts.ts";
import { type Stats, statsOf } from "./stats.ts";

export interface InspectOptions {
  /** statistics of each tensor, which reads all values: false */
  readonly stats?: boolean;
  /** only variables whose name has this in it */
  readonly filter?: RegExp;
  readonly signal?: AbortSignal;
}

export interface VariableFacts {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: Shape | null;
  readonly bytes: number;
  readonly role: Role;
  readonly layer: string;
  /** where asked; not of strings */
  readonly stats?: Stats;
}

export interface Totals {
  readonly tensors: number;
  /** elements of all tensors */
  readonly parameters: number;
  readonly bytes: number;
  /** elements by role */
  readonly byRole: { readonly [role: string]: number };
  /** elements by dtype */
  readonly byDtype: { readonly [dtype: string]: number };
}

/** What `varscope inspect --json` prints. */
export interface Inspection {
  readonly path: string;
  readonly format: Format;
  /** sorted by name, bytewise */
  readonly variables: readonly VariableFacts[];
  readonly totals: Totals;
  readonly graph?: GraphFacts;
}

/**
 * Looks into the container at `path`.
 *
 * @throws VarscopeError as `openContainer`; FAILED_PRECONDITION - statistics of a graph whose values are nowhere
 */
export async function inspect(path: string, options: InspectOptions = {}): Promise<Inspection> {
  const container = await openContainer(path);
  try {
    return await inspectContainer(container, options);
  } finally {
    await container.close();
  }
}

/** The same of an open container. */
export async function inspectContainer(
  container: Container,
  options: InspectOptions = {},
): Promise<Inspection> {
  const { stats = false, filter, signal } = options;
  const shapes = new Map(container.variables.map((v) => [v.name, v.shape]));
  const variables: VariableFacts[] = [];
  for (const { name, dtype, shape, bytes } of container.variables) {
    if (filter !== undefined && !filter.test(name)) continue;
    if (signal?.aborted) throw new VarscopeError("CANCELLED", "inspecting was aborted", { at: name });
    const { role, layer } = roleOf(name, shape, (other) => shapes.get(other));
    const facts = { name, dtype, shape, bytes, role, layer };
    const numbers = stats
      ? statsOf(await container.read(name, signal === undefined ? {} : { signal }))
      : null;
    variables.push(numbers === null ? facts : { ...facts, stats: numbers });
  }
  const result = { path: container.path, format: container.format, variables, totals: totalsOf(variables) };
  if (container.graph === null) return result;
  const { graphFacts } = await import("./graph-facts.ts");
  return { ...result, graph: graphFacts(container.graph) };
}

function totalsOf(variables: readonly VariableFacts[]): Totals {
  const byRole: Record<string, number> = {};
  const byDtype: Record<string, number> = {};
  let [parameters, bytes] = [0, 0];
  for (const v of variables) {
    const elements = sizeOrNull(v.shape) ?? 0;
    parameters += elements;
    bytes += v.bytes;
    byRole[v.role] = (byRole[v.role] ?? 0) + elements;
    byDtype[v.dtype] = (byDtype[v.dtype] ?? 0) + elements;
  }
  return { tensors: variables.length, parameters, bytes, byRole, byDtype };
}

/** @file Momentum and epsilon of batch normalizations, from the model that a Keras file describes. Start at `kerasNorms`. */

/** What is known of a normalization. */
export interface KnownNorm {
  readonly momentum?: number;
  readonly epsilon?: number;
}

/** Layers that a config may nest. */
const DEEPEST = 64;

/** By layer's name; empty where the config is none. Nothing in it is run. */
export function kerasNorms(config: string | undefined): Map<string, KnownNorm> {
  const found = new Map<string, KnownNorm>();
  if (config === undefined) return found;
  const visit = (x: unknown, depth: number): void => {
    if (typeof x !== "object" || x === null || depth > DEEPEST) return;
    const layer = x as {
      class_name?: unknown;
      config?: { name?: unknown; momentum?: unknown; epsilon?: unknown };
    };
    const { name, momentum, epsilon } = layer.config ?? {};
    if (/BatchNormalization/.test(String(layer.class_name)) && typeof name === "string") {
      found.set(name, {
        ...(typeof momentum === "number" ? { momentum } : {}),
        ...(typeof epsilon === "number" ? { epsilon } : {}),
      });
    }
    for (const part of Object.values(x)) visit(part, depth + 1);
  };
  try {
    visit(JSON.parse(config), 0);
  } catch {
    return new Map(); // what the file cannot say is not known
  }
  return found;
}

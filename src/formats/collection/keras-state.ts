/**
 * @file State of Keras's optimizers by names alone, as it stands in containers that know nothing of Keras: .npz, safetensors,
 * checkpoints by name. Start at `kerasState`.
 *
 * @see Keras src/optimizers/base_optimizer.py `add_variable_from_reference`: a slot's name is `<path with _ for />_<slot>`
 */

import { sameShape } from "../../base/index.ts";
import type { StoredVariable } from "./collection.ts";
import type { Place } from "./roles.ts";

/** Name of an optimizer in a variable's path, without its number -> its class. */
const CLASSES: Readonly<Record<string, string>> = {
  adam: "Adam",
  adam_w: "AdamW",
  adamw: "AdamW",
  nadam: "Nadam",
  adamax: "Adamax",
  lamb: "Lamb",
  sgd: "SGD",
  lion: "Lion",
  rm_sprop: "RMSprop",
  rmsprop: "RMSprop",
  adagrad: "Adagrad",
  adadelta: "Adadelta",
  ftrl: "Ftrl",
};

/** Keras 3's word for a slot -> Keras 2's. */
const WORDS: Readonly<Record<string, string>> = {
  momentum: "m",
  velocity: "v",
  velocity_hat: "vhat",
  norm: "v",
  accumulator: "accumulator",
  linear: "linear",
  average_gradient: "mg",
  accumulated_grad: "accum_grad",
  accumulated_delta_var: "accum_var",
};
const OWN_WORDS: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  SGD: { momentum: "momentum" },
  Lion: { momentum: "m" },
  RMSprop: { velocity: "rms", momentum: "momentum" },
};

const KERAS3 = /^([a-z_]+?)(?:_\d+)?\/([^/]+)$/;
/** `velocity_hat` before `velocity`: the longer word first. */
const SLOT =
  /^(.+?)_(velocity_hat|velocity|momentum|norm|accumulator|linear|average_gradient|accumulated_grad|accumulated_delta_var|average)$/;
/** Later optimizers of Keras 2 in .h5: `Adam/m/dense/kernel`. */
const KERAS2 =
  /^(Adam|AdamW|Nadam|Adamax|SGD|RMSprop|Adagrad|Adadelta|Ftrl)(?:_\d+)?\/(m|v|vhat|u|momentum|rms|mg|accumulator|linear)\/(.+)$/;

/** Places of the variables that are some Keras optimizer's state, by name. */
export function kerasState(variables: readonly StoredVariable[]): Map<string, Place> {
  const found = new Map<string, Place>();
  let flat: Map<string, StoredVariable | null> | undefined;
  const owner = (flatName: string): StoredVariable | null | undefined => {
    if (flat === undefined) {
      flat = new Map();
      // Two variables of one flat name are no owner of anything.
      for (const v of variables) {
        const name = v.name.replaceAll("/", "_");
        flat.set(name, flat.has(name) ? null : v);
      }
    }
    return flat.get(flatName);
  };
  for (const v of variables) {
    if (v.role !== undefined) continue;
    const place = keras3Place(v, owner) ?? keras2Place(v, owner);
    if (place !== undefined) found.set(v.name, place);
  }
  return found;
}

type Owner = (flatName: string) => StoredVariable | null | undefined;

function keras3Place(v: StoredVariable, owner: Owner): Place | undefined {
  const [, scope = "", last = ""] = KERAS3.exec(v.name) ?? [];
  const optimizer = Object.hasOwn(CLASSES, scope) ? CLASSES[scope]! : undefined;
  if (optimizer === undefined) return undefined;
  const layer = v.name.slice(0, v.name.indexOf("/"));
  if (last === "iteration" || last === "iterations") return { role: "step", layer, optimizer };
  if (last === "learning_rate") return { role: "other", layer, optimizer };
  const [, flat = "", word = ""] = SLOT.exec(last) ?? [];
  const of = owner(flat);
  if (of === undefined || of === null || !sameShape(of.shape, v.shape)) return undefined;
  const place = { layer: scopeOf(of.name), of: of.name, optimizer };
  if (word === "average") return { role: "ema", ...place };
  return { role: "slot", ...place, slot: OWN_WORDS[optimizer]?.[word] ?? WORDS[word]! };
}

function keras2Place(v: StoredVariable, owner: Owner): Place | undefined {
  const [, optimizer, slot, name] = KERAS2.exec(v.name) ?? [];
  if (optimizer === undefined || slot === undefined || name === undefined) return undefined;
  const of = owner(name.replaceAll("/", "_"));
  if (of?.name !== name || !sameShape(of.shape, v.shape)) return undefined;
  return { role: "slot", layer: scopeOf(name), of: name, optimizer, slot: slot === "u" ? "v" : slot };
}

const scopeOf = (name: string): string => name.slice(0, Math.max(0, name.lastIndexOf("/")));

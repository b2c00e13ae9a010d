/** @file Rules of the container: shards, checksums, layouts of Keras. */

import type { Unreadable } from "./examine.ts";
import type { Patient } from "./patient.ts";
import { counted, type Found, listed, quoted, type Rule } from "./rule.ts";

const repairCommand = ({ path }: Patient): string => `varscope repair ${quoted(path)} OUT`;
const namesOf = (all: readonly Unreadable[]): string[] => all.map((u) => u.variable.name);

const isMissing = (u: Unreadable): boolean => u.error.code === "NOT_FOUND";
const isChecksum = (u: Unreadable): boolean =>
  u.error.code === "DATA_LOSS" && /checksum|crc/i.test(u.error.what);

function* shards(p: Patient): Generator<Found> {
  const lost = p.unreadable.filter(isMissing);
  if (lost.length === 0) return;
  const files = [...new Set(lost.map((u) => (u.error.at ?? "").replace(/@\d+$/, "")))];
  yield {
    variables: namesOf(lost),
    value: lost.length,
    message: `${counted(files.length, "data file")} missing (${listed(files)}): ${lost.length} of ${counted(p.variables.length, "tensor")} cannot be read, and a restore fails as a whole`,
    repair: `${repairCommand(p)}  # saves the others; or copy the file beside the index`,
  };
}

function* checksums(p: Patient): Generator<Found> {
  const wrong = p.unreadable.filter(isChecksum);
  if (wrong.length === 0) return;
  yield {
    variables: namesOf(wrong),
    value: wrong.length,
    message: `${counted(wrong.length, "tensor")} of ${p.variables.length} with a wrong checksum (${listed(namesOf(wrong))}): their bytes have changed since they were written; a restore fails as a whole`,
    repair: `${repairCommand(p)}  # saves the others`,
  };
}

/** Positions of input pipelines, and what is not read yet: no damage. */
const isNoArray = (u: Unreadable): boolean =>
  u.error.code === "UNIMPLEMENTED" || ["variant", "resource"].includes(u.variable.dtype);

function* unreadable(p: Patient): Generator<Found> {
  const rest = p.unreadable.filter((u) => !isMissing(u) && !isChecksum(u));
  if (rest.length === 0) return;
  const [first] = rest;
  yield {
    variables: namesOf(rest),
    value: rest.length,
    severity: rest.every(isNoArray) ? "info" : "error",
    message: `${counted(rest.length, "tensor")} of ${p.variables.length} cannot be read (${listed(namesOf(rest))}): ${first!.error.what}`,
    repair: `${repairCommand(p)}  # saves the others`,
  };
}

const KERAS_2 = /(^|\/)layer_with_weights-\d+\//;
const KERAS_3_HIDDEN = /^optimizer\/_(trainable_)?variables\/\d+\//;

function* keras2(p: Patient): Generator<Found> {
  const keys = p.variables.filter((v) => KERAS_2.test(v.key));
  if (keys.length === 0) return;
  yield {
    variables: keys.map((v) => v.name),
    value: keys.length,
    message: `an object-based checkpoint of Keras 2 (${keys[0]!.key}): Keras 3 restores nothing of it and says nothing`,
    repair: `varscope convert ${quoted(p.path)} OUT.keras  # or OUT.weights.h5, for load_weights of Keras 3`,
  };
}

function* keras3(p: Patient): Generator<Found> {
  const hidden = p.variables.filter(
    (v) => KERAS_3_HIDDEN.test(v.key) && !["slot", "step"].includes(v.role) && v.optimizer === undefined,
  );
  if (hidden.length === 0) return;
  yield {
    variables: hidden.map((v) => v.name),
    value: hidden.length,
    message: `${counted(hidden.length, "weight")} of the model stored under optimizer/ (${hidden[0]!.key}), as Keras 3 does: whoever drops optimizer/ to save space deletes the model`,
    repair: `varscope edit ${quoted(p.path)} OUT --drop-slots  # drops the optimizer's state alone`,
  };
}

export const CONTAINER_RULES: readonly Rule[] = [
  {
    id: "shard-missing",
    severity: "error",
    needs: "file",
    finds: "data files that the index names and that are not there",
    threshold: "any",
    check: shards,
  },
  {
    id: "checksum-wrong",
    severity: "error",
    needs: "file",
    finds: "tensors whose bytes have changed since they were written",
    threshold: "CRC-32C or CRC-32 of the container, tensor by tensor; the others are still examined",
    check: checksums,
  },
  {
    id: "tensor-unreadable",
    severity: "error",
    needs: "file",
    finds: "tensors that cannot be read for another reason, and containers that do not open",
    threshold:
      "any; what varscope does not read yet is info, and so are variants, which hold the positions of input pipelines",
    check: unreadable,
  },
  {
    id: "keras2-layout",
    severity: "info",
    needs: "file",
    finds: "object-based checkpoints of Keras 2, which Keras 3 ignores in silence",
    threshold: "keys with layer_with_weights-N",
    check: keras2,
  },
  {
    id: "keras3-hidden-weights",
    severity: "info",
    needs: "file",
    finds: "weights that Keras 3 stores under optimizer/",
    threshold: "keys optimizer/_trainable_variables/N of variables that are no slots",
    check: keras3,
  },
];

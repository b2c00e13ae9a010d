import { describe, expect, test } from "vitest";
import { roleOf } from "./roles.ts";

const none = (): undefined => undefined;
const place = (name: string, siblings: readonly string[] = []) =>
  roleOf(name, [3], (other) => (siblings.includes(other) ? [3] : undefined));

describe("roles of TensorFlow 1's names", () => {
  test.each([
    ["net/conv1/kernel", { role: "weight", layer: "net/conv1" }],
    ["conv1/BatchNorm/moving_variance", { role: "moving-variance", layer: "conv1/BatchNorm" }],
    ["bn/gamma", { role: "gamma", layer: "bn" }],
    ["w/Adam", { role: "slot", layer: "", of: "w", slot: "m", optimizer: "Adam" }],
    ["d/w/Adam_1", { role: "slot", layer: "d", of: "d/w", slot: "v", optimizer: "Adam" }],
    ["d/w/Adam_2", { role: "slot", layer: "d", of: "d/w", slot: "m", optimizer: "Adam" }],
    ["d/w/Momentum", { role: "slot", layer: "d", of: "d/w", slot: "momentum", optimizer: "Momentum" }],
    ["d/w/RMSProp_1", { role: "slot", layer: "d", of: "d/w", slot: "momentum", optimizer: "RMSProp" }],
    ["d/w/Ftrl_1", { role: "slot", layer: "d", of: "d/w", slot: "linear", optimizer: "Ftrl" }],
    ["beta1_power", { role: "slot", layer: "", optimizer: "Adam" }],
    ["d/w/ExponentialMovingAverage", { role: "ema", layer: "d", of: "d/w" }],
    ["global_step", { role: "step", layer: "" }],
    [
      "Adam/dense/kernel/v",
      { role: "slot", layer: "dense", of: "dense/kernel", slot: "v", optimizer: "Adam" },
    ],
  ])("%s", (name, want) => expect(roleOf(name, [3], none)).toEqual(want));

  test("a centered RMSProp's second slot is the mean of gradients", () => {
    const siblings = ["w/RMSProp", "w/RMSProp_1", "w/RMSProp_2"];
    expect(siblings.map((name) => place(name, siblings).slot)).toEqual(["rms", "mg", "momentum"]);
  });
});

import { expect, test } from "vitest";
import { zeros } from "../../base/index.ts";
import { collectionOf } from "./collection.ts";

const placesOf = (names: Record<string, readonly number[]>) => {
  const variables = Object.entries(names).map(([name, shape]) => ({
    name,
    dtype: "float32" as const,
    shape,
    bytes: 0,
    read: async () => zeros("float32", shape),
  }));
  const found = collectionOf({ path: "x", format: "npz", variables }).variables;
  return Object.fromEntries(
    found.map(({ name, role, layer, of, slot, optimizer }) => [name, { role, layer, of, slot, optimizer }]),
  );
};

test("Keras 3's state is known by names", () => {
  const places = placesOf({
    "sequential/dense_1/kernel": [2, 3],
    "adam_2/iteration": [],
    "adam_2/learning_rate": [],
    "adam_2/sequential_dense_1_kernel_momentum": [2, 3],
    "adam_2/sequential_dense_1_kernel_velocity": [2, 3],
    "adam_2/sequential_dense_1_kernel_velocity_hat": [2, 3],
    "adam_2/sequential_dense_1_kernel_average": [2, 3],
    "rm_sprop/sequential_dense_1_kernel_velocity": [2, 3],
  });
  const of = { layer: "sequential/dense_1", of: "sequential/dense_1/kernel" };
  expect(places["adam_2/iteration"]).toMatchObject({ role: "step", optimizer: "Adam" });
  expect(places["adam_2/learning_rate"]).toMatchObject({ role: "other", optimizer: "Adam" });
  expect(places["adam_2/sequential_dense_1_kernel_momentum"]).toEqual({
    role: "slot",
    ...of,
    slot: "m",
    optimizer: "Adam",
  });
  expect(places["adam_2/sequential_dense_1_kernel_velocity"]).toMatchObject({ slot: "v" });
  expect(places["adam_2/sequential_dense_1_kernel_velocity_hat"]).toMatchObject({ slot: "vhat" });
  expect(places["adam_2/sequential_dense_1_kernel_average"]).toMatchObject({ role: "ema", ...of });
  expect(places["rm_sprop/sequential_dense_1_kernel_velocity"]).toMatchObject({
    slot: "rms",
    optimizer: "RMSprop",
  });
});

test("later optimizers of Keras 2, too", () => {
  const places = placesOf({ "dense/kernel": [2], "Adam/m/dense/kernel": [2], "Adam/v/other/kernel": [2] });
  expect(places["Adam/m/dense/kernel"]).toEqual({
    role: "slot",
    layer: "dense",
    of: "dense/kernel",
    slot: "m",
    optimizer: "Adam",
  });
  expect(places["Adam/v/other/kernel"]).toMatchObject({ role: "weight" });
});

test("what only looks like it is not taken for it", () => {
  const places = placesOf({
    "adam/x_momentum": [2],
    x: [3],
    "a/b_c": [2],
    "a_b/c": [2],
    "adam/a_b_c_velocity": [2],
    "eve/learning_rate": [],
  });
  expect(places["adam/x_momentum"]!.role).toBe("other");
  expect(places["adam/a_b_c_velocity"]!.role).toBe("other");
  expect(places["eve/learning_rate"]!.optimizer).toBeUndefined();
});

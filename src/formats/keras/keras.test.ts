import { createHash } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { afterAll, describe, expect, test } from "vitest";
import { bytesOf, isVarscopeError, sizeOf } from "../../base/index.ts";
import { bytesSource, fileSource, type Source } from "../../platform/node.ts";
import { contentsOf, type VariableCollection } from "../collection/index.ts";
import { openKerasArchive, openKerasH5File, writeKerasH5, writeKerasV3, writeKerasWeights } from "./index.ts";

const GOLDENS = new URL("../../../tests/goldens/keras-files/", import.meta.url);

interface Fact {
  readonly dtype: string;
  readonly shape: readonly number[];
  /** the first 16 digits */
  readonly sha1: string;
}

const manifest = JSON.parse(readFileSync(new URL("manifest.json", GOLDENS), "utf8")) as {
  files: Record<string, { format: string; variables: Record<string, Fact> }>;
  broken: Record<string, string>;
};
const folder = mkdtempSync(join(tmpdir(), "varscope-keras-"));
afterAll(() => rmSync(folder, { recursive: true }));

const bytesNamed = (name: string): Uint8Array => gunzipSync(readFileSync(new URL(`${name}.gz`, GOLDENS)));
const openSource = (source: Source, name: string): Promise<VariableCollection> =>
  name.endsWith(".keras") ? openKerasArchive(source, name) : openKerasH5File(source, name);
const opened = (name: string): Promise<VariableCollection> =>
  openSource(bytesSource(bytesNamed(name), name), name);

async function factsOf(collection: VariableCollection): Promise<Record<string, Fact>> {
  const facts: Record<string, Fact> = {};
  for (const { name, dtype, shape } of collection.variables) {
    if (dtype === "string") continue;
    const digest = createHash("sha1").update(bytesOf(await collection.read(name)));
    facts[name] = { dtype, shape: shape as readonly number[], sha1: digest.digest("hex").slice(0, 16) };
  }
  return facts;
}

/** What Keras says, less what is not there: metrics' state is in files of Keras 2 alone. */
const withoutMetrics = (facts: Record<string, Fact>): Record<string, Fact> =>
  Object.fromEntries(Object.entries(facts).filter(([name]) => !name.startsWith("metrics/")));

describe.each(Object.entries(manifest.files).filter(([name]) => name !== "lambda.keras"))(
  "%s",
  (name, { format, variables }) => {
    test("has Keras's names, dtypes, shapes and values", async () => {
      const collection = await opened(name);
      expect(collection.format).toBe(format);
      expect(withoutMetrics(await factsOf(collection))).toEqual(variables);
      await collection.close();
    });

    test("comes back the same from the file that we write of it", async () => {
      const collection = await opened(name);
      const path = join(folder, name);
      const write = {
        "keras-v3": writeKerasV3,
        "keras-weights": writeKerasWeights,
        "keras-h5": writeKerasH5,
      }[format]!;
      expect(await write(path, contentsOf(collection))).toEqual({ left: [] });
      const again = await openSource(fileSource(path), name);
      expect(again.variables).toEqual(collection.variables);
      expect(await factsOf(again)).toEqual(await factsOf(collection));
      expect(again.extras.kerasConfig).toEqual(collection.extras.kerasConfig);
      expect(again.extras.kerasTraining).toEqual(collection.extras.kerasTraining);
      await again.close();
      await collection.close();
    });
  },
);

describe("roles", () => {
  test("slots, averages and counters of an optimizer are tied to their variables", async () => {
    for (const name of ["functional.keras", "functional.weights.h5", "functional.h5"]) {
      const collection = await opened(name);
      const facts = (n: string) => {
        const { role, layer, of, slot, optimizer } = collection.find(n);
        return { role, layer, of, slot, optimizer };
      };
      const of = "bi/forward_lstm/lstm_cell/kernel";
      const common = { layer: "bi/forward_lstm/lstm_cell", of, optimizer: "Adam" };
      expect(facts("adam/bi_forward_lstm_lstm_cell_kernel_momentum")).toEqual({
        ...common,
        role: "slot",
        slot: "m",
      });
      expect(facts("adam/bi_forward_lstm_lstm_cell_kernel_velocity")).toEqual({
        ...common,
        role: "slot",
        slot: "v",
      });
      expect(facts("adam/bi_forward_lstm_lstm_cell_kernel_average")).toMatchObject({
        ...common,
        role: "ema",
      });
      expect(facts("adam/iteration")).toMatchObject({ role: "step", optimizer: "Adam" });
      expect(facts("adam/learning_rate")).toMatchObject({ role: "other", optimizer: "Adam" });
      expect(facts("bn_noscale/beta")).toMatchObject({ role: "beta", layer: "bn_noscale" });
      expect(facts("bn1/moving_variance")).toMatchObject({ role: "moving-variance" });
      await collection.close();
    }
  });

  test("Keras 2's slots have the same words", async () => {
    const words = async (name: string) => {
      const collection = await opened(name);
      return collection.variables.filter((v) => v.of === "conv1/kernel").map((v) => [v.name, v.slot]);
    };
    expect(await words("keras2.h5")).toEqual([
      ["Adam/m/conv1/kernel", "m"],
      ["Adam/v/conv1/kernel", "v"],
    ]);
    expect(await words("keras2.keras")).toEqual(await words("keras2.h5"));
    expect(await words("keras2-old-optimizer.h5")).toEqual([
      ["RMSprop/conv1/kernel/momentum", "momentum"],
      ["RMSprop/conv1/kernel/rms", "rms"],
    ]);
  });

  test.each([
    ["adam-amsgrad", ["momentum m", "velocity v", "velocity_hat vhat"]],
    ["rmsprop-centered", ["average_gradient mg", "momentum momentum", "velocity rms"]],
    ["adadelta", ["accumulated_delta_var accum_var", "accumulated_grad accum_grad"]],
    ["ftrl", ["accumulator accumulator", "linear linear"]],
    ["adamax", ["momentum m", "norm v"]],
    ["lion", ["momentum m"]],
  ])("%s", async (name, want) => {
    const { variables } = await opened(`optimizer-${name}.keras`);
    const found = variables
      .filter((v) => v.of === "a/kernel")
      .map((v) => `${v.name.replace(/^.*a_kernel_/, "")} ${v.slot}`);
    expect(found).toEqual(want);
  });
});

describe("reading a part", () => {
  test.each(["g/gzip", "g/tall", "g/plain"])("of %s gives what the whole has there", async (name) => {
    const collection = await opened("arrays.h5");
    const whole = await collection.read(name);
    const [rows, columns] = whole.shape as [number, number];
    const box = { start: [rows - 7, 1], size: [5, columns - 1] };
    const part = await collection.readBox(name, box);
    const data = whole.data as Float32Array;
    const want = Array.from({ length: sizeOf(box.size) }, (_, i) => {
      const row = box.start[0]! + Math.floor(i / (columns - 1));
      return data[row * columns + 1 + (i % (columns - 1))];
    });
    expect([...(part.data as Float32Array)]).toEqual(want);
    const streamed: number[] = [];
    for await (const t of collection.stream(name)) streamed.push(...(t.data as Float32Array));
    expect(streamed).toEqual([...data]);
    await collection.close();
  });

  test("strings", async () => {
    const collection = await opened("arrays.h5");
    const text = (await collection.read("g/text")).data as readonly Uint8Array[];
    expect(text.map((s) => new TextDecoder().decode(s))).toEqual(["a", "bcd"]);
  });

  test("reads little of a large file, and that past the library", async () => {
    const values = { dtype: "float32", shape: [4096, 4096], role: "weight" } as const; // 64 MiB
    const zeros = new Float32Array(1 << 20);
    const path = join(folder, "large.h5");
    const variable = (name: string) => ({
      ...values,
      name,
      async *values() {
        for (let i = 0; i < 16; i++)
          yield { dtype: "float32" as const, shape: [1 << 20], data: zeros.map((_, j) => j + i) };
      },
    });
    await writeKerasH5(path, { variables: [variable("a/kernel"), variable("b/kernel")] });
    let read = 0;
    const file = fileSource(path);
    const counting: Source = {
      ...file,
      read: (offset, length) => {
        read += length;
        return file.read(offset, length);
      },
      readInto: (offset, target) => {
        read += target.length;
        return file.readInto(offset, target);
      },
    };
    const collection = await openKerasH5File(counting, path);
    expect(read).toBeLessThan(1 << 20);
    const box = { start: [1000, 0], size: [1, 4096] };
    const row = await collection.readBox("b/kernel", box);
    expect((row.data as Float32Array)[5]).toBe(
      ((1000 * 4096 + 5) % (1 << 20)) + Math.floor((1000 * 4096) / (1 << 20)),
    );
    expect(read).toBeLessThan(2 << 20);
    await collection.close();
  });
});

describe("broken and hostile files", () => {
  test.each(Object.entries(manifest.broken))("%s", async (name, message) => {
    const e = await opened(name).catch((e: unknown) => e);
    expect((e as Error).message).toBe(message);
  });

  test.each([
    ["deep.h5", "DATA_LOSS"],
    ["outside-values.h5", "PERMISSION_DENIED"],
    ["huge-packed.h5", "DATA_LOSS"],
    ["huge-chunk.h5", "DATA_LOSS"],
    ["garbage.h5", "DATA_LOSS"],
    ["bad-config.keras", "DATA_LOSS"],
  ] as const)("%s is refused with %s", async (name, code) => {
    const work = async () => {
      const collection = await opened(name);
      for (const v of collection.variables) await collection.read(v.name);
    };
    const e = await work().catch((e: unknown) => e);
    expect(isVarscopeError(e, code), String(e)).toBe(true);
  });

  test("a file cut anywhere, or with any byte changed, gives values or a typed error, and the next file is read", async () => {
    const whole = bytesNamed("sequential.keras");
    const inner = bytesNamed("half.weights.h5");
    let seed = 7;
    const random = (n: number): number => {
      seed = (seed * 1_103_515_245 + 12_345) % 2 ** 31;
      return seed % n;
    };
    for (let i = 0; i < 150; i++) {
      const from = i % 2 === 0 ? whole : inner;
      const bytes = i % 3 === 0 ? from.slice(0, random(from.length)) : from.slice();
      if (i % 3 !== 0) for (let k = 0; k <= random(8); k++) bytes[random(bytes.length)] = random(256);
      const name = i % 2 === 0 ? "m.keras" : "m.h5";
      try {
        const collection = await openSource(bytesSource(bytes, name), name);
        for (const v of collection.variables) await collection.read(v.name).catch(needTyped);
        await collection.close();
      } catch (e) {
        needTyped(e);
      }
    }
    const { variables } = manifest.files["half.weights.h5"]!;
    expect(await factsOf(await opened("half.weights.h5"))).toEqual(variables);
  });

  test("code in a config is text", async () => {
    const collection = await opened("lambda.keras");
    expect(collection.extras.kerasConfig).toContain("__lambda__");
    await collection.close();
  });
});

const needTyped = (e: unknown): void => {
  if (!isVarscopeError(e)) throw e;
};

describe("writing", () => {
  const anything = {
    name: "dense/kernel",
    dtype: "float32" as const,
    shape: [2],
    async *values() {
      yield { dtype: "float32" as const, shape: [2], data: new Float32Array([1, 2]) };
    },
  };

  test("a .keras needs a config", async () => {
    await expect(writeKerasV3(join(folder, "x.keras"), { variables: [anything] })).rejects.toThrow(
      "a .keras needs the model's configuration, which is not here; give a .keras to take it from: --like model.keras",
    );
  });

  test(".weights.h5 needs places", async () => {
    await expect(writeKerasWeights(join(folder, "x.weights.h5"), { variables: [anything] })).rejects.toThrow(
      "dense/kernel have no place in Keras's layout; give a file to take it from: --like model.weights.h5",
    );
  });

  test("an .h5 of names alone has the lists by which Keras loads it", async () => {
    const path = join(folder, "names.h5");
    const names = ["bn/moving_mean", "bn/beta", "bn/gamma", "bn/moving_variance", "global_step"];
    await writeKerasH5(path, { variables: names.map((name) => ({ ...anything, name })) });
    const { extras, variables } = await openKerasH5File(fileSource(path), path);
    expect(extras.kerasAttributes?.get("bn")?.weight_names).toEqual([
      "bn/gamma",
      "bn/beta",
      "bn/moving_mean",
      "bn/moving_variance",
    ]);
    expect(extras.kerasAttributes?.get("")?.layer_names).toEqual(["bn"]);
    expect(variables.map((v) => v.name)).toEqual([...names].sort());
  });

  test("lists beyond a header's size are split, and joined again", async () => {
    const path = join(folder, "many.h5");
    const names = Array.from(
      { length: 3000 },
      (_, i) => `layer/with/a/rather/long/name/${String(i).padStart(5, "0")}/kernel`,
    );
    await writeKerasH5(path, { variables: names.map((name) => ({ ...anything, name })) });
    const { extras, variables } = await openKerasH5File(fileSource(path), path);
    expect(Object.keys(extras.kerasAttributes!.get("layer")!)).toContain("weight_names2");
    expect(variables.map((v) => v.name)).toEqual(names);
  });

  test("what HDF5 lacks is named", async () => {
    const odd = { ...anything, dtype: "float8_e5m2" as const };
    const { left } = await writeKerasH5(join(folder, "odd.h5"), { variables: [odd] });
    expect(left).toEqual([{ what: "dense/kernel", why: "HDF5 has no float8_e5m2" }]);
  });
});

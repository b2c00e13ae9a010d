import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { type Tensor, tensor, toNumbers } from "../base/index.ts";
import { type CursorState, END } from "./cursor.ts";
import { type DataIterator, type Dataset, dataset } from "./dataset.ts";
import { fromTensorSlices } from "./slices.ts";

const golden = JSON.parse(
  readFileSync(new URL("../../tests/goldens/monitored/shuffle.json", import.meta.url), "utf8"),
) as Readonly<Record<string, readonly (readonly number[])[]>>;

const range = (n: number): Dataset<Tensor> =>
  fromTensorSlices(
    tensor(
      Array.from({ length: n }, (_, i) => i),
      "int32",
    ),
  );

async function all(data: DataIterator<Tensor> | Dataset<Tensor>): Promise<number[][]> {
  const out: number[][] = [];
  for await (const x of data) out.push(toNumbers(x));
  return out;
}

const PIPELINES: Readonly<Record<string, () => Dataset<Tensor>>> = {
  whole: () => range(10).shuffle(10, { seed: 7 }),
  small_buffer: () => range(10).shuffle(3, { seed: 7 }),
  large_buffer: () => range(10).shuffle(100, { seed: 5 }),
  repeated: () => range(6).shuffle(4, { seed: 1 }).repeat(3),
  same_each_time: () => range(6).shuffle(4, { seed: 1, reshuffleEachIteration: false }).repeat(3),
  repeat_then_shuffle: () => range(6).repeat(3).shuffle(4, { seed: 2 }),
  batches: () => range(7).shuffle(7, { seed: 3 }).repeat(2).batch(3),
  whole_batches: () => range(7).shuffle(7, { seed: 3 }).batch(3, { dropRemainder: true }).repeat(2),
};

test.each(Object.keys(PIPELINES))("the order is tf.data's: %s", async (name) => {
  expect(await all(PIPELINES[name]!())).toEqual(golden[name]);
});

async function listOf<T>(data: Dataset<T>): Promise<T[]> {
  const out: T[] = [];
  for await (const x of data) out.push(x);
  return out;
}

/** Through JSON, as in a checkpoint. */
const saved = (state: CursorState): CursorState => JSON.parse(JSON.stringify(state));

test.each([
  ...Object.entries(PIPELINES),
  ["unseeded", () => range(9).shuffle(4).repeat(4).batch(2)],
  [
    "unseeded twice",
    () =>
      range(9)
        .shuffle(4)
        .map((x) => x)
        .repeat(3)
        .shuffle(5)
        .batch(2),
  ],
] as const)("an iterator goes on in another process, at each place: %s", async (_, make) => {
  const data = make();
  const whole = await all(data);
  for (let at = 0; at <= whole.length; at++) {
    const first = data.iterator();
    for (let i = 0; i < at; i++) await first.next();
    const second = make().iterator();
    await second.restore(saved(await first.state()));
    expect(await all(second)).toEqual(whole.slice(at));
  }
});

test("a shuffle without end goes on, and each pass has an order of its own", async () => {
  const make = () => range(50).shuffle(50, { seed: 1 }).repeat().batch(50);
  const it = make().iterator();
  const passes: string[] = [];
  for (let i = 0; i < 4; i++) passes.push(toNumbers((await it.next()).value!).join());
  expect(new Set(passes).size).toBe(4);
  const again = make().iterator();
  await again.restore(saved(await it.state()));
  expect(toNumbers((await again.next()).value!)).toEqual(toNumbers((await it.next()).value!));
});

test("a pass is asked for by its number", async () => {
  const data = range(20).shuffle(20, { seed: 1 });
  const both = await all(data.repeat(2));
  expect(await all(data.iterator(1))).toEqual(both.slice(20));
});

test("elements keep their structure; strings, numbers and tensors are stacked", async () => {
  const x = tensor(
    [
      [1, 2],
      [3, 4],
      [5, 6],
    ],
    "float32",
  );
  const names = tensor(["a", "b", "c"]);
  const data = fromTensorSlices({ x, more: [names] }).batch(2);
  const [first, last] = await listOf(data);
  expect(first!.x).toEqual(
    tensor(
      [
        [1, 2],
        [3, 4],
      ],
      "float32",
    ),
  );
  expect(first!.more[0]).toEqual(tensor(["a", "b"]));
  expect(last!.x.shape).toEqual([1, 2]);
  const sums = range(4)
    .map((t) => toNumbers(t)[0]! * 2)
    .batch(4);
  expect(await listOf(sums)).toEqual([tensor([0, 2, 4, 6])]);
});

test("map may wait", async () => {
  const data = range(3).map(async (x) => toNumbers(x)[0]! + 1);
  expect(await listOf(data)).toEqual([1, 2, 3]);
});

test("calls that are not awaited give the elements in order", async () => {
  const it = range(3).iterator();
  const got = await Promise.all([it.next(), it.next(), it.next(), it.next()]);
  expect(got.map((r) => (r.done ? "end" : toNumbers(r.value)[0]))).toEqual([0, 1, 2, "end"]);
});

test("a state waits for the elements that were asked for before it", async () => {
  const make = () => range(8).shuffle(8, { seed: 1 }).batch(3);
  const whole = await all(make());
  const it = make().iterator();
  const [first, state] = await Promise.all([it.next(), it.state(), it.next()]);
  expect(toNumbers(first.value!)).toEqual(whole[0]);
  const again = make().iterator();
  await again.restore(saved(state));
  expect(await all(again)).toEqual(whole.slice(1));
});

test("an endless repeat of nothing ends", async () => {
  expect(await all(range(0).repeat())).toEqual([]);
});

test("a state that took 2^53 elements of an endless repeat is refused", async () => {
  const it = range(3).repeat().shuffle(2, { seed: 1 }).iterator();
  const input = { kind: "repeat", round: 0, input: { kind: "slices", index: 0 } };
  const state = { kind: "shuffle", taken: Number.MAX_SAFE_INTEGER, seeds: [87654321, 1], input };
  await expect(it.restore(state)).rejects.toThrow(
    "[RESOURCE_EXHAUSTED] 9007199254740991 elements were taken before, to be read again; shuffle before you repeat: each pass then begins anew",
  );
});

test("what does not fit is refused", async () => {
  expect(() => range(3).batch(0)).toThrow("Batch size must be greater than zero, got 0.");
  expect(() => range(3).shuffle(-1)).toThrow("buffer_size must be greater than zero, got -1.");
  expect(() => fromTensorSlices(tensor(1))).toThrow("a scalar was given");
  expect(() => fromTensorSlices([tensor([1, 2]), tensor([1])])).toThrow(
    "Dimensions 2 and 1 are not compatible",
  );
  const ragged = dataset<Tensor>(() => {
    let n = 0;
    return {
      next: async () => (n < 2 ? tensor(Array.from({ length: ++n }, () => 0)) : END),
      state: () => ({ kind: "ragged" }),
      restore: async () => {},
    };
  });
  await expect(ragged.batch(2).iterator().next()).rejects.toThrow(
    "Cannot batch tensors with different shapes. First element had float32 [1] and element 1 had float32 [2].",
  );
});

test.each([
  [{ kind: "slices", index: 0 }, "a state of repeat wanted, slices found"],
  [{ kind: "repeat", round: 0 }, "a state as input of repeat wanted, undefined found"],
  [{ kind: "repeat", round: -1, input: { kind: "shuffle" } }, "a count as round of repeat wanted, -1 found"],
  [
    { kind: "repeat", round: 0, input: { kind: "shuffle", taken: 1 } },
    "a pair of seeds wanted, undefined found",
  ],
  [
    {
      kind: "repeat",
      round: 0,
      input: { kind: "shuffle", taken: 9, seeds: [87654321, 1], input: { kind: "slices", index: 0 } },
    },
    "9 elements were taken before, there are 3",
  ],
  [
    {
      kind: "repeat",
      round: 0,
      input: { kind: "shuffle", taken: 1, seeds: [87654321, 1], input: { kind: "slices", index: 7 } },
    },
    "element 7 was next, there are 3",
  ],
] as [CursorState, string][])(
  "a state of another dataset is refused, and the iterator stays: %j",
  async (state, text) => {
    const it = range(3).shuffle(2, { seed: 1 }).repeat(2).iterator();
    const whole = await all(range(3).shuffle(2, { seed: 1 }).repeat(2));
    await it.next();
    await expect(it.restore(state)).rejects.toThrow(text);
    expect(await all(it)).toEqual(whole.slice(1));
  },
);

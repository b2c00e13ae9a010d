import { readFileSync } from "node:fs";
import { fromBinary } from "@bufbuild/protobuf";
import { unzlibSync } from "fflate";
import { expect, test } from "vitest";
import { type DType, tensor } from "../base/index.ts";
import { Graph } from "../graph/index.ts";
import { SummarySchema } from "../proto/index.ts";
import { Session } from "../run/index.ts";
import { CORE_OPS } from "./index.ts";
import { summaryImage, summaryMergeAll, summaryText } from "./summary-api.ts";

interface Image {
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly values: readonly (number | "nan" | "inf")[];
  readonly tags: readonly string[];
  readonly pixels: readonly (readonly number[])[];
}

const golden = JSON.parse(
  readFileSync(new URL("../../tests/goldens/monitored/images.json", import.meta.url), "utf8"),
) as Readonly<Record<string, Image>>;

/** Pixels of a PNG whose rows have no filter or that of the row above. */
function pixelsOf(png: Uint8Array, row: number): number[] {
  const view = new DataView(png.buffer, png.byteOffset, png.byteLength);
  let data: Uint8Array | undefined;
  for (let at = 8; at < png.length; at += 12 + view.getUint32(at)) {
    const type = String.fromCharCode(...png.subarray(at + 4, at + 8));
    if (type === "IDAT") data = unzlibSync(png.subarray(at + 8, at + 8 + view.getUint32(at)));
  }
  const out: number[] = [];
  for (let y = 0; y * (row + 1) < data!.length; y++) {
    const line = data!.subarray(y * (row + 1) + 1, (y + 1) * (row + 1));
    for (const [x, byte] of line.entries()) out.push((byte + (y === 0 ? 0 : out[(y - 1) * row + x]!)) & 255);
  }
  return out;
}

test.each(Object.entries(golden))(
  "images have the pixels and tags that TensorFlow gives them: %s",
  async (_, image) => {
    const graph = new Graph(CORE_OPS);
    const numbers = image.values.map((v) =>
      v === "nan" ? Number.NaN : v === "inf" ? Number.POSITIVE_INFINITY : v,
    );
    const summary = summaryImage("x", graph.constant(tensor(numbers, image.dtype, image.shape)));
    await using session = new Session(graph);
    const { value } = fromBinary(
      SummarySchema,
      (await session.run(summary)).data[0] as unknown as Uint8Array,
    );
    expect(value.map((v) => v.tag)).toEqual(image.tags);
    const [, height, width, channels] = image.shape;
    for (const [i, { value: v }] of value.entries()) {
      if (v.case !== "image") throw new Error("no image");
      expect([v.value.height, v.value.width, v.value.colorspace]).toEqual([height, width, channels]);
      expect(pixelsOf(v.value.encodedImageString, width! * channels!)).toEqual(image.pixels[i]);
    }
  },
);

test("there is nothing to merge without summaries, and text must be text", () => {
  const graph = new Graph(CORE_OPS);
  expect(summaryMergeAll(graph)).toBeNull();
  expect(() => summaryText("t", graph.constant(1))).toThrow("to have dtype string, got float32");
});

import { create, fromBinary, type Message, toBinary } from "@bufbuild/protobuf";
import { expect, test } from "vitest";
import { ENUM_FIELDS } from "./enums.ts";
import * as schemas from "./index.ts";
import { AttributeProtoSchema } from "./onnx.gen.ts";

test("a bundle entry is written as TensorFlow writes it: shape present for a scalar, zeros omitted", () => {
  const entry = create(schemas.BundleEntryProtoSchema, { dtype: 1, shape: {}, size: 4n, crc32c: 0x01020304 });
  expect([...toBinary(schemas.BundleEntryProtoSchema, entry)]).toEqual([8, 1, 18, 0, 40, 4, 53, 4, 3, 2, 1]);
});

test("unknown fields survive", () => {
  const bytes = new Uint8Array([8, 1, 0xf8, 0x3f, 5]); // field 1, then field 1023
  const message: Message = fromBinary(schemas.VersionDefSchema, bytes);
  expect([...toBinary(schemas.VersionDefSchema, message as schemas.VersionDef)]).toEqual([...bytes]);
});

test("an ONNX attribute that is set to zero is written", () => {
  const zero = create(AttributeProtoSchema, { name: "axis", i: 0n, type: 2 });
  expect([...toBinary(AttributeProtoSchema, zero)]).toEqual([10, 4, 97, 120, 105, 115, 24, 0, 160, 1, 2]);
});

test("every enum field that the table names exists as an int32", () => {
  const known = new Set<string>();
  for (const value of Object.values(schemas)) {
    if (typeof value !== "object" || !("kind" in value) || value.kind !== "message") continue;
    const message = value as typeof schemas.GraphDefSchema;
    for (const field of message.fields) known.add(`${message.typeName}.${field.name}`);
  }
  for (const field of Object.keys(ENUM_FIELDS)) expect(known, field).toContain(field);
});

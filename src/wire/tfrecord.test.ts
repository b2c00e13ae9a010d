import { expect, test } from "vitest";
import { RECORD_FRAME_BYTES, readRecords, writeRecord } from "./tfrecord.ts";

const join = (parts: readonly Uint8Array[]): Uint8Array => new Uint8Array(parts.flatMap((p) => [...p]));
const text = (s: string): Uint8Array => new TextEncoder().encode(s);

test("a record is what TensorFlow's TFRecordWriter writes", () => {
  // tf.io.TFRecordWriter(f).write(b"abc")
  expect(Buffer.from(writeRecord(text("abc"))).toString("hex")).toBe(
    "0300000000000000" + "b099490e" + "616263" + "6e57f121",
  );
});

test("records come back, empty ones too", () => {
  const records = [text("one"), text(""), text("three")];
  expect([...readRecords(join(records.map(writeRecord)))]).toEqual(records);
});

test("a flipped bit is found, in the length and in the bytes", () => {
  for (const at of [0, 9, 13, 20]) {
    const bytes = writeRecord(text("hello world"));
    bytes[at]! ^= 4;
    expect(() => [...readRecords(bytes, { file: "f" })]).toThrow("[DATA_LOSS] f@0: corrupted record at 0");
  }
});

test("a record that breaks off is an error, or the end where that is allowed", () => {
  const first = writeRecord(text("whole"));
  const bytes = join([first, writeRecord(text("cut"))]);
  for (let length = first.length + 1; length < bytes.length; length++) {
    const part = bytes.subarray(0, length);
    expect(() => [...readRecords(part)]).toThrow(`truncated record at ${first.length}`);
    expect([...readRecords(part, { allowCut: true })]).toEqual([text("whole")]);
  }
  expect(first.length).toBe(5 + RECORD_FRAME_BYTES);
});

test("a length beyond the file takes no memory", () => {
  const huge = writeRecord(text("x"));
  // a valid header that claims 2^60 bytes: only the writer of a hostile file makes its checksum right
  const header = new DataView(huge.buffer);
  header.setBigUint64(0, 1n << 60n, true);
  const crc = writeRecord(huge.subarray(0, 8));
  huge.set(crc.subarray(crc.length - 4), 8);
  expect(() => [...readRecords(huge)]).toThrow("1152921504606846976 bytes wanted");
});

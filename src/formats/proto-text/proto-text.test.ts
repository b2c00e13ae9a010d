import { create, equals } from "@bufbuild/protobuf";
import { describe, expect, test } from "vitest";
import { isVarscopeError } from "../../base/index.ts";
import { GraphDefSchema, NodeDefSchema } from "../../proto/graph.gen.ts";
import { TensorProtoSchema } from "../../proto/tensor.gen.ts";
import { formatMessage, parseMessage } from "./index.ts";

const tensor = (text: string) => parseMessage(TensorProtoSchema, text, "t.pbtxt");
const node = (text: string) => parseMessage(NodeDefSchema, text, "n.pbtxt");

describe("parsing", () => {
  test("knows both brackets, optional colons, separators and comments", () => {
    const text = `# a node
      name: "x" ; op: 'Const',
      attr: < key: "a" value < i: 0x10 > >   # hexadecimal
      attr { value { i: -017 } key: "b" }
      input: [ "a:1", "^b" ] input: "c"`;
    const message = node(text);
    expect(message.name).toBe("x");
    expect(message.op).toBe("Const");
    expect(message.input).toEqual(["a:1", "^b", "c"]);
    expect(message.attr.a!.value).toEqual({ case: "i", value: 16n });
    expect(message.attr.b!.value).toEqual({ case: "i", value: -15n });
  });

  test("joins adjoining strings and knows every escape", () => {
    const { stringVal } = tensor(String.raw`string_val: "a\x41" '\101\n' "\u00e9\"" string_val: ''`);
    expect(stringVal.map((b) => Buffer.from(b).toString())).toEqual(['aAA\né"', ""]);
  });

  test("knows all spellings of numbers", () => {
    const { floatVal } = tensor("float_val: [1, -1.5f, .5, 1e3, inf, -inf, nan, 2.F, -0]");
    expect(floatVal).toEqual([1, -1.5, 0.5, 1000, Infinity, -Infinity, NaN, 2, -0]);
    expect(tensor("uint64_val: 18446744073709551615").uint64Val).toEqual([2n ** 64n - 1n]);
    expect(tensor("bool_val: [true, False, t, 0]").boolVal).toEqual([true, false, true, false]);
    expect(tensor("dtype: DT_FLOAT_REF").dtype).toBe(101);
    expect(tensor("dtype: 1").dtype).toBe(1);
  });

  test("reads a million escapes", () => {
    expect(tensor(`tensor_content: "${"\\000".repeat(1_000_000)}"`).tensorContent).toHaveLength(1_000_000);
  });

  const wrong: [string, string][] = [
    ["nam: 1", "n.pbtxt:1:4: message tensorflow.NodeDef has no field 'nam'"],
    ["name: 1", "'name' wants a quoted string"],
    ['name: "x"\nname: "y"', "n.pbtxt:2:5: NodeDef has 'name' twice"],
    ['name "x"', "':' is missing after 'name'"],
    ['name: "x', "a quoted string does not end on its line"],
    ['name: "\\q"', "'\\q' is no escape"],
    ['name: "\\377"', "'name' is not UTF-8"],
    ['attr { key: "a" value { type: DT_NONE } }', "'DT_NONE' is no value of 'type'"],
    ['attr { key: "a" value { i: 1.5 } }', "'i' wants an integer, not '1.5'"],
    ['attr { key: "a" value { i: 9223372036854775808 } }', "beyond 64 bits"],
    ['attr { key: "a" value { b: 2 } }', "'b' wants true or false"],
    ['attr { key: "a" other: 1 }', "an entry of 'attr' has 'key' and 'value', not 'other'"],
    ['attr { key: "a"', "'}' is missing at the end"],
    ["experimental_debug_info {", "'}' is missing at the end"],
    ["[type.googleapis.com/X] {}", "expanded Any messages are not known here"],
    ["}", "a field name is missing before '}'"],
    [`${"experimental_type { args ".repeat(1)}${"{ args ".repeat(200)}`, "nested deeper than 100"],
  ];
  for (const [text, message] of wrong) {
    test(`refuses ${JSON.stringify(text).slice(0, 50)}`, () => {
      let error: unknown;
      try {
        node(text);
      } catch (e) {
        error = e;
      }
      expect(isVarscopeError(error, "INVALID_ARGUMENT")).toBe(true);
      expect(String(error)).toContain(message);
    });
  }
});

describe("printing", () => {
  test("what is printed is read again", () => {
    const message = create(GraphDefSchema, {
      node: [{ name: "x", op: "é\u0001", attr: { z: { value: { case: "f", value: 0.1 } }, a: {} } }],
      library: { function: [{ argAttr: { 3: { attr: {} } } }] },
    });
    const text = formatMessage(GraphDefSchema, message);
    expect(text).toContain('  attr {\n    key: "a"\n    value {\n    }\n  }\n');
    const again = parseMessage(GraphDefSchema, text);
    message.node[0]!.attr.z!.value.value = Math.fround(0.1);
    expect(equals(GraphDefSchema, again, message)).toBe(true);
  });

  test("an empty message is no text", () => {
    expect(formatMessage(GraphDefSchema, create(GraphDefSchema))).toBe("");
  });
});

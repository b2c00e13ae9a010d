/** Graphs imported into others, against what TensorFlow makes of the same steps. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { create } from "@bufbuild/protobuf";
import { describe, expect, test } from "vitest";
import { cond, Graph, type Operation } from "../../graph/index.ts";
import { CORE_OPS } from "../../ops/index.ts";
import { GraphDefSchema, NodeDefSchema, OpListSchema } from "../../proto/graph.gen.ts";
import { importGraphDef, readGraphDef, readMessage, toGraphDef, writeAttr, writeGraphDef } from "./index.ts";

const GOLDENS = join(import.meta.dirname, "..", "..", "..", "tests", "goldens", "import-export");
const graphs = JSON.parse(gunzipSync(readFileSync(join(GOLDENS, "graphs.json.gz"))).toString()) as Record<
  string,
  string
>;
const bytesOf = (name: string): Uint8Array => new Uint8Array(Buffer.from(graphs[name]!, "base64"));

interface Step {
  readonly graph: string;
  readonly prefix?: string;
  readonly scope?: string;
  readonly device?: string;
  readonly after?: readonly string[];
  readonly beside?: string;
  readonly within?: "cond";
  readonly inputMap?: Readonly<Record<string, string | number[]>>;
  readonly returns?: readonly string[];
}
interface Node {
  readonly name: string;
  readonly op: string;
  readonly input: readonly string[];
  readonly device: string;
  readonly attrs: Readonly<Record<string, unknown>>;
  readonly shapes: readonly ((number | null)[] | null)[];
}
interface Case {
  readonly steps: readonly Step[];
  readonly results: readonly { returned?: readonly string[] | null; error?: string }[];
  readonly nodes: readonly Node[];
  readonly functions: readonly string[];
  readonly gradients: readonly (readonly [string, string])[];
}
const imports = JSON.parse(gunzipSync(readFileSync(join(GOLDENS, "imports.json.gz"))).toString()) as Record<
  string,
  Case
>;

const NAMED = ["_class", "frame_name", "shared_name", "container"];

function shown(op: Operation): Node {
  const attrs = NAMED.map((k) => [k, op.attrs[k]] as const).filter(([, v]) => v !== undefined && v !== "");
  return {
    name: op.name,
    op: op.type,
    input: [...op.inputs.map((x) => x.name), ...op.controlInputs.map((c) => `^${c.name}`).sort()],
    device: op.device,
    attrs: Object.fromEntries(attrs),
    shapes: op.outputs.map((y) => (y.shape === null ? null : [...y.shape])),
  };
}

/** With TensorFlow's shapes where they are less: its Enter forgets the shape. */
const asTold = (node: Node, told: Node): Node => ({
  ...node,
  shapes: node.shapes.map((shape, i) => (told.shapes[i] === null ? null : shape)),
});

function importStep(graph: Graph, step: Step) {
  const inputMap = Object.entries(step.inputMap ?? {}).map(([key, to]) => [
    key,
    typeof to === "string" ? graph.output(to) : to,
  ]);
  let run = () =>
    importGraphDef(graph, bytesOf(step.graph), {
      ...(step.prefix === undefined ? {} : { prefix: step.prefix }),
      inputMap: Object.fromEntries(inputMap),
      returnElements: step.returns ?? [],
    });
  const inner = run;
  if (step.beside !== undefined) run = () => graph.colocateWith(graph.operation(step.beside!), inner);
  if (step.after !== undefined)
    run = () =>
      graph.controlDependencies(
        step.after!.map((n) => graph.operation(n)),
        inner,
      );
  if (step.device !== undefined) run = () => graph.withDevice(step.device!, inner);
  if (step.scope !== undefined) run = () => graph.nameScope(step.scope!, inner);
  if (step.within === undefined) return run();
  const p = graph.add("Placeholder", [], { name: "p", attrs: { dtype: "bool", shape: { dims: [] } } });
  cond(
    p,
    () => {
      run();
      return graph.output("cond/two/z:0");
    },
    () => graph.constant(0),
  );
  return [];
}

/** What we say where TensorFlow's sentence has what only its binary knows, or where we do more. */
const OURS: Record<string, RegExp | null> = {
  unknown_op: null,
  missing_attr: /Node 'import\/unused': NodeDef missing attr 'T' from Op<name=Identity>$/,
  bad_output:
    /^Node 'import\/c': Connecting to invalid output 3 of source node import\/b which has 1 outputs.$/,
  cycle: /^2 nodes in or behind a cycle: import\/c -> import\/c$/,
};

describe("imports as TensorFlow does:", () => {
  test.each(Object.entries(imports))("%s", (name, { steps, results, nodes, functions, gradients }) => {
    const graph = new Graph(CORE_OPS);
    steps.forEach((step, i) => {
      const { returned, error } = results[i]!;
      if (error === undefined) {
        const got = importStep(graph, step);
        expect(got.map((x) => x.name)).toEqual(returned ?? []);
        return;
      }
      const ours = OURS[name];
      if (ours === null) return;
      const before = graph.operations.length;
      const sentence = error.replace(/^\w+: /, "");
      expect(() => importStep(graph, step)).toThrow(
        expect.objectContaining({
          code: "INVALID_ARGUMENT",
          what: ours ? expect.stringMatching(ours) : sentence,
        }),
      );
      expect(graph.operations.length).toBe(before);
    });
    // TensorFlow leaves the nodes of an import there whose input map it then refuses
    const wanted =
      name === "input map with unknown names" ? nodes.filter((n) => !n.name.startsWith("import_1/")) : nodes;
    if (OURS[name] !== null)
      expect(graph.operations.map(shown).map((n, i) => asTold(n, wanted[i]!))).toEqual(wanted);
    expect([...graph.functions.keys()].sort()).toEqual(functions);
    const pairs = graph.functionGradients.map((g) => new TextDecoder("latin1").decode(g));
    expect(pairs.length).toBe(gradients.length);
    for (const [i, [f, g]] of gradients.entries()) expect(pairs[i]).toMatch(new RegExp(`${f}.*${g}`, "s"));
  });
});

describe("an import", () => {
  const fresh = () => new Graph(CORE_OPS);

  test("keeps ops that it does not know, with their inputs and attributes", () => {
    const graph = fresh();
    const [c] = importGraphDef(graph, bytesOf("unknown_op"), { returnElements: ["c"] });
    expect(c).toMatchObject({ type: "NoSuchOp", name: "import/c", def: undefined });
    expect(graph.operation("import/d").controlInputs).toEqual([c]);
    const again = readGraphDef(writeGraphDef(graph), { registry: CORE_OPS });
    expect(again.operation("import/c").attrs).toEqual((c as Operation).attrs);
  });

  test("that fails leaves the graph as it was, functions and versions included", () => {
    const graph = fresh();
    importGraphDef(graph, bytesOf("chain"));
    const before = {
      def: toGraphDef(graph),
      versions: graph.versions,
      users: graph.operation("import/c").consumers.size,
    };
    const def = readMessage(GraphDefSchema, bytesOf("functional"), "functional");
    def.node.push(
      create(NodeDefSchema, {
        name: "bad",
        op: "Identity",
        input: ["n"],
        attr: { T: writeAttr("string", "type") },
      }),
    );
    def.versions!.producer = 7;
    expect(() => importGraphDef(graph, def, { inputMap: { "x:0": graph.output("import/c:0") } })).toThrow(
      /was passed int32/,
    );
    expect(toGraphDef(graph)).toEqual(before.def);
    expect(graph.versions).toEqual(before.versions);
    expect(graph.functions.size).toBe(0);
    expect(graph.operation("import/c").consumers.size).toBe(before.users);
  });

  test("drops attributes that the producer's op list knows as defaults", () => {
    const def = readMessage(GraphDefSchema, bytesOf("unknown_attr"), "chain");
    const producerOpList = create(OpListSchema, {
      op: [{ name: "AddV2", attr: [{ name: "novel", type: "int", defaultValue: writeAttr(3, "int") }] }],
    });
    const [kept] = importGraphDef(fresh(), def, { returnElements: ["c"] });
    expect((kept as Operation).attrs.novel).toBe(3);
    const [dropped] = importGraphDef(fresh(), def, { returnElements: ["c"], producerOpList });
    expect((dropped as Operation).attrs).not.toHaveProperty("novel");
  });

  test("into a graph of a newer writer makes the graph one of the older", () => {
    const graph = fresh();
    importGraphDef(graph, bytesOf("chain"));
    const def = readMessage(GraphDefSchema, bytesOf("chain"), "chain");
    def.versions!.producer = 24;
    def.versions!.minConsumer = 12;
    importGraphDef(graph, def);
    expect(graph.versions).toEqual({ producer: 24, minConsumer: 12, badConsumers: [] });
  });

  test("of a different function under a name that is taken is refused", () => {
    const graph = fresh();
    importGraphDef(graph, bytesOf("functional"));
    const def = readMessage(GraphDefSchema, bytesOf("functional"), "functional");
    const name = def.library!.function[0]!.signature!.name;
    def.library!.function[0]!.nodeDef = [];
    expect(() => importGraphDef(graph, def)).toThrow(
      `Cannot add function '${name}' because a different function with the same name already exists.`,
    );
  });

  test("gives a mapped input's shape to what reads it", () => {
    const graph = fresh();
    const x = graph.add("Placeholder", [], {
      name: "in",
      attrs: { dtype: "float32", shape: { dims: [5, 2] } },
    });
    const [c] = importGraphDef(graph, bytesOf("chain"), { inputMap: { a: x }, returnElements: ["c:0"] });
    expect(c).toMatchObject({ shape: [5, 2] });
  });

  test.each([
    [{ "a:x": "op" }, "Cannot convert 'a:x' to a tensor name."],
    [{ "a:7": "tensor" }, "Attempted to map inputs that were not found in graph_def: [a:7]"],
    [{ a: "op" }, "the input map gives an op for the tensor a"],
    [{ a: "foreign" }, "Tensor import/b:0 is not an element of this graph."],
  ])("with the input map %j is refused", (map, message) => {
    const [graph, other] = [fresh(), fresh()];
    for (const g of [graph, other]) importGraphDef(g, bytesOf("chain"));
    const values = {
      op: graph.operation("import/b"),
      tensor: graph.output("import/b:0"),
      foreign: other.output("import/b:0"),
    };
    const [key, kind] = Object.entries(map)[0]!;
    expect(() =>
      importGraphDef(graph, bytesOf("chain"), { inputMap: { [key]: values[kind as "op"] } }),
    ).toThrow(expect.objectContaining({ what: message }));
    expect(graph.operations.length).toBe(5);
  });
});

test("attributes that hold something else than they are for", () => {
  const types = writeAttr(["float32"], "list(type)");
  const node = (attr: Record<string, ReturnType<typeof writeAttr>>) =>
    create(GraphDefSchema, { node: [create(NodeDefSchema, { name: "a", op: "Unknown", attr })] });
  expect(() => importGraphDef(new Graph(CORE_OPS), node({ _output_shapes: types }))).toThrow(
    "[INVALID_ARGUMENT] Node 'import/a': the _output_shapes attribute is no list of shapes",
  );
  const graph = new Graph(CORE_OPS);
  for (const other of [types, writeAttr(3, "int"), writeAttr("loc:@nowhere", "string")])
    importGraphDef(graph, node({ _class: other }));
  expect(graph.operations.map((op) => op.name)).toEqual(["import/a", "import_1/a", "import_2/a"]);
});

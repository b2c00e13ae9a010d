/** MetaGraphs imported into graphs and exported in part, against what TensorFlow makes of the same steps. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { type DescMessage, fromBinary, toJson } from "@bufbuild/protobuf";
import { describe, expect, test } from "vitest";
import { Graph } from "../../graph/index.ts";
import { CORE_OPS } from "../../ops/index.ts";
import { CondContextDefSchema, WhileContextDefSchema } from "../../proto/control-flow.gen.ts";
import { NodeDefSchema } from "../../proto/graph.gen.ts";
import {
  type CollectionDef,
  type MetaGraphDef,
  MetaGraphDefSchema,
  SaverDefSchema,
} from "../../proto/meta-graph.gen.ts";
import { VariableDefSchema } from "../../proto/variable.gen.ts";
import { addMetaGraph, type ExportMetaGraphOptions, exportMetaGraph, type VariableRecord } from "./index.ts";

const GOLDENS = join(import.meta.dirname, "..", "..", "..", "tests", "goldens", "import-export");
interface Options {
  readonly clear_devices?: boolean;
  readonly clear_extraneous_savers?: boolean;
  readonly strip_default_attrs?: boolean;
  readonly export_scope?: string;
}
interface Step {
  readonly meta?: string;
  readonly exported?: string;
  readonly importScope?: string;
  readonly scope?: string;
  readonly clearDevices?: boolean;
  readonly inputMap?: Readonly<Record<string, string>>;
}
interface Case {
  readonly steps: readonly Step[];
  readonly results: readonly { saver?: readonly string[] | null; error?: string }[];
  readonly variables: Readonly<Record<string, readonly string[]>>;
  readonly after: string;
}
const goldens = JSON.parse(gunzipSync(readFileSync(join(GOLDENS, "meta.json.gz"))).toString()) as {
  sources: Record<string, string>;
  exports: Record<string, { options: Options; meta: string }>;
  imports: Record<string, Case>;
};
const read = (base64: string): MetaGraphDef => fromBinary(MetaGraphDefSchema, Buffer.from(base64, "base64"));

const KINDS: Readonly<Record<string, DescMessage>> = {
  cond_context: CondContextDefSchema,
  while_context: WhileContextDefSchema,
  savers: SaverDefSchema,
  variables: VariableDefSchema,
  trainable_variables: VariableDefSchema,
  local_variables: VariableDefSchema,
};

function itemsOf(key: string, { kind }: CollectionDef): unknown {
  const schema = KINDS[key];
  if (kind.case !== "bytesList") return kind;
  const text = (b: Uint8Array) => new TextDecoder().decode(b);
  return kind.value.value.map((b) =>
    schema === undefined ? text(b) : toJson(schema, fromBinary(schema, b)),
  );
}

/** What of a MetaGraph must be TensorFlow's; shapes aside, of which its importer forgets some. */
function shown(def: MetaGraphDef) {
  const nodes = def.graphDef!.node.map((node) => {
    const { _output_shapes: shapes, ...attr } = node.attr;
    const data = node.input.filter((x) => !x.startsWith("^")).map((x) => x.replace(/:0$/, ""));
    const control = node.input.filter((x) => x.startsWith("^")).sort();
    return [node.name, toJson(NodeDefSchema, { ...node, attr, input: [...data, ...control] })];
  });
  return {
    nodes: Object.fromEntries(nodes),
    collections: Object.fromEntries(Object.entries(def.collectionDef).map(([k, v]) => [k, itemsOf(k, v)])),
    saver: def.saverDef,
    ops: def.metaInfoDef!.strippedOpList!.op.map((op) => op.name),
    stripped: def.metaInfoDef!.strippedDefaultAttrs,
    versions: def.graphDef!.versions,
  };
}

/** TensorFlow leaves the scope in the names of nested contexts, and names an input from outside once for each reader. */
function mended(def: MetaGraphDef, scope: string | undefined): MetaGraphDef {
  if (scope === undefined) return def;
  const { unbound_inputs: unbound } = def.collectionDef;
  if (unbound?.kind.case === "bytesList") {
    const seen = new Set<string>();
    unbound.kind.value.value = unbound.kind.value.value.filter((b) => {
      const name = new TextDecoder().decode(b);
      return !seen.has(name) && seen.add(name);
    });
  }
  return def;
}
const withoutScope = (json: unknown, scope: string): unknown =>
  JSON.parse(
    JSON.stringify(json, (_, v) => (typeof v === "bigint" ? `${v}` : v)).replaceAll(`"${scope}/`, '"'),
  );

describe("exports as TensorFlow does:", () => {
  test.each(Object.entries(goldens.exports))("%s", (_, { options, meta }) => {
    const graph = new Graph(CORE_OPS);
    const { saverDef } = addMetaGraph(graph, read(goldens.sources.network!));
    const scope = options.export_scope;
    const given: ExportMetaGraphOptions = {
      saverDef,
      clearDevices: options.clear_devices ?? false,
      clearExtraneousSavers: options.clear_extraneous_savers ?? false,
      stripDefaultAttrs: options.strip_default_attrs ?? false,
      exportScope: scope ?? "",
    };
    const [mine, told] = [shown(exportMetaGraph(graph, given)), shown(mended(read(meta), scope))];
    expect(mine.nodes).toEqual(told.nodes);
    const { saver, ...rest } = mine;
    if (scope === undefined) expect(mine).toEqual(told);
    else {
      // TensorFlow leaves the SaverDef's own names as they were, so that importing looks for nodes that are not there
      expect(saver).toMatchObject({ restoreOpName: "save/restore_all", filenameTensorName: "save/Const:0" });
      const texts = { texts: rest.collections.texts };
      expect({
        ...rest,
        collections: { ...(withoutScope(rest.collections, scope) as object), ...texts },
      }).toEqual({
        ...told,
        saver: undefined,
        collections: { ...(withoutScope(told.collections, scope) as object), texts: told.collections.texts },
      });
      expect(JSON.stringify(rest.collections.while_context)).not.toContain(`"${scope}/`);
    }
  });

  test("every node with outputs says their shapes", () => {
    const graph = new Graph(CORE_OPS);
    addMetaGraph(graph, read(goldens.sources.network!));
    graph.add("Relu", [graph.output("net/out:0")], { name: "new" });
    const { node } = exportMetaGraph(graph).graphDef!;
    for (const { name, attr } of node)
      expect("_output_shapes" in attr, name).toBe(graph.operation(name).outputs.length > 0);
  });
});

describe("imports as TensorFlow does:", () => {
  test.each(Object.entries(goldens.imports))("%s", (name, { steps, results, variables, after }) => {
    const graph = new Graph(CORE_OPS);
    steps.forEach((step, i) => {
      const source =
        step.meta === undefined ? goldens.exports[step.exported!]!.meta : goldens.sources[step.meta]!;
      const add = () =>
        addMetaGraph(graph, read(source), {
          importScope: step.importScope ?? "",
          clearDevices: step.clearDevices ?? false,
          inputMap: Object.fromEntries(
            Object.entries(step.inputMap ?? {}).map(([k, v]) => [k, graph.output(v)]),
          ),
        });
      const { saver, error } = results[i]!;
      if (error !== undefined) {
        if (step.inputMap !== undefined) return; // here that works: below
        const once = error.replace(/^\w+: /, "").replace(/(,\$unbound_inputs_p)+/, "$1");
        expect(add).toThrow(expect.objectContaining({ what: once }));
        return;
      }
      const { saverDef } = step.scope === undefined ? add() : graph.nameScope(step.scope, add);
      if (name === "without saver") return; // TensorFlow makes a new one: train/meta-graph.test.ts
      const names = saverDef && [
        saverDef.filenameTensorName,
        saverDef.saveTensorName,
        saverDef.restoreOpName,
      ];
      expect(names ?? null).toEqual(saver);
    });
    for (const [key, told] of Object.entries(variables))
      expect(graph.getCollection<VariableRecord>(key).map((v) => v.name)).toEqual(told);
    const [mine, told] = [shown(exportMetaGraph(graph)), shown(read(after))];
    if (name === "without saver")
      for (const node of Object.keys(told.nodes)) if (node.startsWith("save/")) delete told.nodes[node];
    expect(mine.nodes).toEqual(told.nodes);
    expect(mine.collections).toEqual(told.collections);
  });

  test("a scope that was exported alone comes into another graph, its open inputs mapped", () => {
    const graph = new Graph(CORE_OPS);
    addMetaGraph(graph, read(goldens.sources.network!));
    const part = exportMetaGraph(graph, { exportScope: "net" });
    const [x, p] = [graph.output("x:0"), graph.output("p:0")];
    const inputMap = { $unbound_inputs_x: x, $unbound_inputs_p: p };
    const { scope } = addMetaGraph(graph, part, { importScope: "b", inputMap });
    expect(scope).toBe("b");
    expect(graph.operation("b/MatMul").inputs[0]).toBe(x);
    expect(graph.operation("b/loop/Enter").attrs.frame_name).toBe("b/loop/while_context");
    expect(graph.getCollection("while_context").length).toBe(2);
  });
});

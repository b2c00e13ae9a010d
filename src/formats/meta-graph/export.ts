/**
 * @file MetaGraphs of a part of a graph, or without what readers do not need: devices, other savers, defaults. Start at `exportMetaGraph`.
 *
 * @see TensorFlow python/framework/meta_graph.py "export_scoped_meta_graph"
 */

import { create, equals } from "@bufbuild/protobuf";
import type { Graph, Registry } from "../../graph/index.ts";
import { type AttrValue, AttrValueSchema, type GraphDef, type NodeDef } from "../../proto/graph.gen.ts";
import { type MetaGraphDef, MetaGraphDefSchema, type SaverDef } from "../../proto/meta-graph.gen.ts";
import { UNBOUND_INPUTS, writeCollections } from "./collections.ts";
import { type MetaGraph, toMetaGraphDef } from "./meta-graph.ts";
import { strippedOpList, toOpDef } from "./op-list.ts";
import { outOfScope, type Respell, respellSaver } from "./scope.ts";

export interface ExportMetaGraphOptions {
  readonly saverDef?: SaverDef | undefined;
  readonly signatures?: MetaGraph["signatures"];
  readonly assets?: MetaGraph["assets"];
  readonly info?: MetaGraph["info"];
  /** only the nodes in this name scope, whose names then lose it: "", all. Inputs from outside become `$unbound_inputs_NAME` */
  readonly exportScope?: string;
  /** false */
  readonly clearDevices?: boolean;
  /** leaves out the nodes of all savers but that of `saverDef`: false */
  readonly clearExtraneousSavers?: boolean;
  /** leaves out attributes that have their default, which older readers may not know: false */
  readonly stripDefaultAttrs?: boolean;
  /** these collections alone; by default all */
  readonly collections?: readonly string[];
  /** hears of collections that no file can hold, and why; TensorFlow leaves them out with a warning too */
  readonly onSkipped?: (key: string, why: string) => void;
}

/** The graph with what belongs to it, as `tf.compat.v1.train.export_meta_graph` gives it. */
export function exportMetaGraph(graph: Graph, options: ExportMetaGraphOptions = {}): MetaGraphDef {
  const { exportScope: given = "", saverDef, clearDevices, onSkipped, collections } = options;
  const scope = given.replace(/\/+$/, "");
  const { signatures = {}, assets = [], info } = options;
  const whole = toMetaGraphDef({ graph, saverDef, signatures, assets, info: { tags: [], ...info } });
  const graphDef = whole.graphDef!;
  const excluded = options.clearExtraneousSavers ? otherSavers(graphDef, saverDef) : new Set<string>();
  const part = scoped(graphDef, scope, excluded);
  if (clearDevices) part.node = part.node.map((node) => ({ ...node, device: "" }));
  const def = create(MetaGraphDefSchema, {
    ...whole,
    graphDef: { ...graphDef, node: part.node },
    collectionDef: writeCollections(graph, {
      scope,
      isExcluded: (name) => excluded.has(name),
      ...(onSkipped && { onSkipped }),
      ...(collections && { keys: collections }),
      ...(options.clearExtraneousSavers && { savers: saverDef === undefined ? [] : [saverDef] }),
    }),
  });
  if (part.unbound.length > 0) {
    const value = part.unbound.map((name) => new TextEncoder().encode(name));
    def.collectionDef[UNBOUND_INPUTS] = create(MetaGraphDefSchema, {
      collectionDef: { [UNBOUND_INPUTS]: { kind: { case: "bytesList", value: { value } } } },
    }).collectionDef[UNBOUND_INPUTS]!;
  }
  if (saverDef === undefined) delete def.saverDef;
  else if (scope !== "") def.saverDef = respellSaver(saverDef, outOfScope(scope));
  if (scope !== "" || excluded.size > 0) trimOpList(graph, def);
  return options.stripDefaultAttrs ? withoutDefaults(def, graph.registry) : def;
}

function trimOpList(graph: Graph, def: MetaGraphDef): void {
  const used = new Set(def.graphDef!.node.map((node) => node.op));
  const list = def.metaInfoDef!.strippedOpList ?? strippedOpList(graph);
  def.metaInfoDef = {
    ...def.metaInfoDef!,
    strippedOpList: { ...list, op: list.op.filter((op) => used.has(op.name)) },
  };
}

/** @see TensorFlow python/framework/meta_graph.py "_UNBOUND_INPUT_PREFIX" */
const UNBOUND = "$unbound_inputs_";

interface Part {
  node: NodeDef[];
  /** names that stand for inputs from outside, each once */
  readonly unbound: readonly string[];
}

function scoped({ node }: GraphDef, scope: string, excluded: ReadonlySet<string>): Part {
  const kept = node.filter((n) => !excluded.has(n.name));
  if (scope === "") return { node: kept, unbound: [] };
  const spell = outOfScope(scope);
  const isInside = (name: string): boolean => name.startsWith(`${scope}/`);
  const unbound = new Set<string>();
  const input = (text: string): string => {
    const [, mark, name] = /^(\^?)(.*)$/s.exec(text)!;
    if (isInside(name!)) return spell(text);
    unbound.add(`${mark}${UNBOUND}${name}`);
    return `${mark}${UNBOUND}${name}`;
  };
  const inside = kept
    .filter((n) => isInside(n.name))
    .map((n) => ({
      ...n,
      name: spell(n.name),
      input: n.input.map(input),
      attr: Object.fromEntries(
        Object.entries(n.attr).map(([k, v]) => [k, scopedAttr(n, k, v, spell, isInside)]),
      ),
    }));
  return { node: inside, unbound: [...unbound] };
}

/** Colocations with what is outside go; a loop's frame has a name in the scope too. */
function scopedAttr(
  node: NodeDef,
  key: string,
  attr: AttrValue,
  spell: Respell,
  isInside: (name: string) => boolean,
): AttrValue {
  const { value } = attr;
  const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);
  const bytes = (name: string): Uint8Array => new TextEncoder().encode(spell(name));
  if (key === "_class" && value.case === "list") {
    const names = value.value.s.map(text).filter((c) => isInside(c.slice(c.indexOf("@") + 1)));
    return { ...attr, value: { case: "list", value: { ...value.value, s: names.map(bytes) } } };
  }
  const isFrame = key === "frame_name" && (node.op === "Enter" || node.op === "RefEnter");
  return isFrame && value.case === "s"
    ? { ...attr, value: { case: "s", value: bytes(text(value.value)) } }
    : attr;
}

const SAVE_OPS: ReadonlySet<string> = new Set(
  ["Save", "Restore"].flatMap((verb) => [
    `${verb}V2`,
    verb,
    `${verb}Slice`,
    `Legacy${verb}`,
    `Legacy${verb}Slice`,
  ]),
);

const scopeOf = (name: string): string => name.replace(/:\d+$/, "").split("/").slice(0, -1).join("/");

/** Names of the nodes of savers that `kept` does not use. @see TensorFlow python/framework/meta_graph.py "_find_extraneous_saver_nodes" */
function otherSavers({ node }: GraphDef, kept: SaverDef | undefined): Set<string> {
  const mine = kept === undefined ? [] : [scopeOf(kept.saveTensorName), scopeOf(kept.restoreOpName)];
  const scopes = new Set(node.filter((n) => SAVE_OPS.has(n.op)).map((n) => scopeOf(n.name)));
  const others = [...scopes]
    .filter((scope) => scope !== "" && !mine.includes(scope))
    .map((scope) => `${scope}/`);
  return new Set(node.map((n) => n.name).filter((name) => others.some((scope) => name.startsWith(scope))));
}

/** @see TensorFlow python/framework/meta_graph.py "strip_graph_default_valued_attrs" */
function withoutDefaults(def: MetaGraphDef, registry: Registry): MetaGraphDef {
  const known = new Map<string, Map<string, AttrValue>>();
  const defaultsOf = (type: string): Map<string, AttrValue> => {
    const op = registry.get(type);
    const found = known.get(type) ?? new Map<string, AttrValue>();
    if (op !== undefined && !known.has(type)) {
      for (const { name, defaultValue } of toOpDef(op).attr) if (defaultValue) found.set(name, defaultValue);
    }
    known.set(type, found);
    return found;
  };
  const strip = (node: NodeDef): NodeDef => {
    const defaults = defaultsOf(node.op);
    const differs = ([key, value]: [string, AttrValue]): boolean => {
      const usual = defaults.get(key);
      return usual === undefined || !equals(AttrValueSchema, usual, value);
    };
    return { ...node, attr: Object.fromEntries(Object.entries(node.attr).filter(differs)) };
  };
  const { library, ...rest } = def.graphDef!;
  const functions = library?.function.map((f) => ({ ...f, nodeDef: f.nodeDef.map(strip) }));
  return {
    ...def,
    metaInfoDef: { ...def.metaInfoDef!, strippedDefaultAttrs: true },
    graphDef: {
      ...rest,
      node: rest.node.map(strip),
      ...(library && { library: { ...library, function: functions! } }),
    },
  };
}

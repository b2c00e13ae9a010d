/** @file A graph that a server has in part: what is new of it, and whether what the server has still holds. Start at `GraphGrowth`. */

import { create, fromBinary } from "@bufbuild/protobuf";
import { VarscopeError } from "../../base/index.ts";
import { toNodeDef } from "../../formats/graph-def/index.ts";
import type { Graph, Operation } from "../../graph/index.ts";
import {
  FunctionDefLibrarySchema,
  FunctionDefSchema,
  GradientDefSchema,
  type GraphDef,
  GraphDefSchema,
} from "../../proto/graph.gen.ts";

/** How much of a graph was sent. */
export class GraphGrowth {
  private readonly graph: Graph;
  /** of each op that was sent: what it reads */
  private readonly wiring: string[] = [];
  private readonly functions = new Set<string>();
  private gradients = 0;
  private version = -1;

  constructor(graph: Graph) {
    this.graph = graph;
  }

  /**
   * Ops and functions that came since the last `sent`, as a GraphDef; null where there are none.
   *
   * @throws VarscopeError FAILED_PRECONDITION - an op that was sent reads something else by now
   */
  next(): { def: GraphDef; sent: () => void } | null {
    const { graph } = this;
    if (graph.version === this.version) return null;
    this.checkWiring();
    const { operations, functionGradients } = graph;
    const ops = operations.slice(this.wiring.length);
    const functions = [...graph.functions].filter(([name]) => !this.functions.has(name));
    const gradients = functionGradients.slice(this.gradients);
    const { version } = graph;
    if (ops.length + functions.length + gradients.length === 0) {
      this.version = version;
      return null;
    }
    const def = create(GraphDefSchema, {
      node: ops.map(toNodeDef),
      versions: { ...graph.versions, badConsumers: [...graph.versions.badConsumers] },
      library: create(FunctionDefLibrarySchema, {
        function: functions.map(([, bytes]) => fromBinary(FunctionDefSchema, bytes)),
        gradient: gradients.map((bytes) => fromBinary(GradientDefSchema, bytes)),
      }),
    });
    const sent = (): void => {
      this.version = version;
      for (const op of ops) this.wiring.push(wiringOf(op));
      for (const [name] of functions) this.functions.add(name);
      this.gradients += gradients.length;
    };
    return { def, sent };
  }

  private checkWiring(): void {
    const changed = this.wiring.findIndex((wiring, i) => wiringOf(this.graph.operations[i]!) !== wiring);
    if (changed < 0) return;
    const { name } = this.graph.operations[changed]!;
    throw new VarscopeError(
      "FAILED_PRECONDITION",
      `Operation '${name}' was changed by updating input tensor after it was run by a session. This mutation will have no effect, and will trigger an error in the future. Either don't modify nodes after running them or create a new session.`,
      { at: name },
    );
  }
}

const wiringOf = (op: Operation): string =>
  [...op.inputs.map((x) => x.name), ...op.controlInputs.map((x) => `^${x.name}`)].join(" ");

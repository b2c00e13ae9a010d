import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { isVarscopeError, tensor, toNumbers, VarscopeError } from "../../base/index.ts";
import { latestCheckpoint, openCheckpointCollection } from "../../formats/checkpoint/index.ts";
import { readObjectGraph } from "../../formats/object-graph/index.ts";
import { Graph, type Output } from "../../graph/index.ts";
import { CORE_OPS } from "../../ops/index.ts";
import { Session } from "../../run/index.ts";
import {
  addWith,
  getVariable,
  globalVariables,
  globalVariablesInitializer,
  type Variable,
  variable,
  variableScope,
} from "../../variables/index.ts";
import { adamOptimizer, Checkpoint, hostValue, saver } from "../index.ts";

const GOLDENS = "tests/goldens/objects";
const GOLDEN: {
  readonly values: Readonly<Record<string, readonly number[]>>;
  readonly said: Readonly<Record<string, readonly [string, string] | null>>;
} = JSON.parse(readFileSync(join(GOLDENS, "objects.json"), "utf8"));

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "objects-"));
});
const open: Session[] = [];
const opened = (g: Graph): Session => {
  const session = new Session(g);
  open.push(session);
  return session;
};
afterEach(async () => {
  await Promise.all(open.splice(0).map((session) => session.close()));
  rmSync(dir, { recursive: true });
});

const sum = (x: Output): Output => x.graph.add("Sum", [x, x.graph.constant([0], { dtype: "int32" })]);

/** The tree of tools/goldens/objects.py "plain", with another start. */
function plain() {
  const g = new Graph(CORE_OPS);
  const w = getVariable(g, "w", { initializer: [9, 9], useResource: true });
  const b = variableScope(g, "s", {}, () => getVariable(g, "b", { initializer: 9 }));
  const optimizer = adamOptimizer({ learningRate: 0.1 });
  const loss = addWith(g, "AddV2", [sum(addWith(g, "Mul", [w, w])), addWith(g, "Mul", [b, b])]);
  const net: Record<string, unknown> = { w, "a.b": [b, { "x/y": w }] };
  return { g, w, b, optimizer, loss, net };
}

const valuesOf = async (session: Session): Promise<Record<string, number[]>> => {
  const all = globalVariables(session.graph);
  const values = await session.run(all.map((v) => v.snapshot));
  return Object.fromEntries(all.map((v, i) => [v.op.name, toNumbers(values[i]!)]));
};

describe("what TensorFlow wrote", () => {
  async function restored() {
    const model = plain();
    model.optimizer.minimize(model.loss);
    const { g, w, optimizer, net } = model;
    const checkpoint = new Checkpoint({ optimizer, net, empty: [], alias: w });
    const session = opened(g);
    await session.run([], { targets: [globalVariablesInitializer(g)] });
    const status = await checkpoint.restore(session, join(GOLDENS, "plain-1"));
    return { ...model, checkpoint, session, status };
  }

  test("is restored: lists, dictionaries, escaped names, slots, powers of betas, the number of saves", async () => {
    const { session, status, checkpoint } = await restored();
    status.assertConsumed().assertExistingObjectsMatched().assertNontrivialMatch().expectPartial();
    const { save_counter: counter, ...values } = GOLDEN.values;
    expect(await valuesOf(session)).toEqual(values);
    expect(checkpoint.saveCounter).toBe(counter![0]);
  });

  test("is written again, byte for byte", async () => {
    const { session, checkpoint } = await restored();
    await checkpoint.write(session, join(dir, "plain-1"));
    for (const file of ["plain-1.data-00000-of-00001", "plain-1.index"])
      expect(readFileSync(join(dir, file)).equals(readFileSync(join(GOLDENS, file))), file).toBe(true);
  });
});

/** a [2], b.c []: the tree of "statuses" in tools/goldens/objects.py; others on request. */
function tree(more: { readonly shape?: number; readonly q?: boolean } = {}) {
  const g = new Graph(CORE_OPS);
  const a = variable(g, new Array(more.shape ?? 2).fill(0), { name: "a" });
  const c = variable(g, 0, { name: "c" });
  const q = variable(g, 1, { name: "q" });
  const session = opened(g);
  return { g, a, c, q, session, both: { a, b: new Checkpoint({ c }) } };
}

async function saved(verb: "save" | "write" = "save"): Promise<string> {
  const { a, c, session, both } = tree();
  await session.run([], { targets: [a.initializer, c.initializer] });
  await session.run([a.assign([1, 2]) as Output, c.assign(3) as Output]);
  const path = await new Checkpoint(both)[verb](session, join(dir, verb));
  return path;
}

const valueIn = async (session: Session, v: Variable): Promise<number[]> =>
  toNumbers(await session.run(v.snapshot));
const saying = (what: string) => (e: unknown) => isVarscopeError(e) && e.what === what;

describe("status objects", () => {
  test("assertConsumed passes where all was matched, both ways", async () => {
    const { session, both, a } = tree();
    const status = await new Checkpoint(both).restore(session, await saved());
    expect(status.assertConsumed()).toBe(status);
    expect(await valueIn(session, a)).toEqual([1, 2]);
  });

  test("assertConsumed names an object of the checkpoint that is not here; assertExistingObjectsMatched lets it be", async () => {
    const { session, a } = tree();
    const status = await new Checkpoint({ a }).restore(session, await saved());
    expect(() => status.assertExistingObjectsMatched().assertConsumed()).toThrow(
      "Unresolved object in checkpoint (root).b.c: b/c/.ATTRIBUTES/VARIABLE_VALUE",
    );
    expect(GOLDEN.said.unresolved![1]).toMatch(/^Unresolved object in checkpoint \(root\)\.b\.c: /);
    expect(GOLDEN.said["existing only"]).toBeNull();
    expect(status.report.unused).toEqual(["b/c/.ATTRIBUTES/VARIABLE_VALUE"]);
  });

  test("assertExistingObjectsMatched names objects that have no value in the checkpoint", async () => {
    const { session, both, q } = tree();
    const status = await new Checkpoint({ ...both, q }).restore(session, await saved());
    expect(() => status.assertExistingObjectsMatched()).toThrow(
      GOLDEN.said.unmatched![1].replace(/<tf\.Variable.*>/, "q"),
    );
    expect(status.report.missing.map(({ name }) => name)).toEqual(["q"]);
  });

  test("assertNontrivialMatch asks for something besides the root", async () => {
    const path = await saved();
    const { session, q } = tree();
    const nothing = await new Checkpoint({}).read(session, path);
    expect(() => nothing.assertNontrivialMatch()).toThrow(
      "Nothing to load. No dependencies have been added to the root yet.",
    );
    const other = await new Checkpoint({ z: q }).read(session, path);
    expect(() => other.assertNontrivialMatch()).toThrow(
      /^\[FAILED_PRECONDITION\] Nothing except the root object matched a checkpointed value\..*: \[q\]$/,
    );
    (await new Checkpoint({ z: q }).restore(session, path)).assertNontrivialMatch(); // the counter: as in TensorFlow
    expect(GOLDEN.said.nontrivial).toBeNull();
  });

  test("restore(null) is initialization only", async () => {
    const { session, both, a } = tree();
    const status = await new Checkpoint(both).restore(session, null);
    for (const check of ["assertConsumed", "assertExistingObjectsMatched", "assertNontrivialMatch"] as const)
      expect(() => status[check]()).toThrow(GOLDEN.said["none consumed"]![1]);
    await expect(status.runRestoreOps()).rejects.toSatisfy(saying(GOLDEN.said["none run"]![1]));
    await status.initializeOrRestore();
    expect(await valueIn(session, a)).toEqual([0, 0]);
  });

  test("a counter that write did not save is no match of restore, and none is asked for by read", async () => {
    const path = await saved("write");
    const { session, both } = tree();
    (await new Checkpoint(both).read(session, path)).assertConsumed();
    const status = await new Checkpoint(both).restore(session, path);
    expect(() => status.assertConsumed()).toThrow(
      GOLDEN.said["no counter"]![1].replace(/<tf\.Variable.*>/, "save_counter"),
    );
    expect(GOLDEN.said["read no counter"]).toBeNull();
  });
});

describe("deferred restoration", () => {
  test("gives values to attributes and slots that appear later", async () => {
    const model = plain();
    const session = opened(model.g);
    const checkpoint = new Checkpoint({ net: model.net });
    const status = await checkpoint.restore(session, join(GOLDENS, "plain-1"));
    expect(() => status.assertConsumed()).toThrow(/Unresolved object in checkpoint \(root\)\.opt/);
    model.optimizer.minimize(model.loss);
    checkpoint.track("optimizer", model.optimizer);
    await status.runRestoreOps();
    status.assertConsumed();
    const { save_counter: _, ...values } = GOLDEN.values;
    expect(await valuesOf(session)).toEqual(values);
  });

  test("leaves alone what had its value, so that training goes on", async () => {
    const path = await saved();
    const { session, a, c } = tree();
    const net: Record<string, unknown> = {};
    const checkpoint = new Checkpoint({ a, b: net });
    const status = await checkpoint.restore(session, path);
    await session.run(a.assignAdd([10, 10]) as Output);
    net.c = c;
    await status.runRestoreOps();
    expect([await valueIn(session, a), await valueIn(session, c)]).toEqual([[11, 12], [3]]);
  });

  test("initializeOrRestore gives the rest their initial values", async () => {
    const path = await saved();
    const { session, both, a, q } = tree();
    const status = await new Checkpoint({ ...both, q }).restore(session, path);
    await status.initializeOrRestore();
    expect([await valueIn(session, a), await valueIn(session, q)]).toEqual([[1, 2], [1]]);
  });
});

describe("what does not fit", () => {
  test("another shape is an immediate error, and nothing is changed", async () => {
    const path = await saved();
    const { session, both, a, c, g } = tree({ shape: 3 });
    await session.run([], { targets: [globalVariablesInitializer(g)] });
    await expect(new Checkpoint(both).restore(session, path)).rejects.toSatisfy(
      saying(GOLDEN.said.shape![1]),
    );
    expect([await valueIn(session, a), await valueIn(session, c)]).toEqual([[0, 0, 0], [0]]);
  });

  test("another dtype", async () => {
    const path = await saved();
    const g = new Graph(CORE_OPS);
    const a = variable(g, [1, 2], { name: "a", dtype: "int32" });
    const session = opened(g);
    await expect(new Checkpoint({ a }).restore(session, path)).rejects.toThrow(
      /expected dtype int32 does not equal original dtype float/,
    );
  });

  test("no checkpoint", async () => {
    const { session, both } = tree();
    const said = GOLDEN.said.missing![1].replaceAll("FOLDER", dir);
    await expect(new Checkpoint(both).restore(session, join(dir, "nope"))).rejects.toSatisfy(saying(said));
  });

  test("no trackable object, a variable of another graph, an attribute that the root has", async () => {
    expect(() => new Checkpoint({ a: 3 })).toThrow(
      GOLDEN.said["not trackable"]![1].replace(/\. If you believe.*/, "."),
    );
    const { session } = tree();
    await expect(new Checkpoint(tree().both).write(session, join(dir, "x"))).rejects.toThrow(
      "a:0 is a variable of another graph than the session's",
    );
    const { a, c, session: other } = tree();
    await expect(new Checkpoint({ a: c }, { root: { a } }).write(other, join(dir, "x"))).rejects.toThrow(
      GOLDEN.said["root has it"]![1],
    );
  });

  test("a variable without a value: nothing is written, and no save is counted", async () => {
    const { session, both } = tree();
    const checkpoint = new Checkpoint(both);
    await expect(checkpoint.save(session, join(dir, "c"))).rejects.toMatchObject({
      code: "FAILED_PRECONDITION",
    });
    expect(checkpoint.saveCounter).toBe(0);
    expect(await latestCheckpoint(dir)).toBeNull();
  });
});

describe("a checkpoint that goes by names", () => {
  async function byNames(options: { readonly writeVersion?: 1 | 2 } = {}): Promise<string> {
    const { g, session, a, c, q } = tree();
    await session.run([], { targets: [globalVariablesInitializer(g)] });
    await session.run([a.assign([1, 2]) as Output, c.assign(3) as Output, q.assign(4) as Output]);
    return (await saver(g, { varList: [a, c], ...options }).save(session, join(dir, "names")))!;
  }

  test.each([1, 2] as const)(
    "is restored into objects by the variables' names: V%s",
    async (writeVersion) => {
      const { session, both, a, c } = tree();
      const status = await new Checkpoint({ deep: [both] }).restore(session, await byNames({ writeVersion }));
      expect(status.report.missing).toEqual([]);
      status.assertConsumed().assertExistingObjectsMatched().assertNontrivialMatch();
      expect([await valueIn(session, a), await valueIn(session, c)]).toEqual([[1, 2], [3]]);
    },
  );

  test("says what it lacks", async () => {
    const { session, both, q, a } = tree();
    const status = await new Checkpoint({ ...both, q }).restore(session, await byNames());
    expect(() => status.assertConsumed()).toThrow(
      /Some objects had attributes which were not restored: \n {4}q: /,
    );
    expect(await valueIn(session, a)).toEqual([1, 2]);
    await status.initializeOrRestore();
    expect(await valueIn(session, q)).toEqual([1]);
  });
});

describe("objects", () => {
  test("save counts and names the state file, write does neither", async () => {
    const { session, both, g } = tree();
    await session.run([], { targets: [globalVariablesInitializer(g)] });
    const checkpoint = new Checkpoint(both);
    const path = join(dir, "deep", "er", "c");
    await checkpoint.write(session, path);
    expect(await latestCheckpoint(join(dir, "deep", "er"))).toBeNull();
    expect(await checkpoint.save(session, path)).toBe(`${path}-1`);
    expect(await checkpoint.save(session, path)).toBe(`${path}-2`);
    expect(await latestCheckpoint(join(dir, "deep", "er"))).toBe(`${path}-2`);
    const again = new Checkpoint(both);
    await again.restore(session, `${path}-2`);
    expect(await again.save(session, path)).toBe(`${path}-3`);
  });

  test("are instances of classes too, but not graphs, numbers and the like", async () => {
    const { g, a, c, session } = tree();
    class Layer {
      readonly kernel = a;
      readonly units = 2;
      readonly name = "layer";
    }
    class Net {
      readonly layers = [new Layer()];
      readonly graph = g;
      readonly session = session;
      readonly bias = c;
      readonly self = this;
      readonly log = new (class Log {
        readonly lines = 3;
      })();
    }
    await session.run([], { targets: [globalVariablesInitializer(g)] });
    await new Checkpoint({ net: new Net() }).write(session, join(dir, "c"));
    const collection = await openCheckpointCollection(join(dir, "c"));
    expect(collection.variables.map((v) => v.key).sort()).toEqual([
      "net/bias/.ATTRIBUTES/VARIABLE_VALUE",
      "net/layers/0/kernel/.ATTRIBUTES/VARIABLE_VALUE",
    ]);
    const { nodes } = readObjectGraph(collection.extras.objectGraph!, "c");
    expect(nodes[1]!.children.map(({ localName, nodeId }) => [localName, nodeId])).toEqual([
      ["layers", 2],
      ["bias", 3],
      ["self", 1],
    ]);
    await collection.close();
  });

  test("a root's attributes are the checkpoint's", async () => {
    const { g, a, c, session } = tree();
    await session.run([], { targets: [globalVariablesInitializer(g)] });
    await new Checkpoint({ extra: c }, { root: { a } }).write(session, join(dir, "c"));
    const collection = await openCheckpointCollection(join(dir, "c"));
    expect(collection.variables.map((v) => v.key).sort()).toEqual([
      "a/.ATTRIBUTES/VARIABLE_VALUE",
      "extra/.ATTRIBUTES/VARIABLE_VALUE",
    ]);
    await collection.close();
    (await new Checkpoint({ a, extra: c }).read(session, join(dir, "c"))).assertConsumed();
  });

  test("are values of this process too, such as a place in the data", async () => {
    const { session, a, g } = tree();
    await session.run([], { targets: [globalVariablesInitializer(g)] });
    let place = tensor([3, 7], "int64");
    const data = hostValue({
      name: "data",
      get: () => place,
      set: (value) => {
        place = value;
      },
    });
    const lookalike = { get: () => 1, set: () => 2, name: "none" };
    const checkpoint = new Checkpoint({ a, data, lookalike });
    const path = await checkpoint.save(session, join(dir, "c"));
    place = tensor([0, 0], "int64");
    const status = await checkpoint.restore(session, path);
    status.assertConsumed();
    expect(place).toEqual(tensor([3, 7], "int64"));
    expect(status.report.matched.map(({ name }) => name)).toEqual(["a", "data", "save_counter"]);
  });

  test("a map with keys that are no names is refused", async () => {
    const { session, a } = tree();
    const map = new Map<unknown, unknown>([[{}, a]]);
    await expect(new Checkpoint({ map }).write(session, join(dir, "c"))).rejects.toThrow(VarscopeError);
  });
});

import { describe, expect, test } from "vitest";
import { isVarscopeError } from "../base/index.ts";
import { Graph } from "../graph/index.ts";
import { CORE_OPS } from "../ops/index.ts";
import {
  AUTO_REUSE,
  createGlobalStep,
  GraphKeys,
  getGlobalStep,
  getVariable,
  getVariableScope,
  globalVariables,
  onesInitializer,
  trainableVariables,
  variable,
  variableFromProto,
  variableScope,
  zerosInitializer,
} from "./index.ts";

const graph = (): Graph => new Graph(CORE_OPS);

/** The sentence of the error that `body` throws. */
function whatOf(body: () => unknown, code: string): string {
  try {
    body();
  } catch (e) {
    if (!isVarscopeError(e)) throw e;
    expect(e.code).toBe(code);
    return e.what;
  }
  throw new Error("nothing was thrown");
}

describe("sharing fails with TensorFlow's sentences", () => {
  test("a variable made twice, and where it was made first", () => {
    const g = graph();
    getVariable(g, "w", { shape: [2] });
    const what = whatOf(() => getVariable(g, "w", { shape: [2] }), "ALREADY_EXISTS");
    expect(what).toMatch(
      /^Variable w already exists, disallowed\. Did you mean to set reuse=True or reuse=tf\.AUTO_REUSE in VarScope\?/,
    );
  });

  test("a missing variable", () => {
    const g = graph();
    const what = whatOf(
      () => variableScope(g, "s", { reuse: true }, () => getVariable(g, "nope", { shape: [2] })),
      "NOT_FOUND",
    );
    expect(what).toBe(
      "Variable s/nope does not exist, or was not created with tf.get_variable(). Did you mean to set reuse=tf.AUTO_REUSE in VarScope?",
    );
  });

  test.each([
    [false, "float32_ref"],
    [true, "float32"],
  ])("another shape or dtype (useResource %s)", (useResource, dtype) => {
    const g = graph();
    const w = { shape: [2, 3], useResource };
    getVariable(g, "w", w);
    const share = (o: object) => () => getVariable(g, "w", { reuse: true, ...o });
    expect(whatOf(share({ shape: [3, 2] }), "INVALID_ARGUMENT")).toBe(
      "Trying to share variable w, but specified shape (3, 2) and found shape (2, 3).",
    );
    expect(whatOf(share({ shape: [2, 3], dtype: "int32" }), "INVALID_ARGUMENT")).toBe(
      `Trying to share variable w, but specified dtype int32 and found dtype ${dtype}.`,
    );
  });

  test("no shape, and a shape too many", () => {
    const g = graph();
    expect(whatOf(() => getVariable(g, "ns"), "INVALID_ARGUMENT")).toBe(
      "Variable ns did not get an initializer, so its `shape` argument must be specified.",
    );
    expect(whatOf(() => getVariable(g, "c", { initializer: [1, 2], shape: [2] }), "INVALID_ARGUMENT")).toBe(
      "If initializer is a constant, do not specify shape.",
    );
  });

  test("reuse without a name", () => {
    const g = graph();
    const what = whatOf(
      () => variableScope(g, null, { defaultName: "d", reuse: true }, () => 0),
      "INVALID_ARGUMENT",
    );
    expect(what).toBe("reuse=True cannot be used without a name_or_scope");
    expect(whatOf(() => variableScope(g, null, {}, () => 0), "INVALID_ARGUMENT")).toBe(
      "If default_name is None then name_or_scope is required",
    );
  });
});

describe("scopes", () => {
  test("false inside true does not cancel reuse", () => {
    const g = graph();
    const w = variableScope(g, "a", {}, () => getVariable(g, "b/w", { shape: [1] }));
    const again = variableScope(g, "a", { reuse: true }, () =>
      variableScope(g, "b", { reuse: false }, () => getVariable(g, "w")),
    );
    expect(again).toBe(w);
  });

  test("reuseVariables holds until the scope ends", () => {
    const g = graph();
    variableScope(g, "s", {}, (scope) => {
      const w = getVariable(g, "w", { shape: [1] });
      scope.reuseVariables();
      expect(getVariable(g, "w")).toBe(w);
    });
    expect(getVariableScope(g).reuse).toBe(false);
    expect(() => variableScope(g, "s", {}, () => getVariable(g, "w", { shape: [1] }))).toThrow(
      /already exists/,
    );
  });

  test("AUTO_REUSE makes, then shares, and is inherited", () => {
    const g = graph();
    const make = () =>
      variableScope(g, "s", { reuse: AUTO_REUSE }, () =>
        variableScope(g, "t", {}, () => getVariable(g, "w", { shape: [1] })),
      );
    expect(make()).toBe(make());
  });

  test("an error in the body leaves the scope as it was", () => {
    const g = graph();
    expect(() =>
      variableScope(g, "s", {}, () => {
        throw new Error("mine");
      }),
    ).toThrow("mine");
    expect(getVariableScope(g).name).toBe("");
    expect(getVariable(g, "w", { shape: [1] }).op.name).toBe("w");
  });

  test("graphs share nothing", () => {
    const [a, b] = [graph(), graph()];
    variableScope(a, "s", { useResource: true }, () => {
      getVariable(a, "w", { shape: [1] });
      expect(getVariable(b, "w", { shape: [1] }).isResource).toBe(false);
    });
    expect(globalVariables(b).map((v) => v.name)).toEqual(["w:0"]);
  });

  test("a variable's own name takes a name that getVariable wanted", () => {
    const g = graph();
    variableScope(g, "vs", {}, () => {
      variable(g, 1, { name: "w" });
      const w = getVariable(g, "w", { shape: [1] });
      expect(w.name).toBe("vs/w_1:0");
      expect(variableScope(g, getVariableScope(g), { reuse: true }, () => getVariable(g, "w"))).toBe(w);
    });
  });
});

describe("collections", () => {
  test("a trainable variable in a collection of its own is not global", () => {
    const g = graph();
    const v = getVariable(g, "v", { shape: [1], collections: ["mine"] });
    expect(g.getCollection("mine")).toEqual([v]);
    expect(trainableVariables(g)).toEqual([v]);
    expect(globalVariables(g)).toEqual([]);
  });

  test("a scope is a regular expression at the name's start", () => {
    const g = graph();
    for (const name of ["a/x", "ab/x", "b/a/x"]) getVariable(g, name, { shape: [1] });
    expect(globalVariables(g, "a").map((v) => v.op.name)).toEqual(["a/x", "ab/x"]);
    expect(globalVariables(g, "a/").map((v) => v.op.name)).toEqual(["a/x"]);
  });
});

describe("the global step", () => {
  test("is made once", () => {
    const g = graph();
    expect(getGlobalStep(g)).toBeNull();
    const step = createGlobalStep(g);
    expect(getGlobalStep(g)).toBe(step);
    expect(() => createGlobalStep(g)).toThrow('"global_step" already exists.');
  });

  test("counts in whole numbers", () => {
    const g = graph();
    getVariable(g, "global_step", { shape: [], initializer: zerosInitializer() });
    expect(() => getGlobalStep(g)).toThrow(
      `Existing "global_step" does not have integer type: <dtype: 'float32_ref'>`,
    );
  });
});

test.each([false, true])(
  "a variable of a file is the variable that was written (useResource %s)",
  (useResource) => {
    const g = graph();
    const v = getVariable(g, "v", {
      shape: [2],
      initializer: onesInitializer(),
      useResource,
      trainable: false,
    });
    const again = variableFromProto(g, v.toProto());
    expect(again.toProto()).toEqual(v.toProto());
    expect(again).toMatchObject({
      name: v.name,
      dtype: "float32",
      shape: [2],
      trainable: false,
      isResource: useResource,
    });
    expect(again.initializer).toBe(v.initializer);
    g.addToCollection(GraphKeys.MODEL_VARIABLES, again);
  },
);

test("assigning another shape is refused where the shape is known", () => {
  const g = graph();
  const v = getVariable(g, "v", { shape: [2], useResource: true });
  expect(() => v.assign([1, 2, 3])).toThrow(
    /Shape mismatch\.The variable shape \(2,\), and the assigned value shape \(3,\)/,
  );
});

test("an initial value of unknown shape is refused", () => {
  const g = graph();
  const x = g.add("Placeholder", [], { attrs: { dtype: "float32", shape: { dims: [null] } } });
  expect(() => variable(g, x, { name: "v" })).toThrow(/initial_value must have a shape specified/);
  expect(variable(g, x, { name: "w", validateShape: false }).shape).toBeNull();
});

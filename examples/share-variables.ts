/** @file One function applied to two inputs with one set of variables: `AUTO_REUSE` makes them at the first call and shares them at the second. */
import { pathToFileURL } from "node:url";
import {
  AUTO_REUSE,
  globalVariables,
  globalVariablesInitializer,
  newGraph,
  type Output,
  placeholder,
  Session,
  setRandomSeed,
  tanh,
  toNumbers,
  variableScope,
} from "varscope";
import { dense } from "varscope/layers";

/** Two dense layers; their variables are encoder/hidden/kernel, ... whoever calls. */
const encode = (x: Output): Output =>
  variableScope(x.graph, "encoder", { reuse: AUTO_REUSE }, () =>
    dense(dense(x, 8, { activation: tanh, name: "hidden" }), 2, { name: "code" }),
  );

export async function main(
  print: (line: string) => void = console.log,
): Promise<{ variables: string[]; ops: string[]; codes: number[][] }> {
  const g = newGraph();
  setRandomSeed(g, 7);
  const left = encode(placeholder(g, "float32", { shape: [null, 3], name: "left" }));
  const right = encode(placeholder(g, "float32", { shape: [null, 3], name: "right" }));
  const init = globalVariablesInitializer(g);

  await using session = new Session(g);
  await session.run([], { targets: [init] });
  const feeds = { "left:0": [[1, 2, 3]], "right:0": [[1, 2, 3]] };
  const codes = (await session.run([left, right], { feeds })).map((t) => toNumbers(t));

  const variables = globalVariables(g).map((v) => v.op.name);
  const ops = [left.op.name, right.op.name];
  print(`variables: ${variables.join(", ")}`);
  print(`ops of the two calls: ${ops.join(", ")}`);
  print(`equal inputs, equal codes: ${JSON.stringify(codes)}`);
  return { variables, ops, codes };
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) await main();

/** @file One view over any container: what is in it, what is wrong with it, the same in another format, and what differs. */
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { diagnose, diffModels, openModel, planConvert, planEdit, writeModel } from "varscope/edit";

/**
 * @param path - any container of variables: a checkpoint, .keras, .h5, .npz, .safetensors, SavedModel, .pb
 * @param folder - where to write the same variables as .safetensors, and without the optimizer's
 */
export async function main(path: string, folder = ".", print: (line: string) => void = console.log) {
  const model = await openModel(path); // told by its bytes; reads the index alone
  try {
    for (const { name, role, of } of model.variables) {
      print(`${name}  ${role}${of === undefined ? "" : ` of ${of}`}`);
    }

    const { findings } = await diagnose(model);
    for (const { severity, rule, message } of findings) print(`${severity} ${rule}: ${message}`);

    const all = join(folder, "all.safetensors");
    const { contents } = planConvert(model, "safetensors");
    await writeModel(all, contents, { format: "safetensors" }); // streams: memory stays small

    const lean = join(folder, "lean.npz");
    await writeModel(lean, await planEdit(model, { dropSlots: true }), { format: "npz" });

    const [a, b] = [await openModel(all), await openModel(lean)];
    const { equal, changed, onlyInA } = await diffModels(a, b);
    print(`${equal} equal, ${changed.length} changed, ${onlyInA.length} only in ${all}`);
    await a.close();
    await b.close();
    return { variables: model.variables.length, findings: findings.length, equal, onlyInA: onlyInA.length };
  } finally {
    await model.close();
  }
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  const path = process.argv[2];
  if (path === undefined) throw new Error("usage: any-container PATH");
  await main(path);
}

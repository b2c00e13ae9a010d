/** @file Regenerates src/proto/*.gen.ts from src/proto/*.proto: `npm run schemas`. Needs `npm ci` only, no network. */

import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const protoDir = join(root, "src", "proto");
const bin = (pkg, file) => join(root, "node_modules", "@bufbuild", pkg, "bin", file);

const out = mkdtempSync(join(tmpdir(), "varscope-schemas-"));
const template = {
  version: "v2",
  plugins: [
    {
      local: [process.execPath, bin("protoc-gen-es", "protoc-gen-es")],
      out,
      opt: ["target=ts", "import_extension=ts"],
    },
  ],
};

try {
  const args = [bin("buf", "buf"), "generate", protoDir, "--template", JSON.stringify(template)];
  const { status } = spawnSync(process.execPath, args, { stdio: "inherit", cwd: root });
  if (status !== 0) process.exit(status ?? 1);
  for (const file of readdirSync(out)) {
    const text = readFileSync(join(out, file), "utf8").replaceAll(/"\.\/(\w+)_pb\.ts"/g, '"./$1.gen.ts"');
    writeFileSync(join(protoDir, file.replace("_pb.ts", ".gen.ts")), text);
    console.log(`src/proto/${file.replace("_pb.ts", ".gen.ts")}`);
  }
} finally {
  rmSync(out, { recursive: true, force: true });
}

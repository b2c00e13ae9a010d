/** @file Where the page starts: the reader, the state, what `varscope ui` or the address line gives. */

import { render } from "preact";
import { App } from "./app.tsx";
import { startReader } from "./client.ts";
import type { Given, ServedFile } from "./protocol.ts";
import { makeInspector } from "./state.ts";
import { restoreTheme } from "./theme.ts";

/** What `varscope ui` writes into the page. */
interface Served {
  readonly open: string;
  readonly files: readonly ServedFile[];
}

restoreTheme();
const inspector = makeInspector(startReader());
render(<App inspector={inspector} />, document.getElementById("app")!);
const given = givenAtStart();
if (given !== null) void inspector.open("a", given);

/** Files of `varscope ui`, or `#url=` of the address. */
function givenAtStart(): Given | null {
  const served = document.getElementById("served")?.textContent;
  if (served) {
    const { open, files } = JSON.parse(served) as Served;
    return {
      kind: "served",
      open,
      files: files.map((f) => ({ ...f, url: new URL(f.url, location.href).href })),
    };
  }
  const url = new URLSearchParams(location.hash.slice(1)).get("url");
  return url === null ? null : { kind: "address", url };
}

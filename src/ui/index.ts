/**
 * @file The inspector: a page that opens a container of variables where it lies, without a server. It reads, and changes nothing. The page
 * starts at main.tsx, its worker at worker.ts; tools/inspector.mjs puts both into dist/inspector/.
 */

export { containersIn } from "./containers.ts";
export { type Facets, facetsOf } from "./facets.ts";
export { type Row, rowsOf, type View } from "./rows.ts";
export { type Inspector, makeInspector, type State } from "./state.ts";

/** @file `varscope inspect --objects`: prints the tree of objects of a TF2 checkpoint or SavedModel. Start at `objectsCommand`. */

import { formatShape } from "../base/index.ts";
import { inspectObjects, type ObjectInspection } from "../edit/inspect-objects.ts";
import { openModel } from "../edit/open-model.ts";
import {
  type ObjectEdge,
  type ObjectValue,
  type TreeObject,
  VARIABLE_VALUE,
} from "../formats/object-graph/index.ts";
import { formatJson } from "./json.ts";
import {
  type Column,
  formatCount,
  formatTable,
  type Row,
  type Streams,
  type Style,
  styleFor,
} from "./terminal.ts";

/** Prints the tree. @throws VarscopeError as `openModel` and `inspectObjects` */
export async function objectsCommand(
  path: string,
  { json }: { readonly json?: boolean },
  { stdout }: Streams,
): Promise<void> {
  const model = await openModel(path);
  try {
    const found = await inspectObjects(model);
    stdout.write(json ? `${formatJson(found, 2)}\n` : treeText(found, styleFor(stdout)));
  } finally {
    await model.close();
  }
}

const COLUMNS: readonly Column[] = [
  { title: "object" },
  { title: "is" },
  { title: "variable" },
  { title: "dtype" },
  { title: "shape" },
  { title: "key" },
];

/** Lines that are printed; --json has all. */
const MOST_LINES = 100_000;
/** Levels that are indented, and letters of a cell: more is no tree for eyes, and padding would cost its square. */
const MOST_LEVELS = 40;
const MOST_LETTERS = 160;

/** The tree as lines of a table. */
export function treeText({ format, path, objects }: ObjectInspection, style: Style): string {
  const variables = objects.filter((o) => o.kind === "variable").length;
  const lost = objects.filter((o) => o.path === null).length;
  const counts = [
    `${formatCount(objects.length)} objects`,
    `${formatCount(variables)} of them variables`,
    ...(lost === 0 ? [] : [`${formatCount(lost)} that no path leads to`]),
  ];
  const rows = rowsOf(objects);
  const shown = rows.slice(0, MOST_LINES);
  const more = rows.length > MOST_LINES ? ["... and more; --json has all"] : [];
  const lines = [`${style.bold(format)}  ${path}`, counts.join(", "), ""];
  return `${[...lines, ...formatTable(COLUMNS, shown, style), ...more].join("\n")}\n`;
}

/** Depth first, each object under the edge that the tree has it at. */
function rowsOf(objects: readonly TreeObject[]): Row[] {
  const rows: Row[] = [];
  const [root] = objects;
  if (root === undefined) return rows;
  // edges that are still to be printed, the next one last
  const stack: { readonly from: TreeObject; readonly at: number; readonly depth: number }[] = [];
  const open = (object: TreeObject, depth: number): void => {
    for (let at = object.children.length + object.slots.length - 1; at >= 0; at--)
      stack.push({ from: object, at, depth });
  };
  const show = (name: string, object: TreeObject, depth: number): void => {
    for (const cells of objectRows(name, object, depth)) rows.push(cells);
  };
  show("(root)", root, 0);
  open(root, 1);
  while (stack.length > 0 && rows.length <= MOST_LINES) {
    const { from, at, depth } = stack.pop()!;
    const edge = from.children[at] ?? from.slots[at - from.children.length]!;
    const object = objects[edge.id]!;
    const name = nameOf(edge, objects);
    if (object.parent?.id === from.id && object.parent.edge === at) {
      show(name, object, depth);
      open(object, depth + 1);
    } else {
      const seen = variableValue(object);
      const where = object.path === "" ? "(root)" : object.path;
      rows.push(row(name, depth, `-> ${where}`, seen && { ...seen, key: "" }));
    }
  }
  return rows;
}

const nameOf = ({ name, of }: ObjectEdge, objects: readonly TreeObject[]): string =>
  of === undefined ? name : `${name} of ${objects[of]!.path ?? `object ${of}`}`;

const variableValue = ({ values }: Pick<TreeObject, "values">): ObjectValue | undefined =>
  values.find((v) => v.attribute === VARIABLE_VALUE);

/** Kinds that a line does not name: its children and values show them. */
const UNSAID: ReadonlySet<string> = new Set(["object", "values", "variable"]);

/** An object with its variable; other values of it have lines of their own. */
function objectRows(name: string, { kind, detail, values, children }: TreeObject, depth: number): string[][] {
  const count = kind === "list" ? `list of ${children.length}` : UNSAID.has(kind) ? "" : kind;
  const is = [count, detail].filter(Boolean).join(": ");
  const own = variableValue({ values });
  const others = values.filter((v) => v !== own);
  return [row(name, depth, is, own), ...others.map((v) => row(`(${v.attribute})`, depth + 1, "value", v))];
}

function row(name: string, depth: number, is: string, value?: ObjectValue): string[] {
  const indent = "  ".repeat(Math.min(depth, MOST_LEVELS));
  const stored =
    value === undefined
      ? []
      : [
          clipped(value.fullName),
          value.dtype ?? "",
          value.shape === undefined ? "" : formatShape(value.shape),
          clipped(value.key),
        ];
  return [`${indent}${clipped(name)}`, clipped(is), ...stored];
}

/** Text of a file for a cell: no line breaks or codes for terminals, and not too long. */
function clipped(text: string): string {
  const half = MOST_LETTERS / 2;
  const short = text.length <= MOST_LETTERS ? text : `${text.slice(0, half)}...${text.slice(-half)}`;
  return short.replaceAll(/\p{Cc}/gu, (c) => `\\x${c.charCodeAt(0).toString(16).padStart(2, "0")}`);
}

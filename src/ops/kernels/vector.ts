/**
 * @file A persistent vector: a change gives a new vector and costs O(log n), since the two share all else. A place may be empty, and
 * empty stretches take no memory. Lists of tensors are made of these. Start at `vectorOf`.
 */

/** Children of a node, and elements of a leaf. A power of 2 that keeps paths short: 10 million elements are 5 deep. */
const BRANCH = 32;

type Node<X> = readonly (Node<X> | X | undefined)[];

/** Immutable. */
export interface Vector<X> {
  readonly length: number;
  /** elements that one child of the root spans: 1 where the root is a leaf */
  readonly span: number;
  readonly root: Node<X>;
}

/** `length` empty places. */
export function emptyVector<X>(length: number): Vector<X> {
  let span = 1;
  while (span * BRANCH < length) span *= BRANCH;
  return { length, span, root: [] };
}

/** The elements of an array, whose `undefined` are empty places. */
export function vectorOf<X>(items: readonly (X | undefined)[]): Vector<X> {
  const build = (from: number, span: number): Node<X> => {
    if (span === 1) return items.slice(from, from + BRANCH);
    const children = Math.min(BRANCH, Math.ceil((items.length - from) / span));
    return Array.from({ length: children }, (_, i) => build(from + i * span, span / BRANCH));
  };
  const { length, span } = emptyVector<X>(items.length);
  return { length, span, root: build(0, span) };
}

/** The element at 0 <= index < length; undefined where the place is empty. */
export function vectorAt<X>(v: Vector<X>, index: number): X | undefined {
  let node: Node<X> | undefined = v.root;
  let rest = index;
  for (let span = v.span; span > 1 && node !== undefined; span /= BRANCH) {
    node = node[Math.floor(rest / span)] as Node<X> | undefined;
    rest %= span;
  }
  return node?.[rest] as X | undefined;
}

/** The vector with another element at 0 <= index < length. */
export function vectorWith<X>(v: Vector<X>, index: number, item: X): Vector<X> {
  const put = (node: Node<X> | undefined, span: number, at: number): Node<X> => {
    const copy = node === undefined ? [] : [...node];
    const child = Math.floor(at / span);
    copy[child] = span === 1 ? item : put(copy[child] as Node<X> | undefined, span / BRANCH, at % span);
    return copy;
  };
  return { ...v, root: put(v.root, v.span, index) };
}

/** The vector with another length: what lies beyond is let go, new places are empty. */
export function vectorResized<X>(v: Vector<X>, length: number): Vector<X> {
  let { span, root } = v;
  if (length < v.length) root = cut(root, span, length);
  while (span * BRANCH < length) {
    span *= BRANCH;
    root = root.length === 0 ? [] : [root];
  }
  return { length, span, root };
}

/** The first `length` elements below a node. */
function cut<X>(node: Node<X>, span: number, length: number): Node<X> {
  const kept = node.slice(0, Math.ceil(length / span));
  const rest = length % span;
  const last = kept[kept.length - 1];
  if (rest > 0 && last !== undefined && kept.length * span > length)
    kept[kept.length - 1] = cut(last as Node<X>, span / BRANCH, rest);
  return kept;
}

/** Indices and elements of the places that are not empty, in order. */
export function* vectorEntries<X>(v: Vector<X>): Generator<[number, X]> {
  function* walk(node: Node<X>, span: number, from: number): Generator<[number, X]> {
    for (const [i, child] of node.entries()) {
      if (child === undefined) continue;
      if (span === 1) yield [from + i, child as X];
      else yield* walk(child as Node<X>, span / BRANCH, from + i * span);
    }
  }
  yield* walk(v.root, v.span, 0);
}

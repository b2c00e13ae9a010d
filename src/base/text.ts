/** @file Order of texts as files sort them. Start at `compareText`. */

/**
 * Order of two texts by the bytes of their UTF-8: negative, 0, positive. As the order of code points, which UTF-16's own order is not
 * where one text has a surrogate and the other a unit above it.
 */
export function compareText(a: string, b: string): number {
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i++) {
    const [x, y] = [a.charCodeAt(i), b.charCodeAt(i)];
    if (x !== y)
      return isSurrogate(x) === isSurrogate(y)
        ? x - y
        : isSurrogate(x) && y > 0xdfff
          ? 1
          : isSurrogate(y) && x > 0xdfff
            ? -1
            : x - y;
  }
  return a.length - b.length;
}

const isSurrogate = (unit: number): boolean => unit >= 0xd800 && unit <= 0xdfff;

/** @file Options objects. */

/** Options without those that are undefined, so that they override nothing. */
export const defined = <O extends object>(options: O): { [K in keyof O]: Exclude<O[K], undefined> } =>
  Object.fromEntries(Object.entries(options).filter(([, v]) => v !== undefined)) as never;

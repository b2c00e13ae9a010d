/** @file Which containers lie among given files, by their names; what they are is told by their bytes later. Start at `containersIn`. */

const COLLATOR = new Intl.Collator("en", { numeric: true });
const KNOWN = /\.(keras|h5|hdf5|pb|pbtxt|meta|npz|safetensors|tflite|onnx)$/i;
const DATA = /\.data-\d{5}-of-\d{5}$/;
const V1_FIRST = /-00000-of-\d{5}$/;

/**
 * Paths that may be opened: prefixes of checkpoints, folders of SavedModels, single files. The one that is probably meant is first:
 * a SavedModel before its parts, then the checkpoint with the highest number.
 */
export function containersIn(paths: readonly string[]): string[] {
  const all = new Set(paths);
  const saved = paths
    .filter((p) => /(^|\/)saved_model\.(pb|pbtxt)$/.test(p))
    .map((p) => p.replace(/\/?saved_model\.\w+$/, "") || ".");
  const isPart = (p: string): boolean =>
    saved.some((folder) => {
      const start = folder === "." ? "" : `${folder}/`;
      return (
        p.startsWith(`${start}variables/`) ||
        /^(saved_model|fingerprint|keras_metadata)\.\w+$/.test(p.slice(start.length))
      );
    });
  const free = paths.filter((p) => !isPart(p));
  const prefixes = free.filter((p) => p.endsWith(".index")).map((p) => p.slice(0, -".index".length));
  const files = free.filter((p) => KNOWN.test(p) || (V1_FIRST.test(p) && !DATA.test(p)));
  const found = [
    ...saved.sort(),
    ...prefixes.sort(COLLATOR.compare).reverse(),
    ...files.sort(COLLATOR.compare),
  ];
  if (found.length > 0) return found;
  // Names say nothing: what is not a state file or a data shard may be a container of any kind.
  const rest = [...all].filter((p) => !/(^|\/)(checkpoint|\.[^/]*)$/.test(p));
  return rest.length > 0 ? rest.sort(COLLATOR.compare) : [...all];
}

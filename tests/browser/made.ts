/** safetensors files of a test's own making. */

/** @param values - float32 vectors; `zeros`: shapes whose values, zeros, are left to the server that adds them */
export function safetensors(
  values: Readonly<Record<string, readonly number[]>>,
  zeros: Readonly<Record<string, readonly number[]>> = {},
): Uint8Array {
  const header: Record<string, object> = {};
  let end = 0;
  const add = (name: string, shape: readonly number[]): void => {
    const start = end;
    end += shape.reduce((n, d) => n * d, 4);
    header[name] = { dtype: "F32", shape, data_offsets: [start, end] };
  };
  for (const [name, list] of Object.entries(values)) add(name, [list.length]);
  const data = new Float32Array(Object.values(values).flat());
  for (const [name, shape] of Object.entries(zeros)) add(name, shape);
  const json = new TextEncoder().encode(JSON.stringify(header));
  const padded = json.length + ((8 - (json.length % 8)) % 8);
  const bytes = new Uint8Array(8 + padded + data.byteLength).fill(0x20, 8, 8 + padded);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(padded), true);
  bytes.set(json, 8);
  bytes.set(new Uint8Array(data.buffer), 8 + padded);
  return bytes;
}

/** `count` small tensors, five a layer. */
export function manyTensors(count: number): Uint8Array {
  const kinds = ["kernel", "gamma", "beta", "moving_mean", "moving_variance"];
  return safetensors(
    Object.fromEntries(
      Array.from({ length: count }, (_, i) => [
        `layer_${Math.floor(i / 5)}/${kinds[i % 5]}`,
        [i, i + 0.5, -i, 1],
      ]),
    ),
  );
}

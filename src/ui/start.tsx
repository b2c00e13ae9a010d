/** @file Where files are given: dropped, chosen, or by address. Start at `Start`. */

import { useRef, useState } from "preact/hooks";
import { filesOfInput } from "./drop.ts";
import type { Given } from "./protocol.ts";

interface GiveProps {
  onGive(given: Given): void;
}

const FORMATS = [
  ["TensorFlow checkpoint", ".index + .data, V1, TF2 object"],
  ["SavedModel", "the whole folder"],
  ["Graph", ".pb .pbtxt .meta"],
  ["Keras", ".keras .weights.h5 .h5"],
  ["NumPy", ".npz"],
  ["safetensors", ".safetensors"],
] as const;

/** The page before a file is open. */
export function Start({ onGive, error }: GiveProps & { readonly error: string | null }) {
  return (
    <main class="start">
      <div class="target">
        <svg viewBox="0 0 48 48" aria-hidden="true">
          <path d="M24 30V10m-8 8 8-8 8 8M8 30v6a4 4 0 0 0 4 4h24a4 4 0 0 0 4-4v-6" />
        </svg>
        <h1>Drop a model here</h1>
        <p>All files of a checkpoint together, a folder, or a single file.</p>
        <Choose onGive={onGive} />
        {error !== null && (
          <p class="error" role="alert">
            {error}
          </p>
        )}
      </div>
      <ul class="formats">
        {FORMATS.map(([title, names]) => (
          <li key={title}>
            <b>{title}</b>
            <span>{names}</span>
          </li>
        ))}
      </ul>
      <p class="promise">Everything is read here, in this page. Nothing is uploaded.</p>
    </main>
  );
}

/** Buttons and an address line. */
export function Choose({ onGive }: GiveProps) {
  const files = useRef<HTMLInputElement>(null);
  const folder = useRef<HTMLInputElement>(null);
  const [url, setUrl] = useState("");
  const give = (e: Event): void => {
    const input = e.currentTarget as HTMLInputElement;
    if (input.files !== null && input.files.length > 0)
      onGive({ kind: "files", files: filesOfInput(input.files) });
    input.value = "";
  };
  const submit = (e: Event): void => {
    e.preventDefault();
    if (url.trim() !== "") onGive({ kind: "address", url: url.trim() });
  };
  const isFolder = { webkitdirectory: true } as object;
  return (
    <div class="choose">
      <div class="buttons">
        <button type="button" class="primary" onClick={() => files.current!.click()}>
          Choose files
        </button>
        <button type="button" onClick={() => folder.current!.click()}>
          Choose a folder
        </button>
      </div>
      <form onSubmit={submit}>
        <input
          type="url"
          aria-label="Address"
          placeholder="https://… address of a file or a checkpoint's prefix"
          value={url}
          onInput={(e) => setUrl(e.currentTarget.value)}
        />
        <button type="submit" disabled={url.trim() === ""}>
          Open
        </button>
      </form>
      <input ref={files} type="file" multiple hidden onChange={give} aria-label="Files" />
      <input ref={folder} type="file" hidden onChange={give} aria-label="Folder" {...isFolder} />
    </div>
  );
}

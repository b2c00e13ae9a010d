"""Writes tests/goldens/arrays with real numpy, safetensors and zipfile: python tools/goldens/arrays.py"""

import base64
import io
import json
import os
import zipfile

import ml_dtypes
import numpy as np
import safetensors
import safetensors.numpy
from safetensors import TensorSpec, serialize

OUT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "tests", "goldens", "arrays")
KINDS = ["bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float16", "float32", "float64", "complex64", "complex128"]
GRID = np.arange(6).reshape(2, 3)
# PyTorch's names: a convolution, a batch normalization, a layer normalization
TORCH = {
    "conv1.weight": np.arange(54, dtype=np.float32).reshape(2, 3, 3, 3),
    "conv1.bias": np.zeros(2, np.float32),
    "layer1.0.bn1.weight": np.ones(2, np.float32),
    "layer1.0.bn1.bias": np.zeros(2, np.float32),
    "layer1.0.bn1.running_mean": np.array([0.5, -1], np.float32),
    "layer1.0.bn1.running_var": np.array([2, 3], np.float32),
    "layer1.0.bn1.num_batches_tracked": np.array(7, np.int64),
    "ln.weight": np.ones(2, np.float32),
}


def truth(array, dtype=None):
    """What a reader must give."""
    array = np.asarray(array)
    row_major = np.ascontiguousarray(array).reshape(array.shape)
    if array.dtype.byteorder == ">":
        row_major = row_major.astype(array.dtype.newbyteorder("<"))
    if array.dtype.kind in "SU":
        texts = [s if isinstance(s, bytes) else s.encode() for s in row_major.ravel().tolist()]
        return {"dtype": "string", "shape": list(array.shape), "strings": [base64.b64encode(s).decode() for s in texts]}
    return {"dtype": dtype or str(row_major.dtype), "shape": list(array.shape), "values": base64.b64encode(row_major.tobytes()).decode()}


def save(name, data):
    with open(os.path.join(OUT, name), "wb") as f:
        f.write(data)


def npz(name, arrays, how=np.savez, **extra):
    file = io.BytesIO()
    how(file, **arrays)
    save(name, file.getvalue())
    listed = {k: v for k, v in arrays.items() if np.asarray(v).dtype.kind not in "OM" and np.asarray(v).dtype.names is None}
    return {"file": name, "format": "npz", "tensors": {k: truth(v) for k, v in listed.items()}, **extra}


def tensors(name, specs, metadata=None, **extra):
    """`specs`: name -> (dtype, array)"""
    data = serialize({k: TensorSpec(dtype=d, shape=list(a.shape), data_ptr=a.ctypes.data, data_len=a.nbytes) for k, (d, a) in specs.items()}, metadata)
    save(name, data)
    meta = {} if metadata is None else {"metadata": metadata}
    return {"file": name, "format": "safetensors", "tensors": {k: truth(a, d) for k, (d, a) in specs.items()}, "same": True, **meta, **extra}


class Pipe(io.RawIOBase):
    """A file that cannot be rewound: zipfile then puts sizes behind the data."""

    def __init__(self):
        self.data = b""

    def writable(self):
        return True

    def write(self, data):
        self.data += bytes(data)
        return len(data)


def zips():
    members = {"a.txt": b"hello", "folder/b.bin": bytes(range(256)) * 16, "empty": b"", "\u00e9\u4e2d.txt": "\u00e9".encode()}

    def archive(name, method, **options):
        file = options.pop("file", None) or io.BytesIO()
        with zipfile.ZipFile(file, "w", method) as z:
            z.comment = options.get("comment", b"")
            if options.get("folders"):
                z.mkdir("folder")
            for member, data in members.items():
                with z.open(zipfile.ZipInfo(member), "w", force_zip64=options.get("wide", False)) if method == 0 else z.open(member, "w") as out:
                    out.write(data)
        save(name, file.data if isinstance(file, Pipe) else file.getvalue())
        return {"file": name, "members": {k: base64.b64encode(v).decode() for k, v in members.items()}}

    return [
        archive("stored.zip", zipfile.ZIP_STORED, same=True),
        archive("wide.zip", zipfile.ZIP_STORED, wide=True),
        archive("deflated.zip", zipfile.ZIP_DEFLATED),
        archive("comment.zip", zipfile.ZIP_STORED, comment=b"a comment PK\x05\x06 with a signature", folders=True),
        archive("pipe.zip", zipfile.ZIP_DEFLATED, file=Pipe()),
    ]


def main():
    os.makedirs(OUT, exist_ok=True)
    every = {f"kinds/{k}": GRID.astype(k) for k in KINDS}
    odd = {
        "fortran": np.asfortranarray(np.arange(24, dtype=np.float32).reshape(2, 3, 4)),
        "fortran_vector": np.asfortranarray(np.arange(3, dtype=np.int16)),
        "big": GRID.astype(">f4"),
        "big_complex": (GRID + 2j).astype(">c16"),
        "bytes": np.array([b"ab", b"c", b""]),
        "text": np.array(["\u00e9\u4e2d", "\U0001f600", ""]),
        "none": np.zeros((0, 3), np.float32),
        "dense/kernel:0": np.full((3, 2), 0.25, np.float32),
    }
    objects = {"fine": GRID.astype(np.float32), "pickled": np.array([{"a": 1}, None], dtype=object), "times": np.array(["2026-01-01"], dtype="M8[D]"), "pairs": np.zeros(2, dtype=[("x", "<f4"), ("y", "<i4")])}
    plain = {**every, "scalar": np.array(2.5, np.float32), "none": np.zeros((0, 3), np.float32), "a/b/c": np.arange(300, dtype=np.uint8), "\u00e9": np.array([b"ab", b"c"])}
    bf16 = {"half": GRID.astype(ml_dtypes.bfloat16)}
    cases = [
        npz("plain.npz", plain, same=True),
        npz("compressed.npz", {**plain, "long": np.arange(600, dtype=np.int32)}, np.savez_compressed),
        npz("odd.npz", odd),
        npz("objects.npz", objects),
        npz("bfloat16.npz", bf16, same=True),
        npz("torch.npz", TORCH, same=True),
    ]
    specs = {f"kinds/{k}": (k, GRID.astype(k)) for k in KINDS if k != "complex128"}
    for dtype in ["bfloat16", "float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz"]:
        specs[dtype] = (dtype, GRID.astype(getattr(ml_dtypes, dtype)))
    specs['quote"and\\slash\n\u00e9'] = ("float32", np.array(2.5, np.float32))
    specs["none"] = ("int16", np.zeros((3, 0), np.int16))
    cases += [
        tensors("all.safetensors", specs),
        tensors("torch.safetensors", {k: (str(v.dtype), v) for k, v in TORCH.items()}, {"format": "pt"}),
        tensors("empty.safetensors", {}),
    ]
    manifest = {"by": f"numpy {np.__version__}, safetensors {safetensors.__version__}", "command": "python tools/goldens/arrays.py", "cases": cases, "zips": zips()}
    with open(os.path.join(OUT, "manifest.json"), "w") as f:
        json.dump(manifest, f, indent=1)
        f.write("\n")


main()

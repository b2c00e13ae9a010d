"""Writes tests/goldens/npy with real numpy: python tools/goldens/npy.py"""

import base64
import io
import json
import os

import ml_dtypes
import numpy as np

OUT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "tests", "goldens", "npy")


def case(claim, dtype, array, same=True, **extra):
    """`same`: our writer gives these very bytes."""
    file = io.BytesIO()
    np.save(file, array)
    row_major = np.ascontiguousarray(array).reshape(np.shape(array))
    if array.dtype.byteorder == ">":
        row_major = row_major.astype(array.dtype.newbyteorder("<"))
    if dtype == "string":
        values = {"strings": [base64.b64encode(s if isinstance(s, bytes) else s.encode()).decode() for s in row_major.ravel().tolist()]}
    else:
        values = {"values": base64.b64encode(row_major.tobytes()).decode()}
    return {"claim": claim, "dtype": dtype, "shape": list(array.shape), "same": same, "npy": base64.b64encode(file.getvalue()).decode(), **values, **extra}


def main():
    kinds = ["bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float16", "float32", "float64", "complex64", "complex128"]
    grid = np.arange(6).reshape(2, 3)
    cases = [case(k, k, grid.astype(k)) for k in kinds]
    cases += [
        case("bfloat16 is V2", "bfloat16", grid.astype(ml_dtypes.bfloat16)),
        case("float8 is V1, the reader is told", "float8_e4m3fn", grid.astype(ml_dtypes.float8_e4m3fn), told=True),
        case("a scalar", "float32", np.array(2.5, np.float32)),
        case("no elements", "float32", np.zeros((0, 3), np.float32)),
        case("one long axis", "uint8", np.arange(200, dtype=np.uint8)),
        case("Fortran order", "float32", np.asfortranarray(np.arange(24, dtype=np.float32).reshape(2, 3, 4)), same=False),
        case("Fortran order, complex", "complex64", np.asfortranarray((grid + 1j).astype(np.complex64)), same=False),
        case("Fortran order, strings", "string", np.asfortranarray(np.array([[b"a", b"bc"], [b"", b"def"]])), same=False),
        case("big-endian", "float32", grid.astype(">f4"), same=False),
        case("big-endian, complex", "complex128", (grid - 2j).astype(">c16"), same=False),
        case("bytes", "string", np.array([b"ab", b"c", b""])),
        case("text", "string", np.array(["\u00e9\u4e2d", "\U0001f600", ""]), same=False),
    ]
    os.makedirs(OUT, exist_ok=True)
    with open(os.path.join(OUT, "manifest.json"), "w") as f:
        rows = ",\n".join(json.dumps(c) for c in cases)
        f.write(f'{{ "by": "numpy {np.__version__}", "command": "python tools/goldens/npy.py",\n"cases": [\n{rows}\n] }}\n')


main()

"""Writes tests/goldens/numpy with real numpy: python tools/goldens/numpy_text.py

Arrays as text: str and repr of numpy, for every dtype, extremes, long lines, summaries.
"""

import base64
import json
import os

import ml_dtypes
import numpy as np

OUT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "tests", "goldens", "numpy")
rng = np.random.default_rng(7)
EXTRA = {n: getattr(ml_dtypes, n) for n in
         ["bfloat16", "float8_e5m2", "float8_e4m3fn", "float8_e4m3fnuz", "float8_e5m2fnuz", "float8_e4m3b11fnuz", "int4", "uint4"]}


def case(array, dtype=None, **options):
    array = np.asarray(array)
    name = dtype or ("string" if array.dtype == object else array.dtype.name)
    data = ({"strings": [base64.b64encode(s).decode() for s in array.ravel().tolist()]} if array.dtype == object
            else {"base64": base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()})
    with np.printoptions(**options):
        return {"dtype": name, "shape": list(array.shape), **data, "options": options, "str": str(array), "repr": repr(array)}


def floats(kind):
    nan, inf = np.nan, np.inf
    big = {np.float16: 60000, np.float32: 3e38, np.float64: 1e308}[kind]
    lists = [
        [0.5, 0.25], [1, 2, 3], [0.1, 0.2, 0.3], [1e-5, 1], [1e-4, 0.1], [1000.5, 1], [1001, 1], [999999, 1000], [1e6], [99999999], [1e8],
        [nan], [inf, -inf], [nan, 1], [-inf, 1.5], [inf, 1.5, nan], [0, -0.0], [big, 1], [big, nan], [5e-8, 1e-7],
        [0.001953125, 0.5], [0.0009765625, 1], [2.0**-12, 0.25], [1 / 3, 2 / 3], [123456.789, 0.001], [9.999999999, 1], [99.99999999],
        [1e-4], [9.99e-5], [1e3], [1e3, 1], [1.00000001], [123.456, -7.1, 0], [2.0**-24, 2.0**-20], [0.1 + 0.2], [3e-45],
    ]
    with np.errstate(over="ignore", under="ignore"):
        out = [case(np.array(x).astype(kind)) for x in lists]
        for shape in [(3, 4), (2, 3, 4), (30,), (1, 1, 2), (7, 11)]:
            for scale in [1, 1e-3, 300]:
                out.append(case((rng.standard_normal(shape) * scale).astype(kind)))
        out += [case(np.array(x).astype(kind)) for x in [0.1, 1e-5, 999, 1000, 123456, 1e6, 1.5e16, 1e16, 1e15, nan, -inf, -0.0, 3, 1e-4, 2.0**-12]]
        out.append(case(rng.standard_normal((40, 30)).astype(kind)))
        out.append(case(rng.standard_normal((3, 2, 200)).astype(kind)))
        out.append(case(rng.standard_normal((2, 5)).astype(kind), precision=3))
        out.append(case(np.array([1e-5, 1]).astype(kind), suppress=True))
        out.append(case(rng.standard_normal((8, 8)).astype(kind), threshold=10, edgeitems=2, linewidth=40))
        out.append(case(np.zeros((2, 0), kind)))
        out.append(case(np.zeros((0,), kind)))
    return out


def main():
    cases = []
    for kind in [np.float16, np.float32, np.float64]:
        cases += floats(kind)
    for name in ["int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64"]:
        info = np.iinfo(name)
        cases += [case(np.array([[info.min, 0, info.max], [1, 2, 3]], name)), case(np.array(7, name)), case(np.arange(40).astype(name)),
                  case(np.zeros((0,), name)), case(np.zeros((3, 0, 2), name))]
    cases += [case(np.arange(2000)), case(np.arange(1200).reshape(2, 600)), case(np.arange(1200).reshape(300, 2, 2)), case(np.arange(1001) % 2 == 0)]
    cases += [case(np.array([[True, False], [True, True]])), case(np.array(False)), case(np.array([True]))]
    for kind in [np.complex64, np.complex128]:
        values = [1 + 2j, 0.1 - 1e-5j, complex(np.nan, np.inf), 0, -0.0 - 1j, 1e8 + 1e7j, 2j, complex(-0.0, 2), 1e15 + 1e16j, complex(np.inf, np.nan)]
        cases += [case(np.array(v, kind)) for v in values]
        cases += [case(np.array(values, kind)), case(np.array([1 + 2j, -3.25 - 0.5j], kind)), case(np.array([[1j, np.nan]], kind))]
    for name, kind in EXTRA.items():
        small = np.array([0, 1, 2, 3, 5, 7] if name[0] == "u" else [-3, -1, 0, 1, 2, 5])
        cases += [case(small.reshape(2, 3).astype(kind), name), case(np.array(1).astype(kind), name)]
        if "float" in name and name != "bfloat16":
            cases.append(case(np.arange(256, dtype=np.uint8).view(kind), name))
    cases.append(case(np.array([1, 0.1, 1e-5, 3.14159, 1e20, np.nan, np.inf, -0.0, 123456, 0.001, 65504, 1e-40, 1234567]).astype(ml_dtypes.bfloat16), "bfloat16"))
    strings = [b"", b"plain", b"it's", b'"', b"'\"\\\n\t\r\x00\xff", "\u00e9".encode()]
    cases += [case(np.array(strings, object)), case(np.array(b"one", object)), case(np.array([[b"a", b"bc"]] * 20, object)), case(np.zeros((0,), object))]
    os.makedirs(OUT, exist_ok=True)
    with open(os.path.join(OUT, "manifest.json"), "w") as f:
        rows = ",\n".join(json.dumps(c) for c in cases)
        f.write(f'{{ "by": "numpy {np.__version__}, ml_dtypes {ml_dtypes.__version__}", "command": "python tools/goldens/numpy_text.py",\n"cases": [\n{rows}\n] }}\n')


main()

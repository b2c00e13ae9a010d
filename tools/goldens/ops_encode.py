"""Tensors, shapes and attribute values as the JSON of tests/goldens/ops.

A tensor is {"shape": [..], "values": [flat]} beside its "dtype". Floats are the shortest decimals that give the same
bits; "nan", "inf", "-inf" are text; integers beyond 2^53 are text; complex numbers are [re, im]; strings are text, or
{"hex": ..} where they are not UTF-8.
"""

import json

import numpy as np
import tensorflow as tf
from tensorflow.python.framework import tensor_util

SAFE = 2**53


def encode_text(text):
    return json.dumps(text, ensure_ascii=False)


def encode_bytes(data):
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return {"hex": data.hex()}


def encode_float(x):
    if np.isnan(x):
        return "nan"
    if np.isinf(x):
        return "inf" if x > 0 else "-inf"
    wide = x if x.dtype in (np.float32, np.float64) else np.float32(x)
    out = float(np.format_float_scientific(wide, unique=True, trim="-"))
    return int(out) if out == int(out) and abs(out) < 1e15 and not (out == 0 and np.signbit(out)) else out


def encode_int(x):
    return int(x) if abs(int(x)) < SAFE else str(int(x))


def encode_element(x, dtype):
    if dtype == tf.string:
        return encode_bytes(x if isinstance(x, bytes) else str(x).encode())
    if dtype == tf.bool:
        return bool(x)
    if dtype.is_complex:
        return [encode_float(x.real), encode_float(x.imag)]
    return encode_float(x) if dtype.is_floating else encode_int(x)


def encode_tensor(value, dtype):
    # as objects: numpy's own strings lose the zero bytes at their end
    array = np.asarray(value, dtype=object if isinstance(value, bytes) else None)
    flat = array.reshape(-1)
    return {
        "dtype": dtype.base_dtype.name,
        "shape": list(array.shape),
        "values": [encode_element(x, dtype.base_dtype) for x in flat],
    }


def encode_shape(shape):
    return None if shape.rank is None else [None if d is None else int(d) for d in shape.as_list()]


def encode_proto_shape(shape):
    return {"dims": None if shape.unknown_rank else [None if d.size < 0 else d.size for d in shape.dim]}


def encode_attr(value):
    """An AttrValue as JSON; dtypes by name, shapes {"dims"}, tensors {"tensor"}."""
    kind = value.WhichOneof("value")
    if kind == "s":
        return encode_bytes(value.s)
    if kind == "i":
        return encode_int(value.i)
    if kind == "f":
        return encode_float(np.float32(value.f))
    if kind == "b":
        return value.b
    if kind == "type":
        return tf.as_dtype(value.type).name
    if kind == "shape":
        return encode_proto_shape(value.shape)
    if kind == "tensor":
        dtype = tf.as_dtype(value.tensor.dtype)
        return {"tensor": encode_tensor(tensor_util.MakeNdarray(value.tensor), dtype)}
    if kind == "func":
        return {"func": value.func.name, "attrs": {k: encode_attr(v) for k, v in value.func.attr.items()}}
    one = value.list
    return (
        [encode_bytes(x) for x in one.s]
        + [encode_int(x) for x in one.i]
        + [encode_float(np.float32(x)) for x in one.f]
        + list(one.b)
        + [tf.as_dtype(x).name for x in one.type]
        + [encode_proto_shape(x) for x in one.shape]
        + [{"tensor": encode_tensor(tensor_util.MakeNdarray(x), tf.as_dtype(x.dtype))} for x in one.tensor]
        + [{"func": x.name, "attrs": {k: encode_attr(v) for k, v in x.attr.items()}} for x in one.func]
    )


def numpy_of(spec):
    """The array of {"dtype", "values", "shape"?}."""
    dtype = tf.as_dtype(spec["dtype"])
    if dtype == tf.string:
        array = np.array(as_bytes(spec["values"]), dtype=object)
    elif dtype.is_complex:
        array = np.asarray(map_complex(spec["values"])).astype(dtype.as_numpy_dtype)
    elif dtype.is_floating:
        array = np.asarray(map_numbers(spec["values"], float), dtype=np.float64).astype(dtype.as_numpy_dtype)
    elif dtype == tf.bool:
        array = np.asarray(spec["values"], dtype=bool)
    else:
        array = np.asarray(map_numbers(spec["values"], int), dtype=object).astype(dtype.as_numpy_dtype)
    return array.reshape(spec["shape"]) if "shape" in spec else array


def as_bytes(values):
    if isinstance(values, list):
        return [as_bytes(v) for v in values]
    return bytes.fromhex(values["hex"]) if isinstance(values, dict) else values.encode()


def map_numbers(values, convert):
    return [map_numbers(v, convert) for v in values] if isinstance(values, list) else convert(values)


def map_complex(values):
    """Innermost pairs are [re, im]."""
    if len(values) == 2 and not isinstance(values[0], list) and not isinstance(values[1], list):
        return complex(float(values[0]), float(values[1]))
    return [map_complex(v) for v in values]

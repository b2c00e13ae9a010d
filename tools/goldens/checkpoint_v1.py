"""Writes tests/goldens/checkpoint-v1 with real TensorFlow: python tools/goldens/checkpoint_v1.py

V1 checkpoints of every dtype that TensorFlow can save in them, strings, odd shapes, partitions, shards of a Saver, one with snappy
blocks (made here of another, since this TensorFlow writes none), what CheckpointReader and print_tensors_in_checkpoint_file say of
checkpoints of both formats, and what TensorFlow says of damaged ones. The messages that our own reader must give stand in
broken.json, which this script completes with TensorFlow's.
"""

import base64
import contextlib
import glob
import hashlib
import io
import json
import os
import shutil
import struct
import sys
import tempfile

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import ml_dtypes
import numpy as np
import tensorflow as tf2
from tensorflow.python.tools import inspect_checkpoint

tf = tf2.compat.v1
raw = tf2.raw_ops
OUT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", "..", "tests", "goldens", "checkpoint-v1"))


def encoded(array):
    """A tensor for the manifest: bytes in base64, strings one by one."""
    array = np.asarray(array)
    if array.dtype == object:
        return {"strings": [base64.b64encode(s).decode() for s in array.ravel().tolist()]}
    return {"base64": base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()}


def constants(tensors):
    return [tf2.constant(t[2], dtype=tf2.dtypes.as_dtype(t[1])) for t in tensors]


def save(path, tensors):
    """tensors: (name, dtype, array) or (name, dtype, array, spec)"""
    specs = [t[3] if len(t) > 3 else "" for t in tensors]
    raw.SaveSlices(filename=path, tensor_names=[t[0] for t in tensors], shapes_and_slices=specs, data=constants(tensors))
    return [
        {"name": t[0], "dtype": t[1], "shape": list(np.shape(t[2])), "slice": s, **encoded(t[2])}
        for t, s in zip(tensors, specs)
    ]


def every_dtype():
    out = []
    for name in ["float16", "float32", "float64"]:
        out.append((name, name, np.array([[0.0, -0.0, 1.5], [-2.25, np.inf, np.nan]]).astype(name)))
    for name in ["int8", "int16", "int32", "int64", "uint8", "uint16"]:
        info = np.iinfo(name)
        out.append((name, name, np.array([info.min, info.max, 0, 1, 127, 100 if info.min < 0 else 200], name)))
    for name in ["complex64", "complex128"]:
        out.append((name, name, np.array([1 + 2j, -3.5j, 0], name)))
    out.append(("bool", "bool", np.array([[True, False, True]])))
    for name in ["qint8", "quint8", "qint32"]:
        values = np.array([1, -2 if name[1] == "i" else 2, 100], np.dtype(name[1:]))
        out.append((name, name, values.view(tf2.dtypes.as_dtype(name).as_numpy_dtype)))
    grid = np.array([[b"", b"a"], [b"\xff\x00\xfe", "\u00e9\u4e2d".encode()]], object)
    out.append(("string", "string", grid))
    return out


def shapes():
    return [
        ("z/scalar", "float32", np.float32(3.5)),
        ("A", "int64", np.array(-7, np.int64)),
        ("a", "float32", np.arange(4, dtype=np.float32)),
        ("a/b", "float32", np.zeros([0], np.float32)),
        ("a_b", "float32", np.zeros([3, 0, 2], np.float32)),
        ("a.b", "int32", np.ones([1, 1, 1, 1, 1, 1], np.int32)),
        ("\u00e9/\u4e2d", "float64", np.array([1.0, -2.0])),
        ("text", "string", np.array(b"x" * 300, object)),
        ("none", "string", np.zeros([0, 2], object)),
        ("conv/kernel", "float32", np.arange(18, dtype=np.float32).reshape(3, 3, 1, 2)),
        ("conv/kernel/Adam", "float32", np.zeros([3, 3, 1, 2], np.float32)),
        ("conv/kernel/Adam_1", "float32", np.zeros([3, 3, 1, 2], np.float32)),
        ("beta1_power", "float32", np.float32(0.9)),
        ("global_step", "int64", np.array(660, np.int64)),
    ]


def parts():
    """As a partitioned Saver spells them: each extent in full."""
    table = np.arange(40, dtype=np.float32).reshape(10, 4)
    grid = (np.arange(24, dtype=np.int64).reshape(4, 6) - 12) * 10**10
    long = (np.arange(20_100) % 100).astype(np.int8)
    words = np.array([b"one", b"", b"three", b"four"], object)
    return [
        ("emb", "float32", table[0:4], "10 4 0,4:0,4"),
        ("w", "float32", np.float32(1)),
        ("emb", "float32", table[4:7], "10 4 4,3:0,4"),
        ("emb", "float32", table[7:10], "10 4 7,3:0,4"),
        ("grid", "int64", grid[:2, 0:3], "4 6 0,2:0,3"),
        ("grid", "int64", grid[:2, 3:6], "4 6 0,2:3,3"),
        ("grid", "int64", grid[2:, 0:3], "4 6 2,2:0,3"),
        ("grid", "int64", grid[2:, 3:6], "4 6 2,2:3,3"),
        ("long", "int8", long[:63], "20100 0,63"),
        ("long", "int8", long[63:8_300], "20100 63,8237"),
        ("long", "int8", long[8_300:], "20100 8300,11800"),
        ("words", "string", words[:1], "4 0,1"),
        ("words", "string", words[1:], "4 1,3"),
    ]


def many():
    """Several data blocks; the test builds the same by this rule."""
    return [(f"scope_{i % 97}/block{i // 97}/w", "float32", np.arange(i % 90, dtype=np.float32) + i) for i in range(4000)]


def large():
    """A block beyond what is read whole; the test builds the same by this rule."""
    values = np.arange(2_500_000, dtype=np.float32) * np.float32(0.5)
    return [("before", "int32", np.arange(7, dtype=np.int32)), ("kernel", "float32", values.reshape(2500, 1000)),
            ("steps", "int64", np.arange(1_500_000, dtype=np.int64) * 1_000_003 - 7_000_000), ("w", "float32", np.float32(2))]


def checksum(path):
    with open(path, "rb") as f:
        data = f.read()
    return {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def shards():
    """A Saver's three shards, one for each device, with a partitioned variable."""
    with tf.Graph().as_default():
        with tf.device("/cpu:0"):
            tf.get_variable("a", initializer=np.arange(6, dtype=np.float32).reshape(2, 3), use_resource=False)
        with tf.device("/cpu:1"):
            table = np.arange(40, dtype=np.float32).reshape(10, 4)
            whole = lambda shape, dtype, partition_info: tf.constant(
                table[partition_info.var_offset[0]:][: shape[0]], dtype)
            tf.get_variable("emb", [10, 4], initializer=whole, partitioner=tf.fixed_size_partitioner(3), use_resource=False)
        with tf.device("/cpu:2"):
            tf.get_variable("global_step", initializer=np.int64(7), use_resource=False)
        saver = tf.train.Saver(write_version=tf.train.SaverDef.V1, sharded=True)
        with tf.Session(config=tf.ConfigProto(device_count={"CPU": 3})) as session:
            session.run(tf.global_variables_initializer())
            return saver.save(session, "sharded", write_meta_graph=False, write_state=False)


# -- Snappy, for the blocks of an older file. A greedy encoder of our own: literals and copies with offsets of 2 bytes.


def varint(n):
    out = bytearray()
    while n > 127:
        out.append(n & 127 | 128)
        n >>= 7
    return bytes(out + bytes([n]))


def literal(data):
    out = b""
    for i in range(0, len(data), 256):
        part = data[i : i + 256]
        out += (bytes([len(part) - 1 << 2]) if len(part) <= 60 else bytes([60 << 2, len(part) - 1])) + part
    return out


def snappy(data):
    out, seen, start, i = bytearray(varint(len(data))), {}, 0, 0
    while i + 4 <= len(data):
        at = seen.get(data[i : i + 4], -1)
        seen[data[i : i + 4]] = i
        if at < 0 or i - at > 65535:
            i += 1
            continue
        length = 4
        while length < 64 and i + length < len(data) and data[at + length] == data[i + length]:
            length += 1
        out += literal(data[start:i]) + bytes([length - 1 << 2 | 2]) + struct.pack("<H", i - at)
        i += length
        start = i
    return bytes(out + literal(data[start:]))


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def read_varint(data, at):
    value = shift = 0
    while True:
        value |= (data[at] & 127) << shift
        shift += 7
        at += 1
        if data[at - 1] < 128:
            return value, at


def handle(data, at):
    offset, at = read_varint(data, at)
    size, at = read_varint(data, at)
    return offset, size, at


def compressed(table):
    """The same table with all its blocks compressed. Keys of its index are whole, since each is a restart."""
    _, _, at = handle(table, len(table) - 48)
    index_offset, index_size, _ = handle(table, at)
    out = bytearray()

    def put(block):
        stored = snappy(block) + b"\x01"
        crc = crc32c(stored)
        masked = ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF
        place = varint(len(out)) + varint(len(stored) - 1)
        out.extend(stored + struct.pack("<I", masked))
        return place

    index = table[index_offset : index_offset + index_size]
    count = struct.unpack("<I", index[-4:])[0]
    entries, restarts, at = bytearray(), [], 0
    while at < len(index) - 4 - 4 * count:
        shared, at = read_varint(index, at)
        assert shared == 0
        key_size, at = read_varint(index, at)
        _, at = read_varint(index, at)
        key = index[at : at + key_size]
        offset, size, at = handle(index, at + key_size)
        place = put(table[offset : offset + size])
        restarts.append(len(entries))
        entries += varint(0) + varint(len(key)) + varint(len(place)) + key + place
    ends = b"".join(struct.pack("<I", r) for r in restarts or [0])
    meta = put(struct.pack("<II", 0, 1))
    places = meta + put(bytes(entries) + ends + struct.pack("<I", len(restarts or [0])))
    return bytes(out) + places.ljust(40, b"\0") + table[-8:]


# -- What TensorFlow says


def said(work):
    try:
        return work()
    except Exception as e:  # noqa: BLE001 - whatever it says is the datum
        return f"{type(e).__name__}: {e}"


def printed(path, name="", **options):
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        inspect_checkpoint.print_tensors_in_checkpoint_file(path, name, **options)
    return out.getvalue()


def v2():
    """A V2 checkpoint for the printers."""
    table = np.arange(40, dtype=np.float32).reshape(10, 4) / 3
    return [
        ("b", "float32", np.float32(0.1)),
        ("emb", "float32", table[:4], "10 4 0,4:0,4"),
        ("emb", "float32", table[4:], "10 4 4,6:0,4"),
        ("global_step", "int64", np.array(660, np.int64)),
        ("brain", "bfloat16", np.array([0.1, -2, 1e20], ml_dtypes.bfloat16)),
        ("half", "float16", np.array([[0.1, 65504]], np.float16)),
        ("flag", "bool", np.array([True, False])),
        ("words", "string", np.array([[b"a", b"\xff'"], [b"", b"long"]], object)),
        ("word", "string", np.array(b"scalar", object)),
        ("wave", "complex64", np.array([1 + 2j, -0.5j], np.complex64)),
        ("long", "float32", np.linspace(-1, 1, 1500, dtype=np.float32).reshape(3, 500)),
        ("nothing", "float32", np.zeros([0, 3], np.float32)),
        ("big", "uint64", np.array([2**64 - 1, 0], np.uint64)),
        ("eight", "float8_e4m3fn", np.array([0.5, -1.5], ml_dtypes.float8_e4m3fn)),
        ("w", "float32", np.array([[1, -2.5], [1e-5, 3e10]], np.float32)),
    ]


def reports(paths):
    out = []
    for path in paths:
        reader = tf.train.NewCheckpointReader(path)
        maps = reader.get_variable_to_shape_map()
        cases = [dict(), dict(all_tensors=True), dict(all_tensor_names=True),
                 dict(all_tensor_names=True, count_exclude_pattern="global|Adam"), dict(name="global_step"), dict(name="qq"), dict(name="emb")]
        out.append({
            "path": path,
            "debug": base64.b64encode(reader.debug_string()).decode(),
            "shapes": maps,
            "dtypes": {name: dtype.name for name, dtype in reader.get_variable_to_dtype_map().items()},
            "list": [[name, shape] for name, shape in tf2.train.list_variables(path)],
            "missing": said(lambda: reader.get_tensor("qq")),
            "printed": [
                {"options": o, "text": printed(path, o.get("name", ""), **{"all_tensors": False, **{k: v for k, v in o.items() if k != "name"}})}
                for o in cases
            ],
        })
    return out


def said_of(broken, folder):
    """What TensorFlow says when it reads every tensor of each damaged checkpoint."""
    for case in broken:
        path = os.path.join(folder, "broken")
        with open(os.path.join(OUT, case["of"]), "rb") as f:
            data = bytearray(f.read())
        if "truncate" in case:
            data = data[: case["truncate"]]
        if "flip" in case:
            data[case["flip"]] ^= 0xFF
        if "garbage" in case:
            data = bytearray(b"garbage " * case["garbage"])
        with open(path, "wb") as f:
            f.write(data)

        def read():
            reader = tf.train.NewCheckpointReader(path)
            types = reader.get_variable_to_dtype_map()
            for name in sorted(types):
                raw.Restore(file_pattern=path, tensor_name=name, dt=types[name])
            return "no error"

        case["tensorflow"] = said(read).replace(path, "m").split("\n")[0]
    return broken


def main():
    os.makedirs(OUT, exist_ok=True)
    os.chdir(OUT)
    folder = tempfile.mkdtemp()
    manifest = {"by": f"tensorflow {tf2.__version__}", "command": "python tools/goldens/checkpoint_v1.py", "checkpoints": {}}
    for name, tensors in {"dtypes": every_dtype(), "shapes": shapes(), "parts": parts()}.items():
        manifest["checkpoints"][name] = save(name, tensors)
    for name, tensors in {"many": many(), "large": large()}.items():
        save(os.path.join(folder, name), tensors)
        manifest[name] = checksum(os.path.join(folder, name))
    with open("parts", "rb") as f, open("snappy", "wb") as g:
        g.write(compressed(f.read()))
    for file in glob.glob("sharded-*"):
        os.remove(file)
    shards()
    manifest["snappy read by tensorflow"] = said(
        lambda: raw.Restore(file_pattern="snappy", tensor_name="grid", dt=tf2.int64).numpy().tolist())
    tensors = v2()
    raw.SaveV2(prefix="v2", tensor_names=[t[0] for t in tensors], tensors=constants(tensors),
               shape_and_slices=[t[3] if len(t) > 3 else "" for t in tensors])
    with open("reports.json", "w") as f:
        paths = ["v2", "shapes", "parts", "sharded-?????-of-00003"]
        json.dump({"reports": reports(paths), "nope": printed("nope", all_tensors=False)}, f, indent=1)
        f.write("\n")
    broken = json.load(open("broken.json")) if os.path.exists("broken.json") else []
    with open("broken.json", "w") as f:
        json.dump(said_of(broken, folder), f, indent=1, ensure_ascii=False)
        f.write("\n")
    with open("manifest.json", "w") as f:
        json.dump(manifest, f, indent=1, ensure_ascii=False)
        f.write("\n")
    shutil.rmtree(folder)


if __name__ == "__main__":
    sys.exit(main())

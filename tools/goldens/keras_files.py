"""Keras's files with what Keras itself says is in them, broken ones and hostile ones, all in gzip.

    python tools/goldens/keras_files.py tests/goldens/keras-files [folder with tf_keras]

Keras 2 is tf_keras, installed or as source in the folder. The truth of a file is, for each variable, its path in Keras, dtype,
shape and SHA-1 of its bytes: values differ from each other, so a slot that is taken for another shows.
"""

import gzip
import hashlib
import io
import json
import os
import sys
import zipfile

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["CUDA_VISIBLE_DEVICES"] = ""
import h5py
import keras
import numpy as np
import tensorflow as tf

OUT = sys.argv[1]
sys.path[:0] = sys.argv[2:]
import tf_keras

VERSIONS = {"keras": keras.__version__, "tf_keras": tf_keras.__version__, "tensorflow": tf.__version__,
            "h5py": h5py.__version__, "hdf5": h5py.version.hdf5_version}
files, broken = {}, {}


def keep(name, data):
    with open(os.path.join(OUT, name + ".gz"), "wb") as f:
        f.write(gzip.compress(data, 9, mtime=0))


def fact(value):
    # ascontiguousarray makes scalars vectors
    value = np.asarray(value)
    digest = hashlib.sha1(value.tobytes()).hexdigest()[:16]
    return {"dtype": str(value.dtype), "shape": list(value.shape), "sha1": digest}


def saved(name, save, variables, format):
    path = os.path.join(OUT, name)
    save(path)
    with open(path, "rb") as f:
        keep(name, f.read())
    os.remove(path)
    files[name] = {"format": format, "variables": variables}


def truth(model, optimizer=True):
    """By path; seeds of dropout and the like are not saved."""
    all = list(model.variables) + (list(model.optimizer.variables) if optimizer else [])
    return {v.path: fact(v.numpy()) for v in all if "seed_generator" not in v.path}


def truth2(model, optimizer=True):
    state = model.optimizer.variables
    all = list(model.variables) + (list(state() if callable(state) else state) if optimizer else [])
    return {v.name.removesuffix(":0"): fact(v.numpy()) for v in all}


def train(k, model, optimizer, shape, out):
    rng = np.random.RandomState(3)
    model.compile(optimizer, k.losses.MeanSquaredError())
    model.fit(rng.rand(8, *shape), rng.rand(8, *out), epochs=2, batch_size=4, verbose=0)
    return model


def functional(k, **more):
    """All that has a name of its own: without scale, nested, cells, attention."""
    i = k.Input((6, 6, 1), name="img")
    x = k.layers.Conv2D(2, 3, name="conv1")(i)
    x = k.layers.BatchNormalization(name="bn1")(x)
    x = k.layers.BatchNormalization(name="bn_noscale", scale=False)(x)
    x = k.layers.SeparableConv2D(2, 2, name="sep")(x)
    x = k.layers.DepthwiseConv2D(2, name="dw")(x)
    x = k.Sequential([k.Input((2, 2, 2)), k.layers.Flatten(), k.layers.Dense(6, name="d_in")], name="inner")(x)
    x = k.layers.Reshape((2, 3))(x)
    x = k.layers.Bidirectional(k.layers.LSTM(2, name="lstm", return_sequences=True), name="bi")(x)
    x = k.layers.MultiHeadAttention(1, 2, name="mha")(x, x)
    x = k.layers.GRU(2, name="gru")(x)
    x = k.layers.LayerNormalization(name="ln")(x)
    x = k.layers.Dropout(0.1, name="drop")(x)
    o = k.layers.Dense(2, name="out")(x)
    return k.Model(i, o, name="net", **more)


def models():
    keras.utils.set_random_seed(1)
    m = train(keras, functional(keras), keras.optimizers.Adam(0.01, use_ema=True), (6, 6, 1), (2,))
    saved("functional.keras", m.save, truth(m), "keras-v3")
    saved("functional.weights.h5", m.save_weights, truth(m), "keras-weights")
    saved("functional.h5", m.save, truth(m), "keras-h5")
    tf_keras.utils.set_random_seed(1)
    m2 = train(tf_keras, functional(tf_keras), tf_keras.optimizers.get("adam"), (6, 6, 1), (2,))
    saved("keras2.h5", m2.save, truth2(m2), "keras-h5")
    saved("keras2-weights.h5", m2.save_weights, truth2(m2, False), "keras-h5")
    saved("keras2.keras", m2.save, truth2(m2), "keras-v3")
    old = train(tf_keras, functional(tf_keras), tf_keras.optimizers.RMSprop(0.01, momentum=0.5), (6, 6, 1), (2,))
    saved("keras2-old-optimizer.h5", old.save, truth2(old), "keras-h5")
    s = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4, name="d1"),
                          keras.layers.BatchNormalization(name="bn", center=False),
                          keras.layers.Dense(1, name="d2", dtype="bfloat16")], name="seq")
    train(keras, s, keras.optimizers.SGD(0.01, momentum=0.9), (3,), (1,))
    saved("sequential.keras", s.save, truth(s), "keras-v3")
    half = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, name="half", dtype="float16")], name="halves")
    half.build((None, 3))
    saved("half.weights.h5", half.save_weights, truth(half, False), "keras-weights")
    lambdas = keras.Sequential([keras.Input((3,)), keras.layers.Lambda(lambda x: x + 1), keras.layers.Dense(1, name="d")])
    saved("lambda.keras", lambdas.save, {}, "keras-v3")
    optimizers()


def optimizers():
    o = keras.optimizers
    for make in [o.SGD(), o.Adam(amsgrad=True), o.AdamW(), o.Nadam(), o.Adamax(), o.RMSprop(momentum=0.9, centered=True),
                 o.RMSprop(), o.Adagrad(), o.Adadelta(), o.Ftrl(), o.Lion(), o.Adam(gradient_accumulation_steps=2)]:
        i = keras.Input((3,))
        m = keras.Model(i, keras.layers.Dense(2, name="b")(keras.layers.Dense(3, name="a")(i)))
        train(keras, m, make, (3,), (2,))
        # An accumulator may be all zeros at the end, and so may others: each value its own.
        for n, v in enumerate(m.optimizer.variables):
            if v.shape:
                v.assign(np.random.RandomState(n).rand(*v.shape))
        name = type(make).__name__.lower() + ("-amsgrad" if getattr(make, "amsgrad", 0) else "") + (
            "-centered" if getattr(make, "centered", 0) else "") + (
            "-gathered" if make.gradient_accumulation_steps else "")
        saved("optimizer-%s.keras" % name, m.save, truth(m), "keras-v3")


def h5(name, fill, message=None, **options):
    data = io.BytesIO()
    with h5py.File(data, "w", **options) as f:
        fill(f)
    keep(name, data.getvalue())
    if message is not None:
        broken[name] = message
    return data.getvalue()


def arrays():
    """Dtypes, chunks and filters, which Keras itself does not write."""
    rng = np.random.RandomState(5)
    values = {
        "gzip": np.arange(12000, dtype="f4").reshape(300, 40), "tall": np.arange(12000, dtype="f4").reshape(4000, 3),
        "plain": np.tile(np.arange(100, dtype="f4"), (200, 1)),
        "be": rng.rand(5).astype(">f4"), "half": rng.rand(3).astype("f2"), "f64": rng.rand(2, 2),
        "bool": np.array([True, False]), "complex": np.array([1 + 2j, 3], "c8"), "i8": np.int8(-3),
        "u64": np.array([2**63], "u8"), "none": np.zeros((0, 4), "f4"), "text": np.array([b"a", b"bcd"])}
    options = {"gzip": dict(compression="gzip", shuffle=True, fletcher32=True), "tall": dict(chunks=(4000, 1), compression="gzip")}

    def fill(f):
        for name, value in values.items():
            f.create_dataset("g/" + name, data=value, **options.get(name, {}))

    h5("arrays.h5", fill)
    facts = {"g/" + n: fact(v.astype(v.dtype.newbyteorder("<"))) for n, v in values.items() if n != "text"}
    files["arrays.h5"] = {"format": "keras-h5", "variables": facts}


def hostile():
    def loop(f):
        f["a"] = h5py.SoftLink("/b")
        f["b"] = h5py.SoftLink("/a")

    def itself(f):
        f.create_group("a/b")
        f["a/b/c"] = f["a"]

    def deep(f):
        f.create_group("/".join("g%d" % i for i in range(100)))["x"] = np.zeros(2)

    def virtual(f):
        layout = h5py.VirtualLayout((4,), "f4")
        layout[:] = h5py.VirtualSource("/etc/passwd", "x", (4,))
        f.create_virtual_dataset("v", layout)

    def filtered(f):
        f.create_dataset("x", data=np.zeros((64, 64), "f4"), compression="lzf")

    def unlisted(f):
        g = f.create_group("dense")
        g.attrs["weight_names"] = [b"dense/kernel:0"]
        f.attrs["layer_names"] = [b"dense"]

    def lost_layer(f):
        f.attrs["layer_names"] = [b"dense", b"gone"]
        f.create_group("dense").attrs["weight_names"] = []

    h5("external-link.h5", lambda f: f.__setitem__("x", h5py.ExternalLink("/etc/passwd", "/x")),
       "[PERMISSION_DENIED] external-link.h5:x: it leads out of the file, to \"/etc/passwd\"; copy what it leads to into one file (h5repack, h5py)")
    h5("soft-loop.h5", loop,
       "[PERMISSION_DENIED] soft-loop.h5:a: a soft link to \"/b\", which is not followed; copy what it leads to into its place (h5py, h5repack)")
    h5("holds-itself.h5", itself,
       "[DATA_LOSS] holds-itself.h5:a/b/c/b/c/b/c/b/c/b/c/b/c/b/c/b/c/b/c/b/c/b/c/b/c/b/c/b/c/b/c/b/c/b/c/b/c/b/c/b: groups 65 deep; at most 64 are read; a group may hold itself; take the file from its origin again")
    h5("deep.h5", deep, None)
    h5("outside-values.h5", lambda f: f.create_dataset("x", (4,), "f4", external=[("/etc/passwd", 0, 16)]), None)
    h5("virtual.h5", virtual,
       "[PERMISSION_DENIED] virtual.h5:v: its values are those of other files, \"/etc/passwd\"; copy them into one file (h5py, h5repack)")
    h5("huge.h5", lambda f: f.create_dataset("x", (1 << 40,), "f4"),
       "[DATA_LOSS] huge.h5:x: shape [1099511627776] needs 4398046511104 bytes, the file has 1400; the file is cut short or made to mislead; take it from its origin again")
    h5("huge-packed.h5", lambda f: f.create_dataset("x", (1 << 40,), "f4", chunks=(1024,), compression="gzip"), None)
    h5("huge-chunk.h5", lambda f: f.create_dataset("x", (1 << 29,), "u1", chunks=(1 << 29,)), None)
    h5("lzf.h5", filtered,
       "[UNIMPLEMENTED] lzf.h5:x: its values are packed by filter 32000, which is not known; pack them with gzip (h5repack -f GZIP=4)")
    h5("table.h5", lambda f: f.create_dataset("x", data=np.zeros(3, [("a", "i4"), ("b", "f4"), ("c", "f4")])),
       "[UNIMPLEMENTED] table.h5:x: a type of class 6 and 12 bytes, which is no dtype; remove this dataset from a copy of the file")
    h5("weight-lost.h5", unlisted,
       "[DATA_LOSS] weight-lost.h5:dense: weight \"dense/kernel:0\" is listed, and has no dataset; the file is cut short or was edited; take it from its origin again")
    h5("layer-lost.h5", lost_layer,
       "[DATA_LOSS] layer-lost.h5: layer \"gone\" is listed, and has no group; the file is cut short or was edited; take it from its origin again")
    keep("garbage.h5", b"\x89HDF\r\n\x1a\n" + bytes(range(256)) * 8)
    keep("no-config.keras", archive({"model.weights.h5": b""}))
    broken["no-config.keras"] = "[DATA_LOSS] no-config.keras: no config.json inside; a .keras archive has config.json, metadata.json and model.weights.h5"
    keep("bad-config.keras", archive({"config.json": b"{", "model.weights.h5": b""}))


def archive(members):
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as z:
        for name, content in members.items():
            z.writestr(zipfile.ZipInfo(name), content)
    return data.getvalue()


os.makedirs(OUT, exist_ok=True)
models()
arrays()
hostile()
with open(os.path.join(OUT, "manifest.json"), "w") as f:
    head = {"by": VERSIONS, "command": "python tools/goldens/keras_files.py tests/goldens/keras-files", "broken": broken}
    f.write(json.dumps(head, indent=1)[:-2] + ',\n "files": {\n')
    f.write(",\n".join("  %s: %s" % (json.dumps(k), json.dumps(v, separators=(",", ":"))) for k, v in files.items()) + "\n }\n}\n")

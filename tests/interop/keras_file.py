"""Commands of worker.py: Keras's files by Keras and h5py. Keras wants eager execution, so it runs in the process of eager.py."""
import eager
import numpy as np


def _same(a, b):
    return len(a) == len(b) and all(np.array_equal(x.numpy(), y.numpy()) for x, y in zip(a, b))


def _plain(variables):
    return [v for v in variables if "seed_generator" not in v.path]


def keras_same(theirs, ours):
    return eager.call("keras_file", "compare", theirs, ours)


def compare(theirs, ours):
    """Loads a model and our file of it: equal outputs, weights, optimizer."""
    import keras

    model = keras.models.load_model(theirs)
    if ours.endswith(".weights.h5") or ours.endswith("weights-only.h5"):
        other = keras.models.load_model(theirs)
        for v in other.variables + other.optimizer.variables:
            v.assign(np.zeros(v.shape) + 7)
        other.load_weights(ours)
    else:
        other = keras.models.load_model(ours)
    x = np.random.RandomState(0).rand(2, *model.input_shape[1:])
    return {"outputs": bool(np.array_equal(model(x, training=False).numpy(), other(x, training=False).numpy())),
            "weights": _same(_plain(model.variables), _plain(other.variables)),
            "optimizer": _same(model.optimizer.variables, other.optimizer.variables)}


def h5_same(theirs, ours):
    """Paths of datasets and lists that differ between two HDF5 files."""
    import h5py

    def facts(path):
        found = {}
        with h5py.File(path) as f:
            def visit(name, o):
                if isinstance(o, h5py.Dataset):
                    found[name] = (str(o.dtype), o.shape, o[()].tobytes())
                for key, value in o.attrs.items():
                    found["%s@%s" % (name, key)] = [
                        t.decode() if isinstance(t, bytes) else str(t) for t in np.atleast_1d(value).tolist()]
            visit("", f)
            f.visititems(visit)
        return found

    a, b = facts(theirs), facts(ours)
    return sorted(k for k in a.keys() | b.keys() if a.get(k) != b.get(k))


COMMANDS = [keras_same, h5_same]

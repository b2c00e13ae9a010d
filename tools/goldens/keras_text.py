"""Keras's layers for words and numbers in a SavedModel, with what they answer: python tools/goldens/keras_text.py

Writes tests/goldens/keras-text/: model/ (saved_model.pb compressed; vocabularies as an asset and as values, TextVectorization with n-grams and weights, hashes, ranges) and
manifest.json, a call of its signature.
"""

import gzip
import json
import os
import pathlib
import shutil
import tempfile

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["CUDA_VISIBLE_DEVICES"] = "-1"

import keras
import numpy as np
import tensorflow as tf

OUT = pathlib.Path(__file__).resolve().parents[2] / "tests" / "goldens" / "keras-text"
L = keras.layers


class Model(tf.Module):
    def __init__(self, words):
        super().__init__()
        self.file = L.StringLookup(vocabulary=str(words))
        self.values = L.StringLookup(vocabulary=["red", "green"], num_oov_indices=2, mask_token="")
        self.back = L.StringLookup(vocabulary=["red", "green"], invert=True)
        self.whole = L.IntegerLookup(vocabulary=[10, 20, 30], output_mode="multi_hot")
        self.tokens = L.TextVectorization(output_sequence_length=5)
        self.weights = L.TextVectorization(ngrams=2, output_mode="tf_idf")
        for layer in (self.tokens, self.weights):
            layer.adapt(["the quick brown fox", "the world is fox"])
        self.hash = L.Hashing(num_bins=7)
        self.salted = L.Hashing(num_bins=7, salt=[133, 137])
        self.ranges = L.Discretization(bin_boundaries=[0.0, 1.0, 2.0])

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "word"), tf.TensorSpec([None], tf.string, "text"), tf.TensorSpec([None, 1], tf.int64, "whole"), tf.TensorSpec([None], tf.float32, "x")])
    def call(self, word, text, whole, x):
        return {
            "file": self.file(word),
            "values": self.values(word),
            "back": self.back(self.file(word)),
            "whole": self.whole(whole),
            "tokens": self.tokens(text),
            "weights": self.weights(text),
            "hash": self.hash(word),
            "salted": self.salted(word),
            "ranges": self.ranges(x),
        }


def encoded(value):
    array = np.asarray(value)
    if array.dtype == object or array.dtype.kind in "SU":
        return {"dtype": "string", "shape": list(array.shape), "values": [v.decode() if isinstance(v, bytes) else v for v in array.ravel()]}
    return {"dtype": array.dtype.name, "shape": list(array.shape), "values": array.ravel().tolist()}


def main():
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir(parents=True)
    with tempfile.TemporaryDirectory() as folder:
        words = pathlib.Path(folder) / "words.txt"
        words.write_text("blue\nred\ngreen\n")
        model = Model(words)
        options = tf.saved_model.SaveOptions(save_debug_info=False, experimental_custom_gradients=False)
        tf.saved_model.save(model, str(OUT / "model"), signatures=model.call, options=options)
    (OUT / "model" / "fingerprint.pb").unlink()
    file = OUT / "model" / "saved_model.pb"
    loaded = tf.saved_model.load(str(OUT / "model")).signatures["serving_default"]
    (OUT / "model" / "saved_model.pb.gz").write_bytes(gzip.compress(file.read_bytes(), 9, mtime=0))
    file.unlink()
    feeds = {
        "word": np.array(["green", "pink", ""], object),
        "text": np.array(["The QUICK, brown fox!", "hello  world\tfox fox", ""], object),
        "whole": np.array([[20], [7], [30]], np.int64),
        "x": np.array([-1, 1, 5], np.float32),
    }
    outputs = loaded(**{k: tf.constant(v) for k, v in feeds.items()})
    out = {
        "by": f"tensorflow {tf.__version__}, keras {keras.__version__}",
        "command": "python tools/goldens/keras_text.py",
        "feeds": {k: encoded(v) for k, v in feeds.items()},
        "outputs": {k: encoded(v.numpy()) for k, v in outputs.items()},
    }
    (OUT / "manifest.json").write_text(json.dumps(out, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()

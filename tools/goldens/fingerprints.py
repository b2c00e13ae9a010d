"""Hashes of byte strings in TensorFlow: python tools/goldens/fingerprints.py

Writes tests/goldens/fingerprints/manifest.json. A text of n bytes has the bytes (7 i + i² / 3) mod 256, i from 0; lengths pass every branch
of FarmHash. Values are unsigned, as text.
"""

import json
import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf

OUT = Path(__file__).resolve().parents[2] / "tests" / "goldens" / "fingerprints"
LENGTHS = [*range(70), 95, 96, 97, 100, 127, 128, 129, 191, 192, 193, 255, 256, 300, 1000]
KEYS = [[0, 0], [1, 2], [133, 137], [2**63 - 1, 12345678901234567]]
BIG = 2**63 - 1


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    texts = tf.constant([bytes((7 * i + i * i // 3) % 256 for i in range(n)) for n in LENGTHS])
    prints = tf.raw_ops.Fingerprint(data=tf.reshape(tf.constant(texts), [-1, 1]), method="farmhash64").numpy()
    out = {
        "by": f"tensorflow {tf.__version__}",
        "command": "python tools/goldens/fingerprints.py",
        "lengths": LENGTHS,
        "fast": [str(v) for v in tf.raw_ops.StringToHashBucketFast(input=texts, num_buckets=BIG).numpy()],
        "legacy": [str(v) for v in tf.raw_ops.StringToHashBucket(string_tensor=texts, num_buckets=BIG).numpy()],
        "strong": [{"key": [str(k) for k in key], "hashes": [str(v) for v in tf.raw_ops.StringToHashBucketStrong(input=texts, num_buckets=BIG, key=key).numpy()]} for key in KEYS],
        "fingerprint": [np.asarray(p).tobytes().hex() for p in prints],
        "buckets": str(BIG),
    }
    (OUT / "manifest.json").write_text(json.dumps(out, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()

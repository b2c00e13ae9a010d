"""What TensorFlow's CheckpointView says of the checkpoints in tests/goldens/object-checkpoint: children by id, and the order and paths of objects.

Writes tests/goldens/object-tree/. Usage: python tools/goldens/object_tree.py
"""

import gzip
import json
import os
import pathlib

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import tensorflow as tf

GOLDENS = pathlib.Path(__file__).resolve().parents[2] / "tests" / "goldens"
OUT = GOLDENS / "object-tree"


def tree(prefix):
    view = tf.train.CheckpointView(str(prefix))
    ids = view.descendants()
    return {
        "children": {str(i): view.children(i) for i in ids},
        "paths": {str(i): path for i, path in view._descendants_with_paths().items()},
    }


if __name__ == "__main__":
    OUT.mkdir(exist_ok=True)
    names = sorted(p.stem for p in (GOLDENS / "object-checkpoint").glob("*.index"))
    trees = {name: tree(GOLDENS / "object-checkpoint" / name) for name in names}
    (OUT / "trees.json.gz").write_bytes(gzip.compress(json.dumps(trees).encode(), mtime=0))
    manifest = {"tensorflow": tf.__version__, "command": "python tools/goldens/object_tree.py", "files": ["trees.json.gz"]}
    (OUT / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n")

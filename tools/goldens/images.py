"""Programs of the image functions as TensorFlow Python writes them: names, gradients and values, node for node.

Writes tests/goldens/images/ in the form of programs.py; the TypeScript twins stand in tests/conformance/programs/images.ts.

Usage: python tools/goldens/images.py
"""

import numpy as np
import tensorflow as tf2
import tensorflow.compat.v1 as tf
from programs import OUT, holder, run, write

PROGRAMS = {}
# eighths: short in the file
X = (np.random.RandomState(1).randint(-16, 16, (2, 4, 6, 3)) / 8).tolist()


def program(fn):
    PROGRAMS[fn.__name__] = fn
    return fn


def keep(outputs):
    for i, y in enumerate(outputs):
        tf.identity(y, name=f"y{i}")
    return [f"y{i}:0" for i in range(len(outputs))]


@program
def resize_methods():
    """Every method of tf.image.resize, with and without antialias, and gradients."""
    x = holder("x", [None, 4, 6, 3])
    ys = [tf2.image.resize(x, [3, 5], method) for method in ["bilinear", "nearest", "bicubic", "area", "lanczos3"]]
    ys += [tf2.image.resize(x, [2, 3], method, antialias=True) for method in ["bilinear", "bicubic", "nearest", "area"]]
    ys += [tf2.image.resize(x, [2, 9], method, antialias=True) for method in ["lanczos5", "gaussian", "mitchellcubic"]]
    loss = tf.add_n([tf.reduce_sum(y * y) for y in [ys[0], ys[1], ys[2], ys[4], ys[5]]], name="loss")
    (dx,) = tf.gradients(loss, x)
    tf.identity(dx, name="dx")
    return run(1, [{"x:0": X}], [*keep(ys), "dx:0"])


@program
def resize_sizes():
    """One image, sizes that are tensors or partly known, aspect ratios, names."""
    x = holder("x", [2, 4, 6, 3])
    some = holder("some", [None, None, 6, 3])
    size = holder("size", [2], tf.int32)
    ys = [
        tf2.image.resize(x[0], [2, 3]),
        tf2.image.resize(x, size),
        tf2.image.resize(some, [tf.shape(some)[1], 9]),
        tf2.image.resize(x, [8, 8], preserve_aspect_ratio=True),
        tf2.image.resize(some, size, preserve_aspect_ratio=True, name="fit"),
    ]
    return run(1, [{"x:0": X, "some:0": X, "size:0": [3, 5]}], keep(ys))


@program
def resize_v1():
    x = holder("x", [2, 4, 6, 3])
    ys = [
        tf.image.resize_bilinear(x, [3, 5]),
        tf.image.resize_bilinear(x, [3, 5], align_corners=True, name="corners"),
        tf.image.resize_bicubic(x, [8, 5]),
        tf.image.resize_nearest_neighbor(x, [8, 5], half_pixel_centers=True),
        tf.image.resize_area(x, [2, 4]),
    ]
    return run(1, [{"x:0": X}], keep(ys))


@program
def detection():
    """Boxes chosen by their scores, softly and over classes, and cropped."""
    x = holder("x", [2, 4, 6, 3])
    boxes = holder("boxes", [None, 4])
    scores = holder("scores", [None])
    taken = tf2.image.non_max_suppression(boxes, scores, 3, 0.4)
    soft, kept = tf2.image.non_max_suppression_with_scores(boxes, scores, 3, soft_nms_sigma=0.5, name="soft")
    classes = tf.stack([scores, 1.0 - scores], 1)
    combined = tf2.image.combined_non_max_suppression(
        tf.expand_dims(tf.expand_dims(boxes, 1), 0), tf.expand_dims(classes, 0), 2, 5, score_threshold=0.3
    )
    crops = tf2.image.crop_and_resize(x, tf.gather(boxes, taken), tf.zeros_like(taken), [2, 2], extrapolation_value=1.0)
    dx, dboxes = tf.gradients(crops, [x, boxes])
    tf.identity(dx, name="dx")
    tf.identity(tf.convert_to_tensor(dboxes), name="dboxes")
    feeds = {
        "x:0": X,
        "boxes:0": [[0, 0, 0.5, 0.5], [0, 0.125, 0.5, 0.625], [0.25, 0.5, 1, 1], [0, 0, 1, 0.75]],
        "scores:0": [0.5, 0.75, 0.25, 0.375],
    }
    return run(1, [feeds], [*keep([taken, soft, kept, *combined, crops]), "dx:0", "dboxes:0"])


@program
def colors():
    """Colors changed, and the windows of an image with their gradient."""
    x = holder("x", [2, 4, 6, 3])
    rgb = tf.sigmoid(x)
    ys = [
        tf2.image.adjust_contrast(rgb, 1.5),
        tf2.image.adjust_hue(rgb, 0.25),
        tf2.image.adjust_saturation(rgb, 0.5, name="pale"),
        tf2.image.hsv_to_rgb(tf2.image.rgb_to_hsv(rgb)),
        tf2.image.extract_patches(x, [1, 2, 3, 1], [1, 2, 2, 1], [1, 1, 1, 1], "SAME"),
    ]
    (dx,) = tf.gradients(ys[4] * ys[4], x)
    tf.identity(dx, name="dx")
    return run(1, [{"x:0": X}], [*keep(ys), "dx:0"])


if __name__ == "__main__":
    write(PROGRAMS, OUT.parent / "images", "images.py")

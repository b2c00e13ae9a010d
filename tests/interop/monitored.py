"""Monitored training of TensorFlow 1, and TensorBoard's own readers of event files."""
import importlib.util

import numpy as np
import tensorflow as tf2

tf = tf2.compat.v1


def train_monitored(folder, steps, save_steps):
    """The program of monitored.ts: trains to step `steps`, from what is in the folder. Returns the losses by step."""
    with tf.Graph().as_default():
        x = tf.placeholder(tf.float32, [None, 4], name="x")
        y = tf.placeholder(tf.float32, [None, 1], name="y")
        w1 = tf.get_variable("w1", initializer=np.linspace(-1, 1, 32).reshape(4, 8).astype(np.float32))
        b1 = tf.get_variable("b1", initializer=np.zeros(8, np.float32))
        w2 = tf.get_variable("w2", initializer=np.linspace(1, -1, 8).reshape(8, 1).astype(np.float32))
        step = tf.train.get_or_create_global_step()
        out = tf.matmul(tf.tanh(tf.matmul(x, w1) + b1), w2)
        loss = tf.reduce_mean(tf.square(out - y), name="loss")
        train = tf.train.AdamOptimizer(0.05).minimize(loss, step)
        losses = {}
        with tf.train.MonitoredTrainingSession(checkpoint_dir=folder, save_checkpoint_steps=save_steps) as s:
            at = int(s.run_step_fn(lambda step_context: step_context.session.run(step)))
            for i in range(at, steps):
                xs, ys = batch(i)
                losses[i] = float(s.run([loss, train], {x: xs, y: ys})[0])
    tf.summary.FileWriterCache.clear()
    return losses


def batch(i):
    xs = np.sin(np.arange(i * 32, i * 32 + 32, dtype=np.float64)).astype(np.float32).reshape(8, 4)
    return xs, xs.sum(1, keepdims=True) ** 2


def has_tensorboard():
    return importlib.util.find_spec("tensorboard") is not None


def read_events(folder):
    """What TensorBoard's accumulator finds in a folder of event files."""
    from tensorboard.backend.event_processing import event_accumulator

    found = event_accumulator.EventAccumulator(folder, size_guidance={k: 0 for k in event_accumulator.DEFAULT_SIZE_GUIDANCE})
    found.Reload()
    tags = found.Tags()
    graph = found.Graph()
    return {
        "scalars": {t: [[e.step, e.value] for e in found.Scalars(t)] for t in tags["scalars"]},
        "histograms": {
            t: [[e.step, h.num, h.sum, h.min, h.max, len(h.bucket), sum(h.bucket)]
                for e in found.Histograms(t) for h in [e.histogram_value]]
            for t in tags["histograms"]
        },
        "images": {
            t: [[e.step, e.width, e.height, pixels(e.encoded_image_string)] for e in found.Images(t)] for t in tags["images"]
        },
        "audio": {t: [[e.step, e.sample_rate, e.length_frames, e.content_type] for e in found.Audio(t)] for t in tags["audio"]},
        "tensors": {t: [[e.step, [s.decode() for s in e.tensor_proto.string_val]] for e in found.Tensors(t)] for t in tags["tensors"]},
        "text_plugin": sorted(found.PluginTagToContent("text")) if tags["tensors"] else [],
        "nodes": sorted(n.name for n in graph.node),
        "meta_graph": tags["meta_graph"],
    }


def pixels(png):
    with tf.Graph().as_default(), tf.Session() as s:
        return s.run(tf.image.decode_png(png)).reshape(-1).tolist()


def load_events(file):
    """Kinds of the records that TensorBoard's loader of one file gives."""
    from tensorboard.backend.event_processing import event_file_loader

    return [e.WhichOneof("what") for e in event_file_loader.LegacyEventFileLoader(file).Load()]


def write_events(folder):
    """An event file of TensorFlow's own writer, and what it holds."""
    with tf.Graph().as_default() as graph, tf.Session() as s:
        value = tf.placeholder(tf.float32, [3], name="value")
        tf.summary.scalar("sum", tf.reduce_sum(value))
        tf.summary.histogram("all", value)
        merged = tf.summary.merge_all()
        writer = tf.summary.FileWriter(folder, graph)
        for i in range(3):
            writer.add_summary(s.run(merged, {value: [i, 1, 2]}), i)
        writer.close()
        return [n.name for n in graph.as_graph_def().node]


COMMANDS = [train_monitored, has_tensorboard, read_events, load_events, write_events]

"""V1 checkpoints: what worker.py does with them. Values go through constants, as there."""
import tensorflow as tf2

tf = tf2.compat.v1


def v1_save(path, tensors):
    from __main__ import constant

    names = list(tensors)
    with tf.Graph().as_default(), tf.Session() as s:
        values = [constant(tensors[n]) for n in names]
        s.run(tf.raw_ops.SaveSlices(
            filename=path, tensor_names=names, shapes_and_slices=[""] * len(names), data=values))


def v1_load(pattern, dtypes, specs):
    """Tensors by name; a spec reads a part, across slices and shards."""
    from __main__ import encode

    with tf.Graph().as_default(), tf.Session() as s:
        read = [
            tf.raw_ops.RestoreSlice(
                file_pattern=pattern, tensor_name=n, shape_and_slice=specs.get(n, ""), dt=tf.as_dtype(d))
            for n, d in dtypes.items()
        ]
        values = s.run(read)
    return {n: encode(v, None if d == "string" else d) for (n, d), v in zip(dtypes.items(), values)}


def v1_restore(path, shapes):
    """A Saver of V1 restores float variables; gives the sum of each."""
    with tf.Graph().as_default(), tf.Session() as s:
        variables = {
            n: tf.get_variable(n, shape, initializer=tf.zeros_initializer(), use_resource=False)
            for n, shape in shapes.items()
        }
        tf.train.Saver(variables, write_version=tf.train.SaverDef.V1).restore(s, path)
        return {n: float(s.run(v).sum()) for n, v in variables.items()}


def v1_reader(path):
    """What TensorFlow's CheckpointReader tells."""
    reader = tf.train.NewCheckpointReader(path)
    return {
        "debug": sorted(reader.debug_string().decode().splitlines()),
        "shapes": reader.get_variable_to_shape_map(),
        "dtypes": {n: d.name for n, d in reader.get_variable_to_dtype_map().items()},
    }


COMMANDS = [v1_save, v1_load, v1_restore, v1_reader]

"""Programs of tensor arrays and lists as TensorFlow 1 style Python writes them: names, colocations and gradients, node for node.

Writes tests/goldens/lists/ in the form of programs.py; the TypeScript twins stand in tests/conformance/programs/lists.ts.

Usage: python tools/goldens/lists.py
"""

import tensorflow.compat.v1 as tf
from programs import OUT, holder, run, write
from tensorflow.python.ops import gen_list_ops as lists
from tensorflow.python.ops import list_ops

PROGRAMS = {}
X = [[1.0, 2.0], [3.0, -1.0], [0.5, 0.25], [2.0, 1.0]]


def program(fn):
    PROGRAMS[fn.__name__] = fn
    return fn


def loss_of(outputs, name="loss"):
    return tf.add_n([tf.reduce_sum(tf.sin(y)) for y in outputs], name=name)


@program
def tensor_array():
    """Every function of an array, and gradients through all of them, twice."""
    x = holder("x", [4, 2])
    kept = tf.TensorArray(tf.float32, size=4, clear_after_read=False).unstack(x)
    one = kept.read(2)
    some = kept.gather([3, 0])
    made = tf.TensorArray(tf.float32, size=0, dynamic_size=True)
    made = made.write(2, one * 2.0).write(0, one)
    parts = tf.TensorArray(tf.float32, size=2, infer_shape=False).split(x, [1, 3])
    scattered = tf.TensorArray(tf.float32, 4).scatter([2, 0, 1, 3], x * x)
    even = tf.TensorArray(tf.float32, size=2).split(x, tf.constant([2, 2], tf.int64))
    outputs = [one, some, made.stack(), parts.read(1), scattered.stack(), even.concat()]
    loss = loss_of(outputs)
    (dx,) = tf.gradients(loss, x)
    (again,) = tf.gradients(loss, x)
    tf.identity(dx, name="dx")
    tf.identity(again, name="again")
    tf.identity(made.size(), name="size")
    return run(1, [{"x:0": X}], ["loss:0", "dx:0", "again:0", "size:0"])


@program
def tensor_array_named():
    """Names, scopes, a size that is not known, no colocation, an element shape, other dtypes."""
    x = holder("x", [None, 2])
    n = tf.shape(x)[0]
    with tf.name_scope("in"):
        a = tf.TensorArray(tf.float32, n, tensor_array_name="rows", element_shape=[None], name="made")
        a = a.unstack(x, name="filled")
        b = tf.TensorArray(tf.float32, n, colocate_with_first_write_call=False)
        b = b.write(0, a.read(0, name="first"), name="put").write(1, [5.0, 6.0])
    with tf.device("/cpu:0"):
        y = b.stack(name="all")
        z = b.concat(name="flat")
        part = b.gather(tf.range(1), name="part")
    ints = tf.TensorArray(tf.int64, 1).write(0, tf.constant(3, tf.int64))
    tf.identity(ints.read(0), name="int")
    with tf.control_dependencies([ints.flow]):
        ints.close()
    loss_of([y])
    tf.identity(tf.gradients(y, x)[0], name="dx")
    tf.shape(z, name="flat_shape")
    tf.identity(part, name="some")
    return run(1, [{"x:0": X[:2]}], ["loss:0", "dx:0", "int:0"])


@program
def tensor_array_loop():
    """An array that a loop reads and one that it writes."""
    x = holder("x", [None, 2])
    n = tf.shape(x)[0]
    source = tf.TensorArray(tf.float32, n).unstack(x)
    made = tf.TensorArray(tf.float32, n, clear_after_read=False)

    def body(i, array, state):
        state = tf.tanh(source.read(i) + state)
        return i + 1, array.write(i, state), state

    _, made, last = tf.while_loop(lambda i, *_: i < n, body, [0, made, tf.zeros([2])])
    tf.identity(last, name="last")
    tf.identity(made.stack(), name="y")
    return run(2, [{"x:0": X}, {"x:0": X[:1]}], ["last:0", "y:0"])


@program
def tensor_list():
    """Gradients of list ops, each of them."""
    x = holder("x", [3, 2])
    a = list_ops.tensor_list_from_tensor(x, element_shape=[2])
    item = list_ops.tensor_list_get_item(a, 1, tf.float32)
    b = list_ops.tensor_list_set_item(a, 0, item * 3.0)
    b = lists.tensor_list_push_back(b, item)
    b, last = list_ops.tensor_list_pop_back(b, tf.float32)
    grown = list_ops.tensor_list_set_item(b, 4, last, resize_if_index_out_of_bounds=True)
    cut = lists.tensor_list_resize(grown, 2)
    some = list_ops.tensor_list_gather(b, [2, 0, 2], tf.float32)
    scattered = list_ops.tensor_list_scatter(x, [2, 0, 1], element_shape=[2])
    onto = list_ops.tensor_list_scatter(x * 2.0, [0, 1, 1], input_handle=scattered)
    outputs = [
        list_ops.tensor_list_stack(b, tf.float32),
        list_ops.tensor_list_stack(cut, tf.float32, element_shape=[2]),
        some,
        list_ops.tensor_list_stack(scattered, tf.float32, num_elements=3),
        list_ops.tensor_list_stack(onto, tf.float32),
    ]
    loss = loss_of(outputs)
    tf.identity(tf.gradients(loss, x)[0], name="dx")
    return run(1, [{"x:0": X[:3]}], ["loss:0", "dx:0"])


@program
def tensor_list_parts():
    """Gradients of split and concat, where shapes are not known, and of a vector's scalars."""
    x = holder("x", [None, 2])
    v = holder("v", [3])
    parts = list_ops.tensor_list_split(x, element_shape=None, lengths=tf.constant([1, 2], tf.int64))
    joined = list_ops.tensor_list_concat(parts, tf.float32, element_shape=[None, 2])
    first = list_ops.tensor_list_get_item(parts, 0, tf.float32)
    scalars = list_ops.tensor_list_from_tensor(v, element_shape=[])
    rows = list_ops.tensor_list_from_tensor(x, element_shape=None)
    old, _ = lists.tensor_list_concat(parts, tf.float32)
    outputs = [
        joined,
        first,
        list_ops.tensor_list_stack(scalars, tf.float32),
        list_ops.tensor_list_stack(rows, tf.float32),
        old,
    ]
    loss = loss_of(outputs)
    dx, dv = tf.gradients(loss, [x, v])
    tf.identity(dx, name="dx")
    tf.identity(dv, name="dv")
    return run(1, [{"x:0": X[:3], "v:0": [1.0, 2.0, 3.0]}], ["loss:0", "dx:0", "dv:0"])


if __name__ == "__main__":
    write(PROGRAMS, OUT.parent / "lists", "lists.py")

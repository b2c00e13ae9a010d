"""Random programs with loops and conditionals, differentiated: tests/interop/loop-gradients.ts makes them up and builds them too."""
import base64

import tensorflow as tf2

tf = tf2.compat.v1

OPS = {
    "mul": lambda m, x, y: x * y,
    "add": lambda m, x, y: x + y,
    "sub": lambda m, x, y: x - y,
    "tanh": lambda m, x, y: tf.tanh(x),
    "same": lambda m, x, y: tf.identity(x),
    "half": lambda m, x, y: x * 0.5,
    "w": lambda m, x, y: x * m["w"],
    "v": lambda m, x, y: x * m["v"],
}


def block(spec, values, counters, model):
    values = list(values)
    for op, *args in spec["steps"]:
        if op == "cond":
            test, *branches = args
            if test[0] == "count":
                half = counters[test[1]] % 2
                pred = tf.equal(half, 0)
            else:
                total = tf.reduce_sum(values[test[1]], [0])
                pred = tf.greater(total, 0.5)
            yes, no = [lambda b=b: block(b, values, counters, model) for b in branches]
            result = tf.cond(pred, yes, no)
            values += result if isinstance(result, list) else [result]
        elif op == "loop":
            times, first, body, swap, parallel = args

            def turn(i, *inside, body=body, values=list(values)):
                after = block(body, [*values, *inside], [*counters, i], model)
                return [i + 1, *after]

            start = [tf.constant(0), *[values[k] for k in first]]
            result = tf.while_loop(
                lambda i, *_, times=times: i < times, turn, start, swap_memory=swap, parallel_iterations=parallel
            )
            values += result[1:]
        elif op == "rows":
            index = counters[-1] if counters else tf.constant(1)
            row = tf.gather(model["table"], index)
            values.append(values[args[0]] + row)
        else:
            values.append(OPS[op](model, *[values[k] for k in args]))
    return [values[k] for k in spec["results"]]


VARIABLES = {"w": [0.9, -0.7], "v": 0.8, "table": [[0.1, 0.2], [0.3, -0.4], [0.5, 0.6], [-0.7, 0.8]]}
SHAPES = {"w": [2], "v": [], "table": [4, 2]}


def differentiated(spec, shape, useResource, colocate, feed):
    """The graph, and the gradients' values."""
    with tf.Graph().as_default() as graph:
        tf.get_variable_scope().set_use_resource(useResource)
        x = tf.placeholder(tf.float32, shape, name="x")
        model = {n: tf.get_variable(n, SHAPES[n], initializer=tf.constant_initializer(v)) for n, v in VARIABLES.items()}
        ys = block(spec, [x], [], model)
        grads = tf.gradients(ys, [x, *model.values()], colocate_gradients_with_ops=colocate)
        names = [n for n, grad in zip(["x", *model], grads) if grad is not None]
        dense = [tf.identity(tf.convert_to_tensor(grad), name="d" + n) for n, grad in zip(["x", *model], grads) if grad is not None]
        data = base64.b64encode(graph.as_graph_def().SerializeToString(deterministic=True)).decode()
        try:
            with tf.Session() as session:
                session.run([v.initializer for v in tf.global_variables()])
                values = [v.ravel().tolist() for v in session.run(dense, {x: feed})]
        except tf.errors.InvalidArgumentError:
            values = None  # TensorFlow cannot run its own sum of rows of tables that nothing was taken from
        return {"graph": data, "names": names, "values": values}


def loop_gradients(programs, feed):
    """For each program: its graph and values; null where TensorFlow does not build it."""
    tf.disable_control_flow_v2()
    results = []
    try:
        for program in programs:
            try:
                results.append(differentiated(**program, feed=feed))
            except ValueError:
                results.append(None)  # a shape that grows from round to round
    finally:
        tf.enable_control_flow_v2()
    return results


COMMANDS = [loop_gradients]

"""TensorFlow's side of the benchmark: builds a model on demand, runs it on command, answers with milliseconds.

One JSON object a line: {"setup": NAME, "threads": N} -> {"ok": true}, {"run": NAME, "n": K} -> {"ms": [...]}.
Models are raw TensorFlow in a tf.function (tape, FusedBatchNormV3, optimizer by raw op), as quick as TensorFlow goes; "keras:NAME" is the
Keras 3 model with train_on_batch's compiled step.
"""
import json
import os
import sys
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
import numpy as np
import tensorflow as tf


def glorot(shape):
    fan_in = int(np.prod(shape[:-1]))
    limit = (6 / (fan_in + shape[-1])) ** 0.5
    return np.random.default_rng(len(shape) + fan_in).uniform(-limit, limit, shape).astype("f")


def zeros(shape):
    return np.zeros(shape, "f")


def ones(shape):
    return np.ones(shape, "f")


class Layers:
    def __init__(self, training):
        self.params, self.moving, self.training = [], [], training
        self.p = self.m = 0
        self.first = True
        self.updates = []

    def start(self):
        self.p = self.m = 0
        self.updates = []

    def param(self, make, shape):
        if self.first:
            self.params.append(tf.Variable(make(shape)))
        self.p += 1
        return self.params[self.p - 1]

    def stat(self, make, shape):
        if self.first:
            self.moving.append(tf.Variable(make(shape), trainable=False))
        self.m += 1
        return self.moving[self.m - 1]

    def conv(self, x, filters, k, stride=1):
        w = self.param(glorot, [k, k, x.shape[-1], filters])
        return tf.raw_ops.Conv2D(input=x, filter=w, strides=[1, stride, stride, 1], padding="SAME")

    def bn(self, x):
        c = x.shape[-1]
        gamma, beta = self.param(ones, [c]), self.param(zeros, [c])
        mean, variance = self.stat(zeros, [c]), self.stat(ones, [c])
        if not self.training:
            return tf.raw_ops.FusedBatchNormV3(x=x, scale=gamma, offset=beta, mean=mean, variance=variance, epsilon=1e-3, is_training=False)[0]
        out = tf.raw_ops.FusedBatchNormV3(x=x, scale=gamma, offset=beta, mean=np.zeros([0], "f"), variance=np.zeros([0], "f"), epsilon=1e-3, is_training=True)
        self.updates += [(mean, out[1]), (variance, out[2])]
        return out[0]

    def dense(self, x, units):
        w, b = self.param(glorot, [x.shape[-1], units]), self.param(zeros, [units])
        return tf.nn.bias_add(tf.matmul(x, w), b)


def digits(l, x):
    x = tf.nn.relu(l.bn(l.conv(x, 32, 3)))
    y = tf.nn.relu(l.bn(l.conv(x, 32, 3)))
    x = tf.nn.relu(x + l.bn(l.conv(y, 32, 3)))
    x = tf.nn.max_pool2d(x, 2, 2, "VALID")
    x = tf.nn.relu(l.bn(l.conv(x, 64, 3)))
    x = tf.reduce_mean(x, [1, 2])
    return l.dense(x, 10)


def mnist_cnn(l, x):
    x = tf.nn.max_pool2d(tf.nn.relu(l.bn(l.conv(x, 32, 3))), 2, 2, "VALID")
    x = tf.nn.max_pool2d(tf.nn.relu(l.bn(l.conv(x, 64, 3))), 2, 2, "VALID")
    x = tf.reshape(x, [-1, 7 * 7 * 64])
    return l.dense(tf.nn.relu(l.dense(x, 128)), 10)


def resnet20(l, x):
    x = tf.nn.relu(l.bn(l.conv(x, 16, 3)))
    for filters, stride in [(16, 1)] * 3 + [(32, 2)] + [(32, 1)] * 2 + [(64, 2)] + [(64, 1)] * 2:
        y = tf.nn.relu(l.bn(l.conv(x, filters, 3, stride)))
        y = l.bn(l.conv(y, filters, 3))
        short = x if stride == 1 else l.bn(l.conv(x, filters, 1, stride))
        x = tf.nn.relu(y + short)
    return l.dense(tf.reduce_mean(x, [1, 2]), 10)


def mlp(l, x):
    x = tf.nn.relu(l.dense(x, 512))
    return l.dense(tf.nn.relu(l.dense(x, 512)), 10)


MODELS = {"digits": (digits, [64, 8, 8, 1]), "mnist-cnn": (mnist_cnn, [128, 28, 28, 1]), "resnet20": (resnet20, [128, 32, 32, 3]), "mlp": (mlp, [128, 784])}


def raw_training(name):
    build, shape = MODELS[name]
    l = Layers(True)
    x = tf.constant(np.random.default_rng(0).random(shape).astype("f"))
    y = tf.constant(np.random.default_rng(1).integers(0, 10, shape[0]).astype("int32"))
    build(l, x)
    l.first = False
    slots = [tf.Variable(tf.zeros_like(v)) for v in l.params]

    @tf.function
    def step(x, y):
        l.start()
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels=y, logits=build(l, x)))
        grads = tape.gradient(loss, l.params)
        for v, s, g in zip(l.params, slots, grads):
            tf.raw_ops.ResourceApplyMomentum(var=v.handle, accum=s.handle, lr=0.01, grad=g, momentum=0.9)
        for v, value in l.updates:
            v.assign_sub((v - value) * 0.01)
        return loss

    return lambda: step(x, y).numpy()


def raw_inference(name):
    build, shape = MODELS[name]
    l = Layers(False)
    x = tf.constant(np.random.default_rng(0).random(shape).astype("f"))
    build(l, x)
    l.first = False
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    @tf.function
    def run(x):
        l.start()
        return tf.nn.softmax(build(l, x))

    frozen = convert_variables_to_constants_v2(run.get_concrete_function(tf.TensorSpec(x.shape, tf.float32)))
    return lambda: frozen(x)[0].numpy()


def keras_training(name):
    import keras
    from keras import layers as k

    def conv_bn(x, f, size, s=1):
        return k.BatchNormalization()(k.Conv2D(f, size, s, "same", use_bias=False)(x))

    shape = MODELS[name][1]
    inp = x = keras.Input(shape[1:])
    if name == "mlp":
        x = k.Dense(512, "relu")(k.Dense(512, "relu")(x))
    elif name == "mnist-cnn":
        for f in (32, 64):
            x = k.MaxPooling2D()(k.ReLU()(conv_bn(x, f, 3)))
        x = k.Dense(128, "relu")(k.Flatten()(x))
    elif name == "digits":
        x = k.ReLU()(conv_bn(x, 32, 3))
        x = k.ReLU()(k.add([x, conv_bn(k.ReLU()(conv_bn(x, 32, 3)), 32, 3)]))
        x = k.GlobalAveragePooling2D()(k.ReLU()(conv_bn(k.MaxPooling2D()(x), 64, 3)))
    else:
        x = k.ReLU()(conv_bn(x, 16, 3))
        for f, s in [(16, 1)] * 3 + [(32, 2)] + [(32, 1)] * 2 + [(64, 2)] + [(64, 1)] * 2:
            y = conv_bn(k.ReLU()(conv_bn(x, f, 3, s)), f, 3)
            x = k.ReLU()(k.add([y, x if s == 1 else conv_bn(x, f, 1, s)]))
        x = k.GlobalAveragePooling2D()(x)
    model = keras.Model(inp, k.Dense(10)(x))
    model.compile(keras.optimizers.SGD(0.01, 0.9), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    a = tf.constant(np.random.default_rng(0).random(shape).astype("f"))
    b = tf.constant(np.random.default_rng(1).integers(0, 10, shape[0]).astype("int32"))
    data = iter(tf.data.Dataset.from_tensors((a, b)).repeat().prefetch(2))
    model.make_train_function()
    return lambda: float(model.train_function(data)["loss"])


def make(name):
    kind, model = name.split(":")
    return {"train": raw_training, "infer": raw_inference, "keras": keras_training}[kind](model)


def checkpoint(command):
    """Saves or restores so many megabytes in variables of 4 MB."""
    prefix, mb = command["prefix"], command["mb"]
    tf.compat.v1.disable_eager_execution()
    with tf.Graph().as_default():
        vs = [tf.compat.v1.get_variable(f"v{i:04}", initializer=tf.zeros([1 << 20]), use_resource=True) for i in range(mb // 4)]
        saver = tf.compat.v1.train.Saver(vs)
        with tf.compat.v1.Session() as session:
            session.run(tf.compat.v1.global_variables_initializer())
            out = {"save": [], "restore": []}
            for _ in range(command["n"]):
                for key, run in (("save", lambda: saver.save(session, prefix, write_meta_graph=False)), ("restore", lambda: saver.restore(session, prefix))):
                    t = time.perf_counter()
                    run()
                    out[key].append((time.perf_counter() - t) * 1000)
    return out


def main():
    runs = {}
    for line in sys.stdin:
        command = json.loads(line)
        if "setup" in command:
            tf.config.threading.set_intra_op_parallelism_threads(command["threads"])
            runs[command["setup"]] = make(command["setup"])
            answer = {"ok": True}
        elif "run" in command:
            times = []
            for _ in range(command["n"]):
                t = time.perf_counter()
                runs[command["run"]]()
                times.append((time.perf_counter() - t) * 1000)
            answer = {"ms": times}
        elif "checkpoint" in command:
            answer = checkpoint(command)
        else:
            answer = {"version": tf.__version__}
        print(json.dumps(answer), flush=True)


main()

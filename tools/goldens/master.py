"""What TensorFlow's own client and server say to each other: a small program through a proxy that writes both down.

Writes tests/goldens/master/calls.json ([{method, request, answer, code, message}], messages in base64) and manifest.json. The program's
twin stands in src/run/remote/session.test.ts.

Usage: python tools/goldens/master.py   (needs grpcio)
"""

import base64
import json
import os
import pathlib
import subprocess
import sys
from concurrent import futures

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")

import grpc
import tensorflow.compat.v1 as tf

tf.disable_v2_behavior()

OUT = pathlib.Path(__file__).resolve().parents[2] / "tests" / "goldens" / "master"


class Proxy(grpc.GenericRpcHandler):
    """Hands every unary call on to a server and writes both sides down."""

    def __init__(self, address):
        self.channel = grpc.insecure_channel(address)
        self.calls = []

    def service(self, details):
        method = details.method

        def handle(request, context):
            call = {"method": method, "request": base64.b64encode(request).decode()}
            try:
                answer = self.channel.unary_unary(method)(request, timeout=20)
                self.calls.append({**call, "answer": base64.b64encode(answer).decode()})
                return answer
            except grpc.RpcError as e:
                self.calls.append({**call, "code": e.code().value[0], "message": e.details()})
                context.abort(e.code(), e.details())

        return grpc.unary_unary_rpc_method_handler(handle)


def program(target):
    with tf.Graph().as_default():
        x = tf.placeholder(tf.float32, [None], name="x")
        w = tf.get_variable("w", [], initializer=tf.constant_initializer(3.0))
        y = tf.multiply(x, w, name="y")
        init = tf.global_variables_initializer()
        with tf.Session(target) as session:
            session.run(init)
            session.run(y, {x: [1.0, 2.0]})
            text = tf.constant(["a", "bc"], name="text")
            flag = tf.logical_not(tf.placeholder(tf.bool, [], name="flag"), name="not")
            session.run([text, flag, y], {"flag:0": True, x: [0.5]})
            try:
                session.run(y)
            except tf.errors.InvalidArgumentError:
                pass
            try:
                session.run(tf.floordiv(tf.placeholder(tf.int32, name="n"), 0, name="ratio"), {"n:0": 1})
            except tf.errors.InvalidArgumentError:
                pass
            session.list_devices()
    tf.Session.reset(target, ["box"])


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    real = tf.train.Server.create_local_server()
    proxy = Proxy(real.target.replace("grpc://", ""))
    server = grpc.server(futures.ThreadPoolExecutor(4), handlers=[proxy])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    # in a process of its own: parts of the client hold Python's lock while they wait for the proxy
    subprocess.run([sys.executable, __file__, "grpc://127.0.0.1:%d" % port], check=True)
    server.stop(0)
    rows = ",\n".join(json.dumps(c, separators=(",", ":")) for c in proxy.calls)
    (OUT / "calls.json").write_text("[\n%s\n]\n" % rows)
    manifest = {"tensorflow": tf.__version__, "command": "python tools/goldens/master.py"}
    (OUT / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n")


if len(sys.argv) > 1:
    program(sys.argv[1])
else:
    main()

"""What worker.py asks of TensorFlow and Keras as they are by default, eager: one process beside it, started with the first call."""
import importlib
import json
import os
import subprocess
import sys

_process = None


def call(module, function, *arguments, **named):
    """What a function of another file here gives for arguments; all of it goes as JSON."""
    global _process
    if _process is None:
        _process = subprocess.Popen([sys.executable, os.path.abspath(__file__)], stdin=subprocess.PIPE,
                                    stdout=subprocess.PIPE, text=True, env={**os.environ, "CUDA_VISIBLE_DEVICES": ""})
    _process.stdin.write(json.dumps([module, function, arguments, named]) + "\n")
    _process.stdin.flush()
    answer = _process.stdout.readline()
    if not answer:
        raise RuntimeError("the eager process died at %s.%s" % (module, function))
    found = json.loads(answer)
    if "error" in found:
        raise RuntimeError(found["error"])
    return found["result"]


def main():
    sys.dont_write_bytecode = True
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever Keras prints must not stand between the answers
    import keras

    for line in sys.stdin:
        module, function, arguments, named = json.loads(line)
        keras.backend.clear_session()  # names of layers count from the start, as in a new process
        try:
            found = {"result": getattr(importlib.import_module(module), function)(*arguments, **named)}
        except Exception as e:  # the one who asked shows it
            found = {"error": "%s: %s" % (type(e).__name__, e)}
        answers.write(json.dumps(found) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()

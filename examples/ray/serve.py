#!/usr/bin/env python3
"""Serves sentence vectors with Ray Serve: requests that come together are one batch of the model, of any size up to 32.

    examples/search/setup.sh BUILD FOLDER            installs and compiles the encoder
    pip install 'ray[serve]'
    export PYTHONPATH=python:examples/search:FOLDER/packages
    serve.py FOLDER [--port 8000] [--replicas N] [--engine onnxruntime] [--queue 64] [--seconds 2]
    curl -d 'draw graphs as pictures' localhost:8000

The answer is JSON: the vector, how many shared its batch, the process.  More than --queue requests that wait for a free replica are
refused at once (503), those that take longer than --seconds, waiting included, end (408), a text that is too long or no UTF-8 is an error of the
client (400).  A replica that does not give a known vector any more, or died, is replaced.  /-/healthz says whether all is up.
"""

import argparse
import asyncio
import os
import signal
import threading

import numpy as np
import ray
from ray import serve
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse

BATCH, WAIT = 32, 0.005  # requests, seconds that the first waits for others
MOST = 10_000  # bytes of a request


@serve.deployment(max_ongoing_requests=2 * BATCH, health_check_period_s=2, ray_actor_options={"num_cpus": 1})
class Encoder:
    def __init__(self, folder, engine):
        import search

        if engine == "onnxruntime":
            import compare
        self.encode = search.Encoder(search.compiled(folder) if engine == "dcc" else compare.session(folder))
        self.known = self.encode(["a line that is known"])

    @serve.batch(max_batch_size=BATCH, batch_wait_timeout_s=WAIT)
    async def vectors(self, lines):
        result = await asyncio.to_thread(self.encode, lines)  # the model runs without the interpreter's lock
        return [(vector, len(lines)) for vector in result]

    async def __call__(self, request: Request):
        body = await request.body()
        try:
            line = body[: MOST + 1].decode()
        except UnicodeDecodeError:
            return PlainTextResponse("the text is no UTF-8\n", 400)
        if not line.strip() or len(body) > MOST:
            return PlainTextResponse(f"expected a text of 1 to {MOST} bytes\n", 400)
        vector, batch = await self.vectors(line)
        return JSONResponse({"vector": [round(float(v), 7) for v in vector], "batch": batch, "process": os.getpid()})

    async def check_health(self):
        again = await asyncio.to_thread(self.encode, ["a line that is known"])
        if not np.array_equal(again, self.known):
            raise RuntimeError("the model does not give what it gave")


def main():
    parser = argparse.ArgumentParser(description="Serves sentence vectors with Ray Serve.")
    parser.add_argument("folder")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--replicas", type=int, default=1)
    parser.add_argument("--engine", choices=("dcc", "onnxruntime"), default="dcc")
    parser.add_argument("--queue", type=int, default=64, help="requests that may wait for a free replica")
    parser.add_argument("--seconds", type=float, default=2, help="that a request may take")
    options = parser.parse_args()
    ray.init(num_cpus=options.replicas + 1, include_dashboard=False, logging_level="error", log_to_driver=False)
    http = {"host": "127.0.0.1", "port": options.port, "request_timeout_s": options.seconds}
    serve.start(http_options=http, logging_config={"log_level": "ERROR"})
    encoder = Encoder.options(num_replicas=options.replicas, max_queued_requests=options.queue, logging_config={"log_level": "ERROR"})
    serve.run(encoder.bind(os.path.abspath(options.folder), options.engine))
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    print(f"ready on port {options.port}", flush=True)
    ended.wait()
    serve.shutdown()
    ray.shutdown()


if __name__ == "__main__":
    main()

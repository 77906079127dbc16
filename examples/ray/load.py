#!/usr/bin/env python3
"""Puts load on serve.py: CLIENTS threads that each send the next line of a file as soon as they have an answer.

    load.py PORT LINES.txt CLIENTS SECONDS
"""

import http.client
import json
import sys
import threading
import time
from collections import Counter

import numpy as np


def client(port, lines, end, answers):
    for line in lines:
        if time.monotonic() > end:
            return
        start, batch = time.monotonic(), None
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        try:
            connection.request("POST", "/", line.encode())
            response = connection.getresponse()
            status, body = response.status, response.read()
            batch = json.loads(body)["batch"] if status == 200 else None
        except OSError:
            status = "no answer"
        finally:
            connection.close()
        answers.append((status, time.monotonic() - start, batch))


def main():
    port, path, clients, seconds = int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), float(sys.argv[4])
    with open(path, encoding="utf-8") as file:
        lines = [line.strip() for line in file if line.strip()] * 100
    answers, start = [], time.monotonic()
    threads = [threading.Thread(target=client, args=(port, lines[i::clients], start + seconds, answers)) for i in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    spent = time.monotonic() - start
    good = [(latency, batch) for status, latency, batch in answers if status == 200]
    print(f"{clients} clients, {spent:.1f} s: " + ", ".join(f"{n} times {status}" for status, n in Counter(a[0] for a in answers).most_common()))
    if good:
        latency = 1e3 * np.array([g[0] for g in good])
        print(f"{len(good) / spent:.0f} answers a second in batches of {np.mean([g[1] for g in good]):.1f}, "
              f"median {np.median(latency):.0f} ms, 99 % within {np.percentile(latency, 99):.0f} ms")  # fmt: skip


if __name__ == "__main__":
    main()

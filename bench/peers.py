#!/usr/bin/env python3
"""Times dcc against onnxruntime on ONNX models, in turns, on the same cores.

  python bench/peers.py [--build build] [--threads 1] [--seconds 5] MODEL_DIR...

A MODEL_DIR holds model.onnx and test_data_set_0/input_*.pb (ONNX's test layout).  Each engine runs in a process of its own, pinned to
the same `threads` cores; they take turns of about 0.5 s so that drift hits both, and wait while it is not their turn.
Prints the median and the least time of each and the ratio of the medians.  Needs onnxruntime, onnx, numpy.
"""
import argparse, os, statistics, subprocess, sys, time


def worker(model_dir, threads):
    import glob
    import numpy as np, onnx, onnxruntime as ort
    from onnx import numpy_helper

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    session = ort.InferenceSession(f"{model_dir}/model.onnx", options, providers=["CPUExecutionProvider"])
    feeds = {}
    for i, path in enumerate(sorted(glob.glob(f"{model_dir}/test_data_set_0/input_*.pb"))):
        tensor = onnx.TensorProto()
        tensor.ParseFromString(open(path, "rb").read())
        feeds[tensor.name or session.get_inputs()[i].name] = numpy_helper.to_array(tensor)
    print("ready", flush=True)
    for line in sys.stdin:
        command = line.split()
        if command[0] == "quit":
            print("rss_kb=0", flush=True)
            return
        times, end = [], time.perf_counter() + float(command[1])
        while not times or time.perf_counter() < end:
            start = time.perf_counter_ns()
            session.run(None, feeds)
            times.append(time.perf_counter_ns() - start)
        print(len(times), int(statistics.median(times)), min(times), flush=True)


class Peer:
    def __init__(self, name, command, cpus):
        self.name, self.medians, self.least = name, [], float("inf")
        self.process = subprocess.Popen(["taskset", "-c", cpus, *command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        ready = self.process.stdout.readline().strip()
        if ready != "ready":
            sys.exit(f"{name}: {ready}")

    def turn(self, seconds, record=True):
        self.process.stdin.write(f"run {seconds}\n")
        self.process.stdin.flush()
        _, median, least = map(int, self.process.stdout.readline().split()[:3])
        if record:
            self.medians.append(median)
            self.least = min(self.least, least)

    def close(self):
        self.process.stdin.write("quit\n")
        self.process.stdin.flush()
        self.process.wait()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", metavar="MODEL_DIR")
    parser.add_argument("--build", default="build")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=5)
    args = parser.parse_args()
    cpus = ",".join(map(str, sorted(os.sched_getaffinity(0))[:args.threads]))
    print("| model | threads | dcc ms (least) | onnxruntime ms (least) | dcc / onnxruntime |\n|---|---|---|---|---|")
    for model in args.models:
        peers = [Peer("dcc", [f"{args.build}/dcc-run", f"{model}/model.onnx", "--inputs", f"{model}/test_data_set_0", "--threads",
                              str(args.threads), "--protocol"], cpus),
                 Peer("onnxruntime", [sys.executable, __file__, "--worker", model, str(args.threads)], cpus)]
        for peer in peers:
            peer.turn(0.5, record=False)
        for _ in range(max(1, round(args.seconds))):
            for peer in peers:
                peer.turn(0.5)
        dcc, ort = (statistics.median(p.medians) / 1e6 for p in peers)
        print(f"| {os.path.basename(model.rstrip('/'))} | {args.threads} | {dcc:.2f} ({peers[0].least / 1e6:.2f}) | "
              f"{ort:.2f} ({peers[1].least / 1e6:.2f}) | {dcc / ort:.2f} |", flush=True)
        for peer in peers:
            peer.close()


if __name__ == "__main__":
    if sys.argv[1:2] == ["--worker"]:
        worker(sys.argv[2], int(sys.argv[3]))
    else:
        main()

#!/usr/bin/env python3
"""Makes a table, and a plot, of what peers.py --record has written.

  python bench/table.py FILE [--page] [--plot OUT.svg|OUT.png]

The newest record of each model, number of threads and CPU counts.  Milliseconds, least times; the last column is the least time of
the best peer by dcc's, above 1 where dcc is first.  The plot shows that ratio for every peer.  --plot needs matplotlib.
--page prints docs/benchmarks.md: the table with what was measured and how, and dcc's losses.
A record may say "wrong": {"openvino": 1.4}, written by hand: the engine's largest error by the largest output.  It counts as no peer then.
"""

import argparse
import json

import peers


def newest(path):
    """Records by (cpu, threads, model)."""
    found = {}
    with open(path) as f:
        for number, line in enumerate(f, 1):
            try:
                record = json.loads(line)
                found[record["cpu"], record["threads"], record["model"]] = record
            except (ValueError, KeyError) as e:
                raise SystemExit(f"{path}:{number}: no record of peers.py --record: {e}")
    return found


def least(record):
    return {name: t["least"] for name, t in record["times"].items() if isinstance(t, dict)}


def engines_of(records):
    return list(dict.fromkeys(name for record in records for name in record["times"]))


def ratios(record):
    """Time of each peer whose outputs are right, by dcc's; none without dcc's time."""
    times = least(record)
    rivals = {name: t for name, t in times.items() if name != "dcc" and name not in record.get("wrong", ())}
    return {name: t / times["dcc"] for name, t in rivals.items()} if "dcc" in times else {}


def best_peer(record):
    return min(ratios(record).values(), default=None)


def print_table(records):
    first, engines = records[0], engines_of(records)
    print(f"{peers.machine_text(first)}; {first['threads']} thread(s); least times in ms\n")
    limits = any(record.get("limit") for record in records)
    head = [*engines, "best peer / dcc", *["dcc / limit"] * limits, "date, commit"]
    print(f"| model | {' | '.join(head)} |\n|---{'|---' * len(head)}|")
    for record in records:
        times, wrong, best = least(record), record.get("wrong", ()), best_peer(record)
        ratio = f"{best:.2f}{' noisy' if peers.is_noisy(record['times']['dcc']) else ''}" if best else "-"
        cells = [(peers.ms(times[name]) if name in times else "-") + (" (wrong)" if name in wrong else "") for name in engines]
        if limits:
            ratio += f" | {times['dcc'] / record['limit']['ms']:.2f}" if record.get("limit") and "dcc" in times else " | -"
        print(f"| {record['model']} | {' | '.join(cells)} | {ratio} | {record['date']}, {record['commit']} |")
    print()


PAGE = """# Benchmarks

Made by `python bench/table.py bench/results.jsonl --page >docs/benchmarks.md`; a test holds it true. `python bench/peers.py --record FILE
DIR...` adds records: the engines run in processes of their own, pinned to the same cores, and take turns of half a second, so that
what else the machine does hits all of them. All compute in f32, but models in -int8 and -qdq, which `python bench/quantise.py` makes; all may keep weights in huge pages (peers:
`GLIBC_TUNABLES=glibc.malloc.hugetlb=1`), and all models have one batch, with 128 tokens where the name says nothing. "limit": FLOP of the products / peak of a core + bytes of weights / memory's rate, both measured in that run: what reads its
weights from a cache may stay below it. "noisy": dcc's median is 15 % above its least time. "(wrong)": the outputs are, so it is no peer. Machines differ: run them
yourself. [README](../README.md#figures) has figures of other things.
"""


def print_losses(records):
    """dcc's, most first: they are in the table, too, but nobody should have to look for them."""
    compared = sorted((best_peer(r), r["model"]) for r in records if best_peer(r))
    lost = [f"{name} ({ratio:.2f})" for ratio, name in compared if ratio < 1]
    print(f"dcc is first in {len(compared) - len(lost)} of {len(compared)}{', not in ' if lost else ''}{', '.join(lost)}.")
    for record in records:
        for name, error in record.get("wrong", {}).items():
            print(f"{name}'s output of {record['model']} is off by {error} times the largest one.")
    print()


def plot(groups, path):
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    rows = [record for records in groups for record in records if "dcc" in least(record)]
    engines = [name for name in engines_of(rows) if name != "dcc"]
    figure, axes = pyplot.subplots(figsize=(8, 1 + 0.2 * len(rows) * len(engines)))
    height = 0.8 / len(engines)
    for i, name in enumerate(engines):
        bars = [(at + i * height, ratios(r)[name]) for at, r in enumerate(rows) if name in ratios(r)]
        axes.barh([at for at, _ in bars], [ratio for _, ratio in bars], height=height, label=name)
    axes.axvline(1, color="black", linewidth=1)
    axes.set_yticks([at + 0.4 - height / 2 for at in range(len(rows))], [f"{r['model']}, {r['threads']}" for r in rows])
    axes.invert_yaxis()
    axes.set_xlabel("time of the peer / time of dcc (model, threads)")
    axes.legend()
    figure.tight_layout()
    figure.savefig(path)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file")
    parser.add_argument("--page", action="store_true")
    parser.add_argument("--plot", metavar="OUT")
    args = parser.parse_args()
    groups = {}
    for (cpu, threads, _), record in newest(args.file).items():
        groups.setdefault((cpu, threads), []).append(record)
    if not groups:
        raise SystemExit(f"{args.file}: no records")
    if args.page:
        print(PAGE)
    for records in groups.values():
        print_table(records)
        if args.page:
            print_losses(records)
    if args.plot:
        plot(groups.values(), args.plot)


if __name__ == "__main__":
    main()

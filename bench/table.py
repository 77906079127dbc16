#!/usr/bin/env python3
"""Makes a table, and a plot, of what peers.py --record has written.

  python bench/table.py FILE [--plot OUT.svg|OUT.png]

The newest record of each model, number of threads and CPU counts.  Milliseconds, least times; the last column is the least time of
the best peer by dcc's, above 1 where dcc is first.  The plot shows that ratio for every peer.  --plot needs matplotlib.
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


def print_table(records):
    first, engines = records[0], engines_of(records)
    print(f"{peers.machine_text(first)}; {first['threads']} thread(s); least times in ms\n")
    print(f"| model | {' | '.join(engines)} | best peer / dcc | date, commit |\n|---{'|---' * (len(engines) + 2)}|")
    for record in records:
        times = least(record)
        best = min((t for name, t in times.items() if name != "dcc"), default=None)
        ratio = f"{best / times['dcc']:.2f}{' noisy' if peers.is_noisy(record['times']['dcc']) else ''}" if best and "dcc" in times else "-"
        cells = [peers.ms(times[name]) if name in times else "-" for name in engines]
        print(f"| {record['model']} | {' | '.join(cells)} | {ratio} | {record['date']}, {record['commit']} |")
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
        bars = [(at + i * height, least(r)[name] / least(r)["dcc"]) for at, r in enumerate(rows) if name in least(r)]
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
    parser.add_argument("--plot", metavar="OUT")
    args = parser.parse_args()
    groups = {}
    for (cpu, threads, _), record in newest(args.file).items():
        groups.setdefault((cpu, threads), []).append(record)
    if not groups:
        raise SystemExit(f"{args.file}: no records")
    for records in groups.values():
        print_table(records)
    if args.plot:
        plot(groups.values(), args.plot)


if __name__ == "__main__":
    main()

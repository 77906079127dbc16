#!/usr/bin/env python3
"""Makes a static program run in bochs as on a CPU: the instructions that bochs 2.7 and 3.0 get wrong become jumps to others.

    emulator_patch.py PROGRAM        (in place; it must have room for them, emulator_room.h)

Gathers and scatters by an index in zmm16 to zmm31 are invalid there: the index goes to a register below that the instruction does
not use.  kshiftlw by 15 gives 0: it is done as 14 and 1.
"""

import re
import subprocess
import sys
import tempfile


def lines_of(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()


def symbols_of(path):
    return {fields[2]: int(fields[0], 16) for fields in map(str.split, lines_of("nm", path)) if len(fields) == 3}


def instead_of(text):
    """What does the same, or None where the instruction is right."""
    shift = re.fullmatch(r"kshiftlw +\$0xf,(%k\d),(%k\d)", text)
    if shift:
        return [f"kshiftlw $14,{shift[1]},{shift[2]}", f"kshiftlw $1,{shift[2]},{shift[2]}"]
    by = re.fullmatch(r"(vp?(?:gather|scatter).*\([^,)]*,)%([xyz])mm(1[6-9]|2\d|3[01])([,)].*)", text)
    if not by:
        return None
    used = {int(n) for n in re.findall(r"%[xyz]mm(\d+)", text)}
    free = next(n for n in range(16) if n not in used)
    return [f"vmovdqu64 %zmm{free},emulator_save", f"vmovdqa64 %zmm{by[3]},%zmm{free}", f"{by[1]}%{by[2]}mm{free}{by[4]}",
            f"vmovdqu64 emulator_save,%zmm{free}"]


def wrong_instructions(path):
    """(address, address behind, what to do instead) of each."""
    code = [re.match(r"\s+([0-9a-f]+):\s+(.*\S)", line) for line in lines_of("objdump", "-d", "--no-show-raw-insn", path)]
    code = [(int(m[1], 16), m[2]) for m in code if m]
    for (address, text), (behind, _) in zip(code, code[1:]):
        instead = instead_of(text)
        if instead:
            yield address, behind, instead


def assemble(found, symbols, folder):
    """The code at emulator_room, and where in it each of the found begins."""
    text = [f".set emulator_save,{symbols['emulator_save']}"]
    for i, (_, behind, instead) in enumerate(found):
        text += [f"at{i}:", *instead, f"jmp {behind:#x}"]
    with open(f"{folder}/room.s", "w") as f:
        f.write("\n".join(text) + "\n")
    for command in (["as", "room.s", "-o", "room.o"], ["ld", f"-Ttext={symbols['emulator_room']:#x}", "-e", "0", "room.o", "-o", "room"],
                    ["objcopy", "-O", "binary", "-j", ".text", "room", "room.bin"]):
        subprocess.run(command, check=True, cwd=folder)
    places = symbols_of(f"{folder}/room")
    with open(f"{folder}/room.bin", "rb") as f:
        return f.read(), [places[f"at{i}"] for i in range(len(found))]


def patch(path):
    found = list(wrong_instructions(path))
    if not found:
        return
    symbols = symbols_of(path)
    with tempfile.TemporaryDirectory() as folder:
        code, places = assemble(found, symbols, folder)
    if len(code) > symbols["emulator_room_end"] - symbols["emulator_room"]:
        sys.exit(f"{path}: no room for {len(found)} instructions: {len(code)} bytes")
    segments = [[int(fields[i], 16) for i in (1, 2, 4)] for fields in map(str.split, lines_of("readelf", "-lW", path)) if fields[:1] == ["LOAD"]]

    def put(f, address, data):
        f.seek(next(offset + address - start for offset, start, size in segments if start <= address < start + size))
        f.write(data)

    with open(path, "r+b") as f:
        put(f, symbols["emulator_room"], code)
        for (address, behind, _), place in zip(found, places):
            jump = b"\xe9" + (place - address - 5).to_bytes(4, "little", signed=True)
            put(f, address, jump.ljust(behind - address, b"\x90"))


if __name__ == "__main__":
    patch(sys.argv[1])

#!/usr/bin/env python3
"""Prints a page of the API, from the comments of what it describes.

  python3 tools/api_pages.py c >docs/api-c.md              # runtime/dcc.h
  python3 tools/api_pages.py cpp >docs/api-cpp.md          # runtime/dcc.hpp
  python3 tools/api_pages.py python >docs/api-python.md    # python/dcc; takes numpy
"""

import inspect
import os
import re
import sys

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
MADE = "Made by `python3 tools/api_pages.py {}` from {}; a test holds it true."


def read(path):
    with open(os.path.join(ROOT, path), encoding="utf-8") as file:
        return file.read()


def fenced(language, text):
    text = re.sub(r" +\\$", r" \\", text.expandtabs(4).strip("\n").rstrip(), flags=re.M)
    print(f"```{language}\n{text}\n```\n")


def prose(lines, language):
    """A comment's lines as Markdown: what is indented is code, as is a list of words and their meaning; the rest flows."""
    for kind, text in blocks(lines):
        if kind:
            fenced(language, text)
        elif text.strip():
            words = re.sub(r"([*<\[])", r"\\\1", text.strip())
            print(re.sub(r"^([A-Z]\w+): ", r"**\1**: ", words, flags=re.M) + "\n")


def blocks(lines):
    """[is it code, text]: runs of lines."""
    found = []
    for line in lines:
        code = bool(re.match(r" {4}|\w+ {2,}\S", line)) if line.strip() else bool(found) and found[-1][0]
        if not found or found[-1][0] != code or (not code and re.match(r"[A-Z]\w+: ", line)):
            found.append([code, ""])
        found[-1][1] += (line.removeprefix("    ") if code else line) + "\n"
    return found


# ---- C -----------------------------------------------------------------------------------------------------------------


def comment_lines(comment):
    return [re.sub(r"^ \* ?", "", line) for line in comment.removeprefix("/* ").removesuffix("*/").rstrip().split("\n")]


def names(code):
    """What the declarations of a piece are called."""
    bare = re.sub(r"/\*.*?\*/", "", code, flags=re.S)
    flat = re.sub(r"\{[^{}]*\}", "", re.sub(r"\{[^{}]*\}", "", bare))
    found = re.findall(r"^#define (\w+)|^(?:typedef )?(?:struct|enum) (\w+)[^;(]*;|^[\w ][\w *]*?\b(\w+)\([^;#]*;", flat, re.M)
    listed = re.match(r"enum \{", bare) and re.findall(r"^\t(DCC_\w+)", bare, re.M) or []
    return list(dict.fromkeys([name for group in found for name in group if name] + listed))


def pieces(text):
    """(comment or "", code) of each run of declarations between comments at the begin of a line."""
    for part in re.split(r"\n(?=/\*)", text):
        comment, code = re.match(r"(/\*(?:[^*]|\*(?!/))*\*/)?(.*)", part, re.S).groups()
        if comment and code.strip() and not code.startswith("\n"):  # it belongs to the line
            comment, code = "", part
        yield comment or "", code.strip("\n")


def c_page():
    text = read("runtime/dcc.h")
    head, _, rest = text.partition("#ifndef DCC_H")
    rest = rest[rest.index("#define DCC_VERSION"):rest.index("/* ---- for generated headers")]
    print("# The C API: dcc.h\n\n" + MADE.format("c", "the comments of [runtime/dcc.h](../runtime/dcc.h)") + "\n")
    prose(comment_lines(head.strip())[1:], "c")
    for comment, code in pieces("\n" + rest):
        section = re.match(r"/\* ---- (.*?) -+ \*/", comment)
        if section:
            print(f"## {section[1][0].upper()}{section[1][1:]}\n")
            comment = ""
        for number, piece in enumerate(re.split(r"\n\n+", code)):
            if piece.strip():
                called = names(piece)
                print(f"### {', '.join(f'`{name}`' for name in called[:4])}{', ...' if len(called) > 4 else ''}\n")
            if comment and not number:
                prose(comment_lines(comment), "c")
            if piece.strip():
                fenced("c", piece)


# ---- C++ ---------------------------------------------------------------------------------------------------------------


def without_bodies(text):
    """Declarations of a class without what functions do."""
    result, depth = "", 0
    for part in re.findall(r"//[^\n]*|[{}]|[^{}/]+|/", text):
        if part == "}":
            depth -= 1
            result += ";" if not depth else ""
        elif depth or part == "{":
            depth += part == "{"
        else:
            result += part
    result = re.sub(r"[ \t]*(//[^\n]*)?\n?[ \t]*;(?=\n|$| //)", lambda m: ";" + (f" {m[1]}" if m[1] else ""), result)
    return re.sub(r"\) ?(noexcept)? : (?!:)[^;]*;", lambda m: f"){' noexcept' if m[1] else ''};", result)


def cpp_page():
    text = read("runtime/dcc.hpp")
    head, _, rest = text.partition("#ifndef DCC_HPP")
    print("# The C++ API: dcc.hpp\n\n" + MADE.format("cpp", "the comments of [runtime/dcc.hpp](../runtime/dcc.hpp)") + "\n")
    prose([line[3:] for line in head.strip().split("\n")][1:], "cpp")
    for comment, template, name, bases, body in re.findall(
            r"((?:^// [^\n]*\n)*)^(template <class T> )?class (\w+)([^\n{]*) \{\n(.*?)^\};", rest, re.S | re.M):
        print(f"## `dcc::{name}`\n")
        prose([line[3:] for line in comment.strip().split("\n")] if comment else [], "cpp")
        public = re.search(r"public:\n(.*?)(?=^private:|\Z)", body, re.S | re.M)[1]
        fenced("cpp", f"{template}class {name}{bases} {{\npublic:\n{without_bodies(public).rstrip()}\n}};")


# ---- Python ------------------------------------------------------------------------------------------------------------


def described(title, thing, level):
    print(f"{'#' * level} `{title}`\n")
    if inspect.getdoc(thing):
        prose(inspect.getdoc(thing).split("\n"), "text")


def python_page():
    sys.path.insert(0, os.path.join(ROOT, "python"))
    import dcc

    print("# The Python API\n\n" + MADE.format("python", "the docstrings of `python/dcc`") + "\n")
    prose(dcc.__doc__.strip().split("\n"), "python")
    for name in dcc.__all__:
        thing = getattr(dcc, name)
        if not inspect.isclass(thing):
            described(f"dcc.{name}{inspect.signature(thing)}", thing, 2)
            continue
        described(f"dcc.{name}({', '.join(thing._fields)})" if hasattr(thing, "_fields") else f"dcc.{name}", thing, 2)
        for method, function in vars(thing).items():
            if inspect.isfunction(function) and not method.startswith("_") and inspect.getdoc(function):
                described(f"{method}{inspect.signature(function)}", function, 3)


def main():
    makers = {"c": c_page, "cpp": cpp_page, "python": python_page}
    if len(sys.argv) != 2 or sys.argv[1] not in makers:
        raise SystemExit(__doc__)
    makers[sys.argv[1]]()


if __name__ == "__main__":
    main()

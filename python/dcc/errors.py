"""What dcc and its library have to say, as exceptions, and text out of models made fit for a terminal."""

import re
from typing import NamedTuple

# What runtime/escape.h does not show: control characters, those that turn the direction of writing or have no width, and halves
# of surrogates, which stand for bytes that are no UTF-8.
HIDDEN = re.compile("[\0-\x1f\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff"
                    "\U000e0000-\U000e0fff]")  # fmt: skip


def safe(text):
    """As dcc prints names out of models."""

    def escape(match):
        code = ord(match[0])
        code = code & 0xFF if 0xD800 <= code < 0xE000 else code  # a byte
        return f"\\x{code:02x}" if code < 0x100 else f"\\u{code & 0xFFFFF:04x}"

    return HIDDEN.sub(escape, text)


class Problem(NamedTuple):
    """One message of dcc.  Names are as it prints them, None where it names none."""

    text: str  # without the place
    node: str = None
    op: str = None
    tensor: str = None


def find_problem(line):
    """The message in a line of dcc's or of a run's."""
    place = re.search(r"(?:^|: )node '(.*?)'(?: \(([^()]*?)(?:-\d+)?\))?: ", line)
    other = re.match(r".*?: (?:error|warning): ", line)
    text = line[place.end():] if place else line[other.end():] if other else line
    tensor = re.match(r"(?:\w+: )?(?:tensor|input|output) '(.*?)'[: ]", text)
    return Problem(text, *(place.groups() if place else (None, None)), tensor[1] if tensor else None)


class Error(Exception):
    """`code` is the dcc_status of a failed run (3: wrong shape, ...), 0 if there was none; `node` and `tensor` are what the text
    is about, None where it names none."""

    def __init__(self, text, code=0):
        super().__init__(text)
        self.code = code
        first = find_problem(text.split("\n")[0])
        self.node, self.tensor = first.node, first.tensor


class CompileError(Error):
    """dcc failed.  `status` is its exit status: 1 for a model or options that it refuses, anything else is a bug.  `problems` are
    its messages."""

    def __init__(self, text, status):
        super().__init__(text)
        self.status = status
        self.problems = tuple(find_problem(line) for line in text.split("\n") if line.strip())

"""`python -m dcc ...` is the dcc program."""

import os
import sys

from .compiler import find_compiler
from .errors import Error

try:
    path = find_compiler()
except Error as error:
    sys.exit(f"dcc: {error}")
os.execv(path, [path, *sys.argv[1:]])

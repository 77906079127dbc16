"""`python -m dcc try ...` looks at a model (trial.py); otherwise `python -m dcc ...` is the dcc program."""

import os
import sys

from .compiler import find_compiler
from .errors import Error
from .trial import main

if sys.argv[1:2] == ["try"]:
    sys.exit(main(sys.argv[2:]))
try:
    path = find_compiler()
except Error as error:
    sys.exit(f"dcc: {error}")
os.execv(path, [path, *sys.argv[1:]])

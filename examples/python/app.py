"""app.py - a compiled model in Python.

  python3 app.py dynconv.onnx        with the package dcc, see docs/first-steps.md
"""

import sys

import dcc
import numpy as np

model = dcc.compile(sys.argv[1], dims={"batch": (1, 64)})
print(model)

# Arrays by name or in the model's order; outputs are arrays too.
x = np.sin(np.arange(2 * 17 * 48, dtype=np.float32)).reshape(2, 17, 48)
y = model(x=x)
print(f"{y.size} outputs, mean |y| = {np.abs(y).mean():.6f}")
print("two threads give", "the same bits" if np.array_equal(model(x, threads=2), y) else "OTHER VALUES")

try:
    model(x.reshape(2, 34, 24))
except dcc.Error as error:
    print("a wrong shape:", error)

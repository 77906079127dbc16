#!/usr/bin/env bash
# label: full
# examples/notebook in a Jupyter kernel: a model shows itself as a table, and the other cells what they should.
# PYTHON names an interpreter with nbclient, ipykernel and numpy; default: the first of python3, /usr/bin/python3 that has them.
# usage: notebook.sh BUILD [PAGE.html]      PAGE: keeps the notebook with its outputs
set -u
here=$PWD
build=$(cd "$1" && pwd)
. "$here/tests/expect.bash"
find_python 'ipykernel, nbclient, numpy' || skip "no python3 has nbclient, ipykernel and numpy"
skip_sanitizers
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
export PYTHONPATH=$here/python PYTHONDONTWRITEBYTECODE=1 DCC=$build/dcc
# The kernel is this interpreter, whatever others the machine has under that name.
export JUPYTER_PATH=$tmp/share/jupyter JUPYTER_RUNTIME_DIR=$tmp/run IPYTHONDIR=$tmp/ipython
"$python" -m ipykernel install --prefix "$tmp" >/dev/null 2>&1

expect 0 'all is well$' "$python" -W ignore "$here/tests/notebook.py" "$here/examples/notebook/dcc.ipynb" ${2:+"$2"}
echo "notebook: $checks checks, $failed failed"
[ $failed = 0 ]

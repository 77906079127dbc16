#!/usr/bin/env python3
"""Makes quantised models for peers.py, by onnxruntime's quantiser.

  python bench/quantise.py [--form dynamic|QDQ|QOperator] OUT MODEL_DIR...

A MODEL_DIR is as peers.py takes it; OUT/NAME-int8, or -qdq, -qoperator, becomes one: weights of 8 bits, and activations that are quantised
by the range of each tensor in a run (dynamic), or by the ranges that the inputs of all test data sets give (QDQ, QOperator; weights
by channel).  There are no outputs to compare with: bytes round otherwise.
Needs onnx, numpy, onnxruntime.
"""

import argparse
import glob
import os
import shutil

import onnx
from onnx import numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_dynamic, quantize_static


class Inputs(CalibrationDataReader):
    def __init__(self, model):
        names = [value.name for value in onnx.load(f"{model}/model.onnx", load_external_data=False).graph.input]
        self.sets = iter([self.read(names, data) for data in sorted(glob.glob(f"{model}/test_data_set_*"))])

    @staticmethod
    def read(names, data):
        return {name: numpy_helper.to_array(onnx.load_tensor(f"{data}/input_{i}.pb")) for i, name in enumerate(names)}

    def get_next(self):
        return next(self.sets, None)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", metavar="OUT")
    parser.add_argument("models", nargs="+", metavar="MODEL_DIR")
    parser.add_argument("--form", choices=("dynamic", "QDQ", "QOperator"), default="dynamic")
    args = parser.parse_args()
    for model in args.models:
        name = os.path.basename(model.rstrip("/")).split(".")[0]
        to = f"{args.out}/{name}-{'int8' if args.form == 'dynamic' else args.form.lower()}"
        os.makedirs(to, exist_ok=True)
        source, target = f"{model}/model.onnx", f"{to}/model.onnx"
        if args.form == "dynamic":
            quantize_dynamic(source, target, weight_type=QuantType.QInt8)
        else:
            quantize_static(source, target, Inputs(model), quant_format=QuantFormat[args.form], per_channel=True,
                            activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8)
        shutil.copytree(f"{model}/test_data_set_0", f"{to}/test_data_set_0", ignore=shutil.ignore_patterns("output_*"), dirs_exist_ok=True)
        print(to)


if __name__ == "__main__":
    main()

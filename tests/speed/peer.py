"""Runs a network with the real ncnn when told to: a line `run` is answered by seconds, `output` by the values.

peer.py PARAM BIN INPUT_BLOB INPUT_FILE SHAPE OUTPUT_BLOB THREADS
INPUT_FILE holds floats, SHAPE their sizes, outermost first and separated by commas. All computes in fp32, as ncnnc does.
"""

import sys
import time

import ncnn
import numpy as np

param, weights, input_blob, input_file, shape, output_blob, threads = sys.argv[1:]
net = ncnn.Net()
net.opt.num_threads = int(threads)
for option in ("use_fp16_storage", "use_fp16_packed", "use_fp16_arithmetic", "use_bf16_storage"):
    setattr(net.opt, option, False)
if net.load_param(param) != 0 or net.load_model(weights) != 0:
    sys.exit("ncnn can't load " + param)
values = np.fromfile(input_file, dtype="<f4").reshape([int(size) for size in shape.split(",")])
matrix = ncnn.Mat(values).clone()


def run():
    extractor = net.create_extractor()
    extractor.input(input_blob, matrix)
    return extractor.extract(output_blob)[1]


print(ncnn.__version__, flush=True)
for line in sys.stdin:
    if line.strip() == "run":
        start = time.perf_counter()
        run()
        print(time.perf_counter() - start, flush=True)
    else:
        print(*np.array(run()).reshape(-1), flush=True)

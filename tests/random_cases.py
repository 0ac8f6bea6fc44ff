#!/usr/bin/env python3
"""Draws small networks at random and runs the real ncnn on them: cases in the form of `conformance/layers`.

Left out is what ncnn computes from memory that isn't the blob's: windows larger than their blob, reflections wider than it.

    python3 tests/random_cases.py FOLDER 300 --seed 1        # needs ncnn and numpy
    NCNNC_SHARED=FOLDER cargo test -p ncnnc-tests --test conformance --test kernels layers_equal kernels_equal

The first test holds the plan to ncnn, the second every target's kernels to the plan.
"""

import argparse
import json
import math
import os
import pathlib
import random
import struct

import ncnn
import numpy as np

# Of the largest magnitude of an output: sums are ordered differently, layer after layer.
TOLERANCE = 2e-4
MAGIC = 7767517


class Network:
    """Layers, one after the other, with what is known of the last blob."""

    def __init__(self, rng, shape):
        self.rng, self.lines, self.weights = rng, [], b""
        self.count, self.last, self.shape = 0, "in0", list(shape)
        sizes = {1: (0,), 2: (1, 0), 3: (2, 1, 0), 4: (2, 11, 1, 0)}[len(shape)]
        self.input = (tuple(shape), " ".join(f"{id}={extent}" for id, extent in zip(sizes, shape)))
        self.lines.append(f"Input in0 0 1 in0 {self.input[1]}")

    def name(self):
        self.count += 1
        return f"b{self.count}"

    def add(self, kind, parameters, inputs=None, outputs=1):
        """Adds a layer; gives the names of its outputs."""
        inputs = inputs or [self.last]
        names = [self.name() for _ in range(outputs)]
        words = [kind, f"l{self.count}", len(inputs), outputs, *inputs, *names]
        words += [f"{id}={value}" for id, value in parameters.items()]
        self.lines.append(" ".join(map(str, words)))
        self.last = names[0]
        return names

    def tagged(self, count, scale):
        kind = self.rng.choice(["f32", "f32", "f16"])
        values = self.draw(count, scale)
        if kind == "f32":
            self.weights += struct.pack("<I", 0) + values.astype("<f4").tobytes()
        else:
            data = values.astype("<f2").tobytes()
            self.weights += struct.pack("<I", 0x01306B47) + data + b"\0" * (-len(data) % 4)

    def raw(self, count, scale=1.0, around=0.0):
        self.weights += (around + self.draw(count, scale)).astype("<f4").tobytes()

    def draw(self, count, scale):
        return np.array([self.rng.uniform(-scale, scale) for _ in range(count)], dtype=np.float32)

    def text(self):
        blobs = sum(int(line.split()[3]) for line in self.lines)
        return "\n".join([str(MAGIC), f"{len(self.lines)} {blobs}", *self.lines]) + "\n"

    def keep(self):
        return list(self.lines), self.weights, self.count, self.last, list(self.shape)

    def back_to(self, kept):
        self.lines, self.weights, self.count, self.last, self.shape = kept


def run(network, values):
    """The last blob, or nothing where ncnn refuses."""
    net = ncnn.Net()
    option = net.opt
    option.use_fp16_packed = option.use_fp16_storage = option.use_fp16_arithmetic = False
    option.use_bf16_storage = option.use_vulkan_compute = False
    option.use_packing_layout = option.use_winograd_convolution = option.use_sgemm_convolution = False
    option.num_threads = 1
    if net.load_param_mem(network.text()) != 0:
        return None
    path = pathlib.Path("/tmp") / f"random_cases_{id(network)}.bin"
    path.write_bytes(network.weights or b"\0")
    try:
        if net.load_model(str(path)) != 0:
            return None
    finally:
        path.unlink()
    extractor = net.create_extractor()
    extractor.input("in0", ncnn.Mat(np.ascontiguousarray(values)).clone())
    status, blob = extractor.extract(network.last)
    # Some sizes that make no sense come out as they are.
    sizes = [blob.w, blob.h, blob.d, blob.c][: blob.dims]
    return np.array(blob).copy() if status == 0 and blob.dims > 0 and min(sizes) > 0 else None


def window(rng, n):
    """Parameters that windows have along both axes; nothing where ncnn would look beyond the padding."""
    parameters = {1: rng.choice([1, 1, 2, 3, 3, 4, 5]), 2: rng.choice([1, 1, 1, 2, 3]), 3: rng.choice([1, 1, 2, 3])}
    if rng.random() < 0.3:
        parameters |= {11: rng.choice([1, 2, 3]), 12: rng.choice([1, 2]), 13: rng.choice([1, 2])}
    parameters[4] = rng.choice([0, 1, 1, 2, -233, -234])
    if parameters[4] >= 0 and rng.random() < 0.3:
        parameters |= {14: rng.choice([0, 1, 2]), 15: rng.choice([0, 1]), 16: rng.choice([0, 1])}
    for axis, (kernel, dilation, stride) in enumerate([(11, 12, 13), (1, 2, 3)]):
        reach = (parameters.get(kernel, parameters[1]) - 1) * parameters.get(dilation, parameters[2]) + 1
        if reach > n.shape[1 + axis] or reach < parameters.get(stride, parameters[3]):
            return None
    return parameters


def activation(rng):
    kind = rng.choice([0, 0, 0, 1, 2, 3, 4, 5, 6])
    numbers = {2: [0.1], 3: [-0.5, 1.5], 6: [0.16667, 0.5]}.get(kind, [])
    return {9: kind} | ({10: ",".join(map(str, numbers)) + ("," if len(numbers) == 1 else "")} if numbers else {})


def convolution(n):
    rng, (c, *_) = n.rng, n.shape
    deconvolution = rng.random() < 0.25
    reach = window(rng, n)
    if reach is None:
        return
    parameters = {0: rng.choice([1, 3, 8, 16, 20, 33])} | reach | activation(rng)
    if deconvolution and rng.random() < 0.5:
        parameters |= {18: rng.choice([0, 1])} if parameters[2] > 1 else {}
    groups = rng.choice([g for g in (1, 1, c, 2, 4) if c % g == 0])
    if groups > 1:
        parameters[0] = groups * rng.choice([1, 1, 2, 5])
    taps = parameters[1] * parameters.get(11, parameters[1])
    count = parameters[0] * c // groups * taps
    bias = rng.choice([0, 1])
    parameters |= {5: bias, 6: count} | ({7: groups} if groups > 1 else {})
    n.add(("Deconvolution" if deconvolution else "Convolution") + ("DepthWise" if groups > 1 else ""), parameters)
    n.tagged(count, 1.7 / math.sqrt(count / parameters[0]))
    if bias:
        n.raw(parameters[0], 0.5)


def inner_product(n):
    size, outputs, bias = math.prod(n.shape), n.rng.choice([1, 7, 16, 40]), n.rng.choice([0, 1])
    if len(n.shape) == 2 and n.rng.random() < 0.7:
        size = n.shape[1]
    n.add("InnerProduct", {0: outputs, 1: bias, 2: outputs * size} | activation(n.rng))
    n.tagged(outputs * size, 1.7 / math.sqrt(size))
    if bias:
        n.raw(outputs, 0.5)


def pooling(n):
    rng = n.rng
    parameters = {0: rng.choice([0, 1])} | rng.choice(
        [
            {1: rng.choice([2, 3]), 2: rng.choice([1, 2]), 3: rng.choice([0, 1]), 5: rng.choice([0, 1]), 6: rng.choice([0, 1])},
            {1: rng.choice([2, 3]), 2: rng.choice([1, 2]), 5: rng.choice([2, 3]), 6: rng.choice([0, 1])},
            {1: 3, 2: rng.choice([1, 2]), 3: rng.choice([0, 1]), 5: rng.choice([2, 3]), 13: rng.choice([0, 1]), 14: 1},
            {1: 3, 11: 2, 2: 2, 12: 1, 3: 1, 5: 1, 6: rng.choice([0, 1])},
            {4: 1},
            {7: 1, 8: rng.choice([1, 2, 3]), 18: rng.choice([1, 2, 4])},
        ]
    )
    if max(parameters.get(1, 1), parameters.get(11, 1)) <= min(n.shape[1:]):
        n.add("Pooling", parameters)


ACTIVATIONS = [
    ("ReLU", [{}, {0: 0.1}]), ("Clip", [{0: -0.7, 1: 0.9}]), ("Sigmoid", [{}]), ("TanH", [{}]), ("Swish", [{}]),
    ("HardSwish", [{0: 0.1666667, 1: 0.5}]), ("HardSigmoid", [{0: 0.2, 1: 0.5}]), ("GELU", [{}, {0: 1}]), ("Mish", [{}]),
    ("ELU", [{0: 1.0}, {0: 0.3}]), ("Dropout", [{}, {0: 0.5}]), ("AbsVal", [{}]), ("Softplus", [{}]), ("SELU", [{}]),
    ("BinaryOp", [{0: op, 1: 1, 2: 0.75} for op in (0, 1, 2, 3, 4, 5, 7)]),
    ("UnaryOp", [{0: op} for op in (0, 1, 2, 3, 4, 7, 9, 10, 16)]), ("Flatten", [{}]), ("Noop", [{}]),
    ("Normalize", [{0: 1, 1: 1, 2: 1.0e-4, 3: 1, 9: 1}]), ("LRN", [{0: 0, 1: 5, 2: 0.5}, {0: 1, 1: 3, 2: 0.5}]),
]


def pointwise(n):
    kind, choices = n.rng.choice(ACTIVATIONS)
    n.add(kind, n.rng.choice(choices))
    if kind == "Normalize":
        n.raw(1)


def norm(n):
    rng, c = n.rng, n.shape[0]
    kinds = ["BatchNorm", "Scale", "PReLU", "GroupNorm", "LayerNorm", "RMSNorm"]
    image = len(n.shape) == 3
    kind = rng.choice(kinds + (["Bias", "InstanceNorm"] if image else []))
    if kind == "BatchNorm":
        n.add(kind, {0: c, 1: 1e-3})
        n.raw(c), n.raw(c), n.raw(c, 0.4, 1.0), n.raw(c)
    elif kind == "Scale":
        bias = rng.choice([0, 1])
        n.add(kind, {0: c, 1: bias})
        n.raw(c), n.raw(c if bias else 0)
    elif kind in ("Bias", "PReLU"):
        n.add(kind, {0: c})
        n.raw(c, 0.4)
    elif kind == "InstanceNorm":
        n.add(kind, {0: c, 1: 1e-3})
        n.raw(c), n.raw(c)
    elif kind == "GroupNorm":
        n.add(kind, {0: rng.choice([g for g in (1, 2, 4, c) if c % g == 0]), 1: c, 2: 1e-3})
        n.raw(c), n.raw(c)
    else:
        size = math.prod(n.shape[-2:]) if image and rng.random() < 0.3 else n.shape[-1]
        n.add(kind, {0: size, 1: 1e-3})
        n.raw(size), n.raw(size if kind == "LayerNorm" else 0)


def rearrange(n):
    rng, shape, rank = n.rng, n.shape, len(n.shape)
    size = math.prod(shape)
    kind = rng.choice(["Permute", "Reshape", "ShuffleChannel", "PixelShuffle", "Crop", "Padding", "Interp", "ExpandDims",
                       "Squeeze", "Reduction", "Softmax"])
    if kind == "Permute":
        n.add(kind, {0: rng.randrange({1: 1, 2: 2, 3: 6, 4: 24}[rank])})
    elif kind == "Reshape":
        divisors = [d for d in range(1, 33) if size % d == 0]
        w = rng.choice(divisors)
        h = rng.choice([d for d in divisors if size // w % d == 0])
        n.add(kind, rng.choice([{0: -1}, {0: w, 1: -1}, {0: w, 1: h, 2: -1}]))
    elif kind == "ShuffleChannel":
        n.add(kind, {0: rng.choice([g for g in (1, 2, 3, 4) if shape[0] % g == 0]), 1: rng.choice([0, 1])})
    elif kind == "PixelShuffle" and rank == 3:
        n.add(kind, {0: rng.choice([f for f in (1, 2, 3) if shape[0] % (f * f) == 0]), 1: rng.choice([0, 1])})
    elif kind == "Crop":
        axis = rng.randrange(rank)
        start = rng.randrange(shape[axis])
        end = rng.randint(start + 1, shape[axis])
        n.add(kind, {9: f"{start},", 10: f"{end},", 11: f"{axis},"})
    elif kind == "Padding":
        mode = rng.choice([0, 1, 2] if rank == 3 and min(shape[1:]) > 2 else [0])
        sides = {id: rng.choice([0, 1, 2]) for id in (0, 1, 2, 3)}
        n.add(kind, sides | {4: mode} | ({5: 0.5} if mode == 0 else {}))
    elif kind == "Interp":
        mode = rng.choice([1, 2, 3])
        sizes = rng.choice([{1: 2.0, 2: 2.0}, {1: 1.5, 2: 0.75}, {3: rng.randint(1, 13), 4: rng.randint(1, 13)}])
        n.add(kind, {0: mode} | sizes | ({6: 1} if mode > 1 and rng.random() < 0.4 else {}))
    elif kind == "ExpandDims" and rank < 4:
        n.add(kind, {3: f"{rng.randrange(rank + 1)},"})
    elif kind == "Squeeze":
        n.add(kind, {3: f"{rng.randrange(rank)},"})
    elif kind == "Reduction":
        axes = sorted(rng.sample(range(rank), rng.randint(1, rank)))
        n.add(kind, {0: rng.choice([0, 2, 3, 4, 5, 7, 8, 9, 10]), 1: 0, 3: ",".join(map(str, axes)) + ",", 4: rng.choice([0, 1]), 5: 1})
    elif kind == "Softmax":
        n.add(kind, {0: rng.randrange(rank), 1: 1})


def join(n):
    """Two branches that meet again."""
    rng, rank = n.rng, len(n.shape)
    first, second = n.add("Split", {}, outputs=2)
    n.last = first
    n.add(rng.choice(["ReLU", "Sigmoid", "TanH"]), {})
    kind = rng.choice(["BinaryOp", "Eltwise", "Concat"])
    parameters = {
        "BinaryOp": {0: rng.choice([0, 1, 2, 4, 5, 7])},
        "Eltwise": rng.choice([{0: 0}, {0: 1}, {0: 2}, {0: 1, 1: "0.5,-2.0"}]),
        "Concat": {0: rng.randrange(rank)},
    }[kind]
    n.add(kind, parameters, [n.last, second])


def slices(n):
    """Equal parts that meet in another order."""
    axis = n.rng.randrange(len(n.shape))
    if n.shape[axis] < 2:
        return pointwise(n)
    parts = n.add("Slice", {0: "-233,-233", 1: axis}, outputs=2)
    n.add("Concat", {0: n.rng.randrange(len(n.shape)) if n.shape[axis] % 2 == 0 else axis}, parts[::-1])


def grow(n, values):
    """Adds layers that ncnn takes and whose values stay ordinary."""
    wanted = n.rng.randint(2, 7)
    for _ in range(40):
        if len(n.lines) > wanted:
            break
        kept, rank = n.keep(), len(n.shape)
        makers = [pointwise, norm, rearrange, rearrange, join, slices, inner_product]
        makers += [convolution] * 5 + [pooling] * 2 if rank == 3 else []
        n.rng.choice(makers)(n)
        out = run(n, values)
        ordinary = out is not None and 0 < out.size <= 20000 and np.isfinite(out).all() and np.abs(out).max() < 1e3
        if not ordinary:
            n.back_to(kept)
            continue
        n.shape = list(out.shape)


def draw(layers, number, seed):
    """Writes the files of one case, the line about it last."""
    rng = random.Random(1000003 * seed + number)
    image = [rng.randint(1, 36), rng.randint(1, 17), rng.randint(1, 17)]
    shape = rng.choice([image] * 4 + [[rng.randint(1, 40)], [rng.randint(1, 9), rng.randint(1, 20)]])
    values = np.array([rng.uniform(-2, 2) for _ in range(math.prod(shape))], dtype=np.float32).reshape(shape)
    network = Network(rng, shape)
    grow(network, values)
    out = run(network, values)
    if len(network.lines) < 2 or out is None:
        return
    stem = layers / "Random" / f"{number:04}"
    stem.with_suffix(".param").write_text(network.text())
    stem.with_suffix(".bin").write_bytes(network.weights)
    np.save(f"{stem}.in0.npy", values.astype("<f4"))
    np.save(f"{stem}.{network.last}.npy", np.ascontiguousarray(out, dtype="<f4"))
    line = {
        "id": f"Random/{number:04}", "layer": "Noop", "tol_rel": 0.0,
        "params": " ".join(line.split()[0] for line in network.lines[1:]),
        "tol_abs": TOLERANCE * max(float(np.abs(out).max()), 1e-3),
        "inputs": [{"name": "in0", "shape": shape, "dtype": "f4"}],
        "outputs": [{"name": network.last, "shape": list(out.shape), "dtype": "f4"}],
    }
    stem.with_suffix(".json").write_text(json.dumps(line) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("count", type=int)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    layers = arguments.folder / "conformance" / "layers"
    (layers / "Random").mkdir(parents=True, exist_ok=True)
    lines = []
    for number in range(arguments.count):
        # A process of its own: layers that make no sense end ncnn now and then.
        child = os.fork()
        if child == 0:
            draw(layers, number, arguments.seed)
            os._exit(0)
        os.waitpid(child, 0)
        line = layers / "Random" / f"{number:04}.json"
        if line.is_file():
            lines.append(line.read_text())
    (layers / "cases.jsonl").write_text("".join(lines))
    print(f"{len(lines)} cases")


main()

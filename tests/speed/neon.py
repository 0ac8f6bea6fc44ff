"""How near the loops of a network's NEON code come to the multiply-adds a processor can do, by LLVM's models of processors.

neon.py NCNNC MODEL.param [MODEL.bin] [--input NAME=C,H,W ...]

Compiles an object for aarch64, finds the innermost loops that multiply and add, and has llvm-mca say how many cycles an
iteration takes with everything in the first-level cache. The limit is what the same model needs for the loop's
multiply-adds alone, or for its loads alone where these take longer: in a fully connected layer every weight is used once,
and in a depthwise one few values are used twice. Ends with an error when a loop is below 90 % of its limit. Not judged, and
marked with the reason, are loops that store, which apply a function or transform what goes into a sum or comes out of it,
and loops of a few sums, those that are left at the end of a row of outputs: they wait for one another.

Wants llvm-objdump and llvm-mca of LLVM 17 or later: before, neoverse-n1 had no model of its own.
"""

import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

PROCESSORS = ("neoverse-n1", "apple-m1")
LEAST = 90.0
OLDEST = 17
# Iterations that llvm-mca follows: start and end weigh little.
ITERATIONS = 1000
# Independent multiply-adds enough to hide their latency on any of the processors.
INDEPENDENT = 24
# Registers with sums of which no kernel has fewer but for what is left over. Half of what hides the latency on neoverse-n1.
FEWEST = 4

MULTIPLY_ADD = re.compile(r"^fm(?:la|ls)\t(v\d+)")
LOAD = re.compile(r"^ld")
STORE = re.compile(r"^st")
BRANCH = re.compile(r"^(b|b\.\w+|cbn?z|tbn?z)\t.*?(0x[0-9a-f]+) <.*>$")


def tool(name):
    """The newest version of a tool that there is."""
    for version in range(40, OLDEST - 1, -1):
        found = shutil.which(f"{name}-{version}")
        if found:
            return found
    found = shutil.which(name)
    if found:
        text = subprocess.run([found, "--version"], capture_output=True, text=True).stdout
        version = re.search(r"version (\d+)", text)
        if version and int(version[1]) >= OLDEST:
            return found
    sys.exit(f"{name} of LLVM {OLDEST} or later is wanted (Debian: llvm-19)")


def functions(object_file):
    """The functions of an object: their names, and their instructions as (address, text)."""
    command = [tool("llvm-objdump"), "--disassemble", "--no-show-raw-insn", object_file]
    listing = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = {}
    for line in listing.splitlines():
        if head := re.match(r"^[0-9a-f]+ <(.*)>:$", line):
            found[head[1]] = current = []
        elif row := re.match(r"^\s*([0-9a-f]+):\s+(\S.*)$", line):
            current.append((int(row[1], 16), row[2].strip()))
    return found


def loops(instructions):
    """The innermost loops: what lies between a jump back and where it leads, with no other such jump in between."""
    places = {address: number for number, (address, _) in enumerate(instructions)}
    back = []
    for number, (address, text) in enumerate(instructions):
        jump = BRANCH.match(text)
        if jump and int(jump[2], 16) <= address and int(jump[2], 16) in places:
            back.append((places[int(jump[2], 16)], number))
    for start, end in back:
        if not any(other != (start, end) and start <= other[0] and other[1] <= end for other in back):
            yield [text for _, text in instructions[start : end + 1]]


def cycles(lines, processor):
    """Cycles that an iteration takes."""
    # Where a jump leads does not matter, only that it is one.
    text = [re.sub(r"0x[0-9a-f]+ <.*>$", "loop", line) for line in lines]
    command = [tool("llvm-mca"), "--mtriple=aarch64", f"--mcpu={processor}", f"--iterations={ITERATIONS}"]
    command += ["--instruction-info=false", "--resource-pressure=false"]
    run = subprocess.run(command, input="loop:\n" + "\n".join(text) + "\n", capture_output=True, text=True)
    total = re.search(r"^Total Cycles:\s+(\d+)$", run.stdout, re.MULTILINE)
    if not total:
        sys.exit(f"llvm-mca says nothing of\n{chr(10).join(text)}\n{run.stderr}")
    return int(total[1]) / ITERATIONS


def zeros(param):
    """Weights for a network of convolutions and inner products: their values don't decide what code there is."""
    words = 0
    for line in param.read_text().splitlines()[2:]:
        kind, _, inputs, outputs, *rest = line.split()
        values = dict(word.split("=", 1) for word in rest[int(inputs) + int(outputs) :])
        if kind in ("Convolution", "ConvolutionDepthWise", "InnerProduct"):
            (weights, bias) = ("2", "1") if kind == "InnerProduct" else ("6", "5")
            words += 1 + int(values[weights]) + int(values["0"]) * int(values.get(bias, 0))
    return bytes(4 * words)


def compiled(arguments, folder):
    """The path of the object."""
    ncnnc, param, *rest = arguments
    if not rest or rest[0].startswith("-"):
        weights = folder / "zeros.bin"
        weights.write_bytes(zeros(Path(param)))
        rest.insert(0, str(weights))
    path = folder / "model.o"
    command = [ncnnc, "compile", param, *rest, "--target", "aarch64-unknown-linux-gnu", "--weights", "extern"]
    subprocess.run([*command, "--emit", "obj", "--name", "model", "-o", path], check=True)
    return path


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    with tempfile.TemporaryDirectory() as folder:
        found = functions(compiled(sys.argv[1:], Path(folder)))
    independent = [f"fmla\tv{number}.4s, v30.4s, v31.s[0]" for number in range(INDEPENDENT)]
    limit = {processor: cycles(independent, processor) / INDEPENDENT for processor in PROCESSORS}
    print(f"{'':<48} {'fmla':>5} {'loads':>5} {'all':>5}" + "".join(f" {name:>14}" for name in PROCESSORS))
    slow = 0
    for name, instructions in found.items():
        for lines in loops(instructions):
            sums = [match[1] for match in map(MULTIPLY_ADD.match, lines) if match]
            count = len(sums)
            if count == 0:
                continue
            loads = sum(bool(LOAD.match(line)) for line in lines)
            stores = sum(bool(STORE.match(line)) for line in lines)
            text, marks, shares = "", [], []
            for processor in PROCESSORS:
                by_loads = cycles([line for line in lines if LOAD.match(line)], processor) if loads else 0
                by_sums = count * limit[processor]
                shares.append(100 * max(by_sums, by_loads) / cycles(lines, processor))
                text += f" {shares[-1]:>12.1f} %"
                if by_loads > by_sums:
                    marks.append(f"{processor} by its loads")
            if stores:
                marks.append(f"not judged: it stores {stores} times")
            elif len(set(sums)) < FEWEST:
                marks.append(f"not judged: {len(set(sums))} registers of sums")
            elif min(shares) < LEAST:
                slow += 1
                marks.append("below the limit")
            print(f"{name.removeprefix('model_'):<48} {count:>5} {loads:>5} {len(lines):>5}{text} {', '.join(marks)}".rstrip())
    if slow:
        sys.exit(f"{slow} loops are below {LEAST} % of the limit")


if __name__ == "__main__":
    main()

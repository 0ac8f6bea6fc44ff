#!/usr/bin/env python3
"""Prints 2^(20 j) * 2/pi modulo 4, nearest to zero, as sums of four floats: the table in `trigonometric.rs`."""

import mpmath as mp
import numpy as np

mp.mp.prec = 600

for step in range(6):
    rest = mp.ldexp(2 / mp.pi, 20 * step)
    rest -= 4 * mp.nint(rest / 4) if step else 0
    parts = []
    for _ in range(4):
        with mp.workprec(24):
            part = +rest
        parts.append(np.float32(float(part)))
        rest -= part
    print("    [" + ", ".join(f"0x{int(part.view(np.uint32)):08x}" for part in parts) + "],", mp.nstr(rest, 3))

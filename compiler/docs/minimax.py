#!/usr/bin/env python3
"""Fits the polynomials of `compiler/src/function`: needs `mpmath` and `numpy`; prints coefficients, lowest power first.

Each fit minimises the largest weighted error over an interval (reweighted least squares on a dense grid). Coefficients are then
rounded to f32 one by one, lowest power first, and the rest is fitted again, so that rounding costs next to nothing.
Run with the names of fits, or without any for all of them.
"""

import sys

import mpmath as mp
import numpy as np

mp.mp.dps = 50
POINTS = 800


def least_maximum(target, weight, points, powers):
    """Coefficients of `powers` whose largest weighted error is (nearly) smallest: Lawson's reweighted least squares."""
    scale = np.max(np.abs(points))
    basis = np.array([(points / scale) ** power for power in powers]).T * weight[:, None]
    share = np.ones(len(points))
    best, least = None, np.inf
    for _ in range(200):
        importance = np.sqrt(share)[:, None]
        solution = np.linalg.lstsq(basis * importance, target * weight * importance[:, 0], rcond=1e-17)[0]
        error = np.abs(target * weight - basis @ solution)
        if error.max() < least:
            best, least = solution, error.max()
        share *= error / error.max()
        share = np.maximum(share / share.max(), 1e-30)
    return best / scale ** np.array(powers, dtype=float)


def fit(function, interval, powers, weight=lambda x: mp.mpf(1)):
    """Coefficients rounded to f32, and the largest weighted error with them."""
    low, high = map(mp.mpf, interval)
    points = [low + (high - low) * (1 - mp.cos(mp.pi * (i + 0.5) / POINTS)) / 2 for i in range(POINTS)]
    target, weights = [mp.mpf(function(x)) for x in points], [abs(mp.mpf(weight(x))) for x in points]
    as_floats = lambda values: np.array([float(v) for v in values])
    rounded = []
    for index, power in enumerate(powers):
        best = least_maximum(as_floats(target), as_floats(weights), as_floats(points), powers[index:])
        rounded.append(np.float32(best[0]))
        target = [t - mp.mpf(float(rounded[-1])) * x**power for t, x in zip(target, points)]
    return rounded, max(abs(t * w) for t, w in zip(target, weights))


def root(u):
    return mp.sqrt(u)


def normal_tail(a):
    return mp.erfc(a / mp.sqrt(2)) / 2 * mp.exp(a * a / 2)


LN2 = mp.log(2)

# name: (function, interval, powers, weight)
FITS = {
    # exp(r) = 1 + r q(r); weight: relative error of exp.
    "exp": (lambda r: mp.expm1(r) / r, (-LN2 / 2, LN2 / 2), range(6), lambda r: r / mp.exp(r)),
    # exp(r) = 1 + r + r^2 w(r), relative to expm1.
    "expm1": (lambda r: (mp.expm1(r) - r) / r**2, (-LN2 / 2, LN2 / 2), range(6), lambda r: r**2 / mp.expm1(r)),
    # tanh(x) = x + x^3 p(x^2), |x| <= 1.
    "tanh": (lambda u: (mp.tanh(root(u)) / root(u) - 1) / u, (0, 1), range(7), lambda u: u),
    # exp(2 r) = 1 + r q(r), |r| <= ln(2)/4.
    "exp_twice": (lambda r: mp.expm1(2 * r) / r, (-LN2 / 4, LN2 / 4), range(6), lambda r: r),
    # erf(x) = x + x p(x^2), |x| <= 0.95.
    "erf_small": (lambda u: mp.erf(root(u)) / root(u) - 1, (0, 0.9025), range(7), lambda u: 1),
    # erfc(x) = 2^(x p(x)), 0.95 <= x <= 3.95; weight: the error of erf.
    "erf_large": (lambda x: mp.log(mp.erfc(x), 2) / x, (0.95, 3.95), range(7), lambda x: mp.erfc(x) * x),
    # 2^f = 1 + f p(f), |f| <= 1/2.
    "exp2": (lambda f: (mp.mpf(2) ** f - 1) / f, (-0.5, 0.5), range(6), lambda f: f),
    # log(1 + f) = f + f^2 p(f).
    "log": (lambda f: (mp.log1p(f) - f) / f**2, (mp.sqrt(0.5) - 1, mp.sqrt(2) - 1), range(9), lambda f: f**2 / mp.log1p(f)),
    # sinh(x) = x + x^3 p(x^2), |x| <= 1.
    "sinh": (lambda u: (mp.sinh(root(u)) / root(u) - 1) / u, (0, 1), range(4), lambda u: u),
    # sin(r) = r + r^3 p(r^2), |r| <= pi/4.
    "sin": (lambda u: (mp.sin(root(u)) / root(u) - 1) / u, (0, 0.6170), range(4), lambda u: u),
    # cos(r) = 1 - r^2/2 + r^4 p(r^2), |r| <= pi/4.
    "cos": (lambda u: (mp.cos(root(u)) - 1 + u / 2) / u**2, (0, 0.6170), range(3), lambda u: u**2),
    # asin(x) = x + x^3 p(x^2), |x| <= 1/2.
    "asin": (lambda u: (mp.asin(root(u)) / root(u) - 1) / u, (0, 0.25), range(5), lambda u: u),
    # atan(x) = x + x^3 (p(x^2) - 1/4), |x| <= 1.
    "atan": (lambda u: (mp.atan(root(u)) / root(u) - 1) / u + mp.mpf(0.25), (0, 1), range(9), lambda u: u),
    # Phi(-a) a exp(a^2/2) = v + v^2 p(v) with v = a / (a + 2), 0 <= a <= 14.6; Phi is the normal distribution.
    "gelu": (
        lambda v: (normal_tail(2 * v / (1 - v)) * 2 / (1 - v) - 1) / v,
        (0, 14.6 / 16.6),
        range(11),
        lambda v: v * (1 - v) / normal_tail(2 * v / (1 - v)) / 2,
    ),
    # log((1 + s) / (1 - s)) = 2 s + s^3 (2/3 + s^2 p(s^2)), |s| <= 3 - 2 sqrt(2).
    "log_quotient": (lambda u: (2 * mp.atanh(root(u)) / root(u) - 2 - 2 * u / 3) / u**2, (0, 0.02944), range(3), lambda u: u**2),
}


def main():
    for name in sys.argv[1:] or FITS:
        function, interval, powers, weight = FITS[name]
        coefficients, error = fit(function, interval, list(powers), weight)
        print(f"{name}: error 2^{float(mp.log(error, 2)):.1f} on {[float(x) for x in interval]}")
        for power, coefficient in zip(powers, coefficients):
            print(f"    {float(coefficient)!r:>24}  x^{power}  {coefficient.view(np.uint32):#010x}")


if __name__ == "__main__":
    main()

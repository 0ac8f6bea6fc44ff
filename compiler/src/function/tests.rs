use super::Function;
use crate::expression::{Expression, Node};
use std::f32::consts::{FRAC_PI_2, PI};

const INFINITY: f32 = f32::INFINITY;
const NAN: f32 = f32::NAN;
/// The least denormal.
const LEAST: f32 = f32::from_bits(1);

fn evaluate(function: Function, arguments: &[f32]) -> f32 {
    let expression = Expression::new(|e| {
        let operands: Vec<_> = (0..arguments.len()).map(|i| e.read(i)).collect();
        e.call(function, &operands)
    })
    .expanded();
    let mut scratch = Vec::new();
    expression.evaluate(|i| arguments[i].to_bits(), &mut scratch);
    f32::from_bits(scratch[expression.result().0 as usize])
}

/// Asserts equal bits, any NaN equal to any other.
fn check(function: Function, arguments: &[f32], want: f32) {
    let got = evaluate(function, arguments);
    let same = got.to_bits() == want.to_bits() || got.is_nan() && want.is_nan();
    assert!(same, "{}{arguments:?} is {got:e}, not {want:e}", function.text());
}

#[test]
fn functions_of_one_argument_have_their_special_values() {
    use Function::*;
    // At -infinity, -0, +0 and +infinity.
    let rows = [
        (Exponential, [0.0, 1.0, 1.0, INFINITY]),
        (ExponentialMinusOne, [-1.0, -0.0, 0.0, INFINITY]),
        (Logarithm, [NAN, -INFINITY, -INFINITY, INFINITY]),
        (LogarithmOnePlus, [NAN, -0.0, 0.0, INFINITY]),
        (LogarithmTen, [NAN, -INFINITY, -INFINITY, INFINITY]),
        (Sine, [NAN, -0.0, 0.0, NAN]),
        (Cosine, [NAN, 1.0, 1.0, NAN]),
        (Tangent, [NAN, -0.0, 0.0, NAN]),
        (ArcSine, [NAN, -0.0, 0.0, NAN]),
        (ArcCosine, [NAN, FRAC_PI_2, FRAC_PI_2, NAN]),
        (ArcTangent, [-FRAC_PI_2, -0.0, 0.0, FRAC_PI_2]),
        (HyperbolicSine, [-INFINITY, -0.0, 0.0, INFINITY]),
        (HyperbolicCosine, [INFINITY, 1.0, 1.0, INFINITY]),
        (HyperbolicTangent, [-1.0, -0.0, 0.0, 1.0]),
        (AreaSine, [-INFINITY, -0.0, 0.0, INFINITY]),
        (AreaCosine, [NAN, NAN, NAN, INFINITY]),
        (AreaTangent, [NAN, -0.0, 0.0, NAN]),
        (ErrorFunction, [-1.0, -0.0, 0.0, 1.0]),
        (Sigmoid, [0.0, 0.5, 0.5, 1.0]),
        (Softplus, [0.0, std::f32::consts::LN_2, std::f32::consts::LN_2, INFINITY]),
        (Mish, [-0.0, -0.0, 0.0, INFINITY]),
        (Gelu, [-0.0, -0.0, 0.0, INFINITY]),
        (Sign, [-1.0, -0.0, 0.0, 1.0]),
        (Rounded, [-INFINITY, -0.0, 0.0, INFINITY]),
        (Rest, [0.0, 0.0, 0.0, 0.0]),
    ];
    let named: Vec<_> = rows.iter().map(|row| row.0).collect();
    let all: Vec<_> = Function::ALL.iter().copied().filter(|f| f.arity() == 1).collect();
    assert_eq!(named, all, "a row for every function");
    for (function, values) in rows {
        for (argument, want) in [-INFINITY, -0.0, 0.0, INFINITY].into_iter().zip(values) {
            check(function, &[argument], want);
        }
        check(function, &[NAN], NAN);
        check(function, &[f32::from_bits(0xffff_ffff)], NAN);
        check(function, &[f32::from_bits(0x7f80_0001)], NAN);
    }
}

#[test]
fn results_at_the_edges_of_domains_and_ranges_are_exact() {
    use Function::*;
    check(Logarithm, &[1.0], 0.0);
    check(LogarithmTen, &[1000.0], 3.0);
    check(LogarithmOnePlus, &[-1.0], -INFINITY);
    check(ArcCosine, &[1.0], 0.0);
    check(ArcCosine, &[-1.0], PI);
    check(ArcSine, &[-1.0], -FRAC_PI_2);
    check(AreaCosine, &[1.0], 0.0);
    check(AreaTangent, &[1.0], INFINITY);
    check(AreaTangent, &[-1.0], -INFINITY);
    for function in [ExponentialMinusOne, LogarithmOnePlus, Sine, Tangent, ArcSine, ArcTangent, HyperbolicSine] {
        check(function, &[LEAST], LEAST);
        check(function, &[-LEAST], -LEAST);
    }
    for function in [HyperbolicTangent, AreaSine, AreaTangent] {
        check(function, &[LEAST], LEAST);
    }
}

#[test]
fn powers_have_the_special_cases_of_c() {
    let cases = [
        (NAN, 0.0, 1.0),
        (1.0, NAN, 1.0),
        (NAN, 1.0, NAN),
        (2.0, NAN, NAN),
        (-1.0, INFINITY, 1.0),
        (-1.0, -INFINITY, 1.0),
        (-1.0, NAN, NAN),
        (0.5, INFINITY, 0.0),
        (0.5, -INFINITY, INFINITY),
        (-2.0, INFINITY, INFINITY),
        (-2.0, -INFINITY, 0.0),
        (0.0, -1.0, INFINITY),
        (-0.0, -1.0, -INFINITY),
        (-0.0, -2.0, INFINITY),
        (-0.0, 3.0, -0.0),
        (-0.0, 0.5, 0.0),
        (0.0, -INFINITY, INFINITY),
        (-INFINITY, 3.0, -INFINITY),
        (-INFINITY, 0.5, INFINITY),
        (-INFINITY, -3.0, -0.0),
        (INFINITY, -LEAST, 0.0),
        (-2.0, 0.5, NAN),
        (-2.0, 3.0, -8.0),
        (-2.0, -2.0, 0.25),
        (10.0, 39.0, INFINITY),
        (2.0, -149.0, LEAST),
        (-3.0, 16_777_217.0, INFINITY),
        (9.0, 0.5, 3.0),
    ];
    for (x, y, want) in cases {
        check(Function::Power, &[x, y], want);
    }
}

#[test]
fn angles_of_points_keep_all_signs() {
    let cases = [
        (0.0, 0.0, 0.0),
        (-0.0, 0.0, -0.0),
        (0.0, -0.0, PI),
        (-0.0, -0.0, -PI),
        (0.0, -3.0, PI),
        (-0.0, 3.0, -0.0),
        (2.0, 0.0, FRAC_PI_2),
        (-2.0, -0.0, -FRAC_PI_2),
        (1.0, INFINITY, 0.0),
        (-1.0, -INFINITY, -PI),
        (INFINITY, -1.0, FRAC_PI_2),
        (NAN, 1.0, NAN),
        (1.0, NAN, NAN),
    ];
    for (y, x, want) in cases {
        check(Function::ArcTangentOfTwo, &[y, x], want);
    }
    // The diagonal, to the function's bound: one unit in the last place.
    for size in [LEAST, 1e-20, 1.0, f32::MAX, INFINITY] {
        for (y, x, want) in [(size, size, 0.25), (-size, size, -0.25), (size, -size, 0.75), (-size, -size, -0.75)] {
            let want = want * std::f64::consts::PI;
            let got = f64::from(evaluate(Function::ArcTangentOfTwo, &[y, x]));
            let unit = f64::from(f32::EPSILON) * if want.abs() < 1.0 { 0.5 } else { 2.0 };
            assert!((got - want).abs() <= unit, "atan2({y:e}, {x:e}) is {got}, not {want}");
        }
    }
}

#[test]
fn remainders_are_exact_whatever_the_quotient() {
    let cases = [
        (5.0, 3.0, 2.0, -1.0),
        (-5.0, 3.0, -2.0, 1.0),
        (5.0, -3.0, 2.0, -1.0),
        (4.5, 3.0, 1.5, -1.5),
        (1.5, 3.0, 1.5, 1.5),
        (-6.0, 3.0, -0.0, -0.0),
        (0.0, 3.0, 0.0, 0.0),
        (2.0, INFINITY, 2.0, 2.0),
        (INFINITY, 2.0, NAN, NAN),
        (INFINITY, INFINITY, NAN, NAN),
        (2.0, 0.0, NAN, NAN),
        (0.0, 0.0, NAN, NAN),
        (NAN, 1.0, NAN, NAN),
        (1.0, NAN, NAN, NAN),
        (f32::MAX, LEAST, 0.0, 0.0),
        (LEAST, f32::MAX, LEAST, LEAST),
        (f32::MAX, 3.0, 0.0, 0.0),
    ];
    for (x, y, modulo, remainder) in cases {
        check(Function::Modulo, &[x, y], modulo);
        check(Function::Remainder, &[x, y], remainder);
    }
    // A float's quotient of 127 bits: exact in double precision as well.
    check(Function::Modulo, &[1e38, 0.7], (f64::from(1e38f32) % f64::from(0.7f32)) as f32);
}

#[test]
fn expansions_hold_instructions_only() {
    for function in Function::ALL {
        let expression = Expression::new(|e| {
            let operands: Vec<_> = (0..function.arity()).map(|i| e.read(i)).collect();
            e.call(*function, &operands)
        });
        let expanded = expression.expanded();
        assert!(expanded.nodes.iter().all(|node| !matches!(node, Node::Call(..))), "{}", function.text());
    }
}

#[test]
fn a_batch_has_the_bits_of_single_elements() {
    let expression = Expression::new(|e| {
        let [x, y] = [0, 1].map(|i| e.read(i));
        e.call(Function::Power, &[x, y])
    })
    .expanded();
    let xs: Vec<u32> = (0..100u32).map(|i| i.wrapping_mul(0x9e37_79b9)).collect();
    let ys: Vec<u32> = (0..100u32).map(|i| (i as f32 * 0.25 - 9.0).to_bits()).collect();
    let result = expression.result().0 as usize;
    let (mut batch, mut single) = (Vec::new(), Vec::new());
    expression.evaluate_batch(&[&xs, &ys], xs.len(), &mut batch);
    for lane in 0..xs.len() {
        expression.evaluate(|operand| [xs[lane], ys[lane]][operand], &mut single);
        let [got, want] = [batch[result * xs.len() + lane], single[result]].map(f32::from_bits);
        assert!(got.to_bits() == want.to_bits() || got.is_nan() && want.is_nan(), "lane {lane}");
    }
}

//! Measures the elementary functions against double precision: a sample of all 2^32 arguments, or every one of them with
//! `NCNNC_FULL=1` (one function alone with `NCNNC_FUNCTION=name`).

use ncnnc_compiler::expression::Expression;
use ncnnc_compiler::function::Function;

/// Arguments evaluated at once.
const LANES: usize = 512;
/// Distance of sampled arguments: a prime, so that every exponent and all low bits occur.
const STRIDE: u64 = 1021;

/// The distance of `got` from the true value, in units of the last place of the true value's binade.
///
/// A result must be NaN where the true value is, and a true zero must keep its sign. Infinity counts as 2^128, the next
/// number after the greatest.
fn error_ulp(got: f32, real: f64) -> f64 {
    if real.is_nan() || got.is_nan() {
        return if real.is_nan() && got.is_nan() { 0.0 } else { f64::INFINITY };
    }
    if real == 0.0 {
        return if got == 0.0 && got.is_sign_negative() == real.is_sign_negative() { 0.0 } else { f64::INFINITY };
    }
    let beyond = 2f64.powi(128);
    let [got, real] = [f64::from(got), real].map(|v| v.clamp(-beyond, beyond));
    let exponent = ((real.to_bits() >> 52) & 0x7ff) as i32 - 1023;
    (got - real).abs() / f64::from_bits(((exponent.clamp(-126, 127) - 23 + 1023) as u64) << 52)
}

/// The worst error over the arguments `from`, `from + stride`, ... below 2^32, and where it is.
fn worst(function: Function, from: u64, stride: u64) -> (f64, u32) {
    let expression = Expression::new(|e| {
        let x = e.read(0);
        e.call(function, &[x])
    })
    .expanded();
    let result = expression.result().0 as usize * LANES;
    let mut scratch = Vec::new();
    let mut worst = (-1.0, 0);
    let mut next = from;
    let mut arguments = [0u32; LANES];
    while next < 1 << 32 {
        for argument in &mut arguments {
            *argument = next.min(u64::from(u32::MAX)) as u32;
            next += stride;
        }
        expression.evaluate_batch(&[&arguments], LANES, &mut scratch);
        for (argument, got) in arguments.iter().zip(&scratch[result..][..LANES]) {
            let real = function.real(&[f64::from(f32::from_bits(*argument))]);
            let error = error_ulp(f32::from_bits(*got), real);
            if error > worst.0 {
                worst = (error, *argument);
            }
        }
    }
    worst
}

/// [`worst`] over the whole range, on every processor.
fn measure(function: Function) -> (f64, u32) {
    let full = std::env::var_os("NCNNC_FULL").is_some_and(|v| v == "1");
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get() as u64);
    let stride = if full { 1 } else { STRIDE };
    std::thread::scope(|scope| {
        let workers: Vec<_> =
            (0..threads).map(|i| scope.spawn(move || worst(function, i * stride, threads * stride))).collect();
        let results = workers.into_iter().map(|worker| worker.join().expect("a worker ends"));
        results.max_by(|a, b| a.0.total_cmp(&b.0)).expect("there is a processor")
    })
}

#[test]
fn every_function_of_one_argument_keeps_its_bound() {
    let only = std::env::var("NCNNC_FUNCTION").ok();
    let mut failures = Vec::new();
    for function in Function::ALL.iter().filter(|f| f.arity() == 1) {
        if only.as_ref().is_some_and(|only| only != function.text()) {
            continue;
        }
        let (error, at) = measure(*function);
        let line = format!("{}: {error:.4} ulp at {:e} ({at:#010x})", function.text(), f32::from_bits(at));
        println!("{line}");
        if error > function.worst_error_ulp() {
            failures.push(line);
        }
    }
    assert!(failures.is_empty(), "beyond the bound: {failures:?}");
}

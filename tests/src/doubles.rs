//! Kernels that compute in double precision, for tests of all that runs kernels.

use ncnnc_compiler::kernel::{Address, Builder, Kernel, Op, Type, ValueId};

/// Results of [`operations`] for each of `count` elements; half of them, the operands, only where these are kept.
pub const RESULTS: usize = 6;

/// `a * b + c` as a float and what that lacks, and the same with another `c`, over three buffers of `count` elements. The
/// operands are used once, or again when they are `kept`.
pub fn operations(lanes: usize, ty: Type, count: usize, kept: bool) -> Kernel {
    let words = if ty == Type::Vector { lanes } else { 1 };
    let mut builder = Builder::new(format!("doubles_{ty:?}_{kept}"), lanes, count / words);
    let inputs = ["a", "b", "c"].map(|name| builder.input(name, count));
    let output = builder.output("out", RESULTS * count);
    let task = builder.task();
    let at = |buffer| Address::new(buffer, 0).plus(task, words as i64);
    let loaded = inputs.map(|input| builder.load(ty, at(input)));
    let (of, halves) = ty.sums();
    let widen = |builder: &mut Builder, value| -> Vec<ValueId> {
        (0..halves).map(|half| builder.define(of, Op::Widen(value, half))).collect()
    };
    let [a, b, c] = loaded.map(|value| widen(&mut builder, value));
    let minus_one = builder.constant(ty, (-1.0_f32).to_bits());
    let minus_one = widen(&mut builder, minus_one);
    let multiply_add = |builder: &mut Builder, a: &[ValueId], b: &[ValueId], c: &[ValueId]| -> Vec<ValueId> {
        (0..halves).map(|half| builder.define(of, Op::MultiplyAdd([a[half], b[half], c[half]]))).collect()
    };
    let sums = multiply_add(&mut builder, &a, &b, &c);
    let high = builder.define(ty, Op::Narrow(sums.clone()));
    let highs = widen(&mut builder, high);
    let rests = multiply_add(&mut builder, &highs, &minus_one, &sums);
    let low = builder.define(ty, Op::Narrow(rests));
    let twice = (0..halves).map(|half| builder.define(of, Op::AddDoubles([sums[half], c[half]]))).collect();
    let twice = builder.define(ty, Op::Narrow(twice));
    let again = if kept { &loaded[..] } else { &[] };
    for (i, value) in [high, low, twice].iter().chain(again).enumerate() {
        builder.store(Address::new(output, (i * count) as i64).plus(task, words as i64), *value);
    }
    builder.finish()
}

/// Every lane of doubles by itself, over so many vectors.
pub fn turns(lanes: usize, tasks: usize) -> Kernel {
    let mut builder = Builder::new("doubles_turned", lanes, tasks);
    let input = builder.input("in", tasks * lanes);
    let output = builder.output("out", tasks * lanes);
    let task = builder.task();
    let value = builder.load(Type::Vector, Address::new(input, 0).plus(task, lanes as i64));
    let halves = [0, 1].map(|half| builder.define(Type::Doubles, Op::Widen(value, half)));
    for (half, doubles) in halves.into_iter().enumerate() {
        for lane in 0..lanes / 2 {
            let turned = builder.define(Type::Doubles, Op::Rotate(doubles, lane));
            let first = builder.define(Type::Double, Op::First(turned));
            let word = builder.define(Type::Scalar, Op::Narrow(vec![first]));
            let place = Address::new(output, (half * lanes / 2 + lane) as i64).plus(task, lanes as i64);
            builder.store(place, word);
        }
    }
    builder.finish()
}

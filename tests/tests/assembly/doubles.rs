//! Kernels that hold sums in double precision: every operation on special values, wherever operands are, and tiles.

use super::kernels::{Random, SPECIAL, with_floats};
use super::machine::Case;
use ncnnc_compiler::format::Format;
use ncnnc_compiler::kernel::{Address, Builder, Kernel, Op, Type, ValueId, VariableId};
use ncnnc_tests::doubles::{self, RESULTS};

/// Every case for kernels of so many lanes.
pub fn all(lanes: usize) -> Vec<Case> {
    let mut cases: Vec<Case> = [false, true].into_iter().flat_map(|kept| operations(lanes, kept)).collect();
    for format in [Format::Word, Format::F16, Format::Bf16] {
        for (pixels, vectors) in [(1, 1), (2, 2), (3, 2), (6, 2), (12, 1), (1, 12), (5, 4)] {
            cases.push(with_floats(contraction(lanes, format, pixels, vectors, 19), 3));
        }
    }
    cases.push(with_floats(doubles::turns(lanes, 4), 4));
    cases
}

/// Every operation on special values and random ones; operands are used once, or again when they are `kept`.
fn operations(lanes: usize, kept: bool) -> [Case; 2] {
    const COUNT: usize = 1536;
    [Type::Vector, Type::Scalar].map(|ty| {
        let mut random = Random(7);
        let mut buffers = vec![Vec::new(); 3];
        for i in 0..COUNT {
            let special = i < 1024;
            buffers[0].push(if special { SPECIAL[i / 32] } else { random.word() });
            buffers[1].push(if special { SPECIAL[i % 32] } else { random.word() });
            buffers[2].push(if special { SPECIAL[(i * 7 + i / 32) % 32] } else { random.word() });
        }
        buffers.push(vec![0xdead_beef; RESULTS * COUNT]);
        Case { kernel: doubles::operations(lanes, ty, COUNT, kept), buffers }
    })
}

/// A tile of a contraction: `out[task][pixel][vector] = sum over k of in[task][pixel][k] * weight[k][vector]`.
fn contraction(lanes: usize, format: Format, pixels: usize, vectors: usize, steps: usize) -> Kernel {
    let (tasks, row) = (3, vectors * lanes);
    let mut builder = Builder::new(format!("doubles_{}_{pixels}x{vectors}", format.text()), lanes, tasks);
    let input = builder.input_in(format, "in", tasks * pixels * steps);
    let weight = builder.input_in(format, "weight", steps * row);
    let output = builder.output("out", tasks * pixels * row);
    let task = builder.task();
    let sums: Vec<VariableId> = (0..2 * pixels * vectors).map(|_| builder.variable(Type::Doubles)).collect();
    let zero = builder.constant(Type::Vector, 0);
    let zero = builder.define(Type::Doubles, Op::Widen(zero, 0));
    sums.iter().for_each(|sum| builder.set(*sum, zero));
    builder.repeat(steps, |builder, k| {
        let weights: Vec<ValueId> = (0..vectors)
            .map(|v| builder.load(Type::Vector, Address::new(weight, (v * lanes) as i64).plus(k, row as i64)))
            .collect();
        let weights: Vec<ValueId> = weights
            .iter()
            .flat_map(|weight| [0, 1].map(|half| builder.define(Type::Doubles, Op::Widen(*weight, half))))
            .collect();
        for (pixel, sums) in sums.chunks(2 * vectors).enumerate() {
            let place = Address::new(input, (pixel * steps) as i64).plus(task, (pixels * steps) as i64).plus(k, 1);
            let x = builder.broadcast(place);
            let x = builder.define(Type::Doubles, Op::Widen(x, 0));
            for (weight, sum) in weights.iter().zip(sums) {
                let old = builder.get(*sum);
                let new = builder.define(Type::Doubles, Op::MultiplyAdd([*weight, x, old]));
                builder.set(*sum, new);
            }
        }
    });
    for (number, halves) in sums.chunks(2).enumerate() {
        let halves = halves.iter().map(|sum| builder.get(*sum)).collect();
        let value = builder.define(Type::Vector, Op::Narrow(halves));
        let place = Address::new(output, (number * lanes) as i64).plus(task, (pixels * row) as i64);
        builder.store(place, value);
    }
    builder.finish()
}

//! Kernels to try: every instruction, statement and operation, and what is hard on registers and addresses.

use super::machine::Case;
use ncnnc_compiler::instruction::Instruction;
use ncnnc_compiler::kernel::{Address, Buffer, Builder, Kernel, Op, Type, ValueId, VariableId};

/// Words that are special as floats or as integers.
pub const SPECIAL: [u32; 32] = [
    0x0000_0000,
    0x8000_0000,
    0x3f80_0000,
    0xbf80_0000,
    0x7f80_0000,
    0xff80_0000,
    0x7fc0_0000,
    0xffc0_0001,
    0x0000_0001,
    0x8000_0001,
    0x007f_ffff,
    0x0080_0000,
    0x7f7f_ffff,
    0xff7f_ffff,
    0x4f00_0000,
    0xcf00_0000,
    0x4eff_ffff,
    0xcf00_0001,
    0x3f00_0000,
    0xbf00_0000,
    0x3fc0_0000,
    0x4020_0000,
    0xc020_0000,
    0x4b00_0001,
    0xffff_ffff,
    0x0000_001f,
    0x0000_0020,
    0x0000_0003,
    0x7fff_ffff,
    0x3eaa_aaab,
    0x501502f9,
    0x3fff_ffff,
];

/// A reproducible sequence of words.
pub struct Random(pub u64);

impl Random {
    pub fn word(&mut self) -> u32 {
        // Knuth's MMIX generator; the high half is the good one.
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 32) as u32
    }

    /// Between -1 and 1.
    fn float(&mut self) -> u32 {
        ((self.word() >> 8) as f32 / (1 << 23) as f32 - 1.0).to_bits()
    }
}

/// Buffers full of small floats.
pub fn with_floats(kernel: Kernel, seed: u64) -> Case {
    let mut random = Random(seed);
    let mut floats = |buffer: &Buffer| (0..buffer.elements).map(|_| random.float()).collect::<Vec<u32>>();
    let buffers = kernel.buffers.iter().map(|buffer| buffer.format.pack(floats(buffer))).collect();
    Case { kernel, buffers }
}

/// Every case for kernels of so many lanes.
pub fn all(lanes: usize) -> Vec<Case> {
    let mut cases = Vec::new();
    for instruction in Instruction::ALL {
        for ty in [Type::Vector, Type::Scalar] {
            cases.extend(Form::ALL.iter().map(|form| instruction_case(lanes, *instruction, ty, *form)));
        }
    }
    for (pixels, vectors) in [(1, 1), (14, 1), (6, 2), (4, 3), (14, 2), (6, 4), (8, 2), (5, 5), (20, 3)] {
        cases.push(with_floats(contraction(lanes, pixels, vectors, 37), 1));
    }
    cases.extend((0..=lanes).map(|distance| rotation(lanes, distance)));
    cases.extend([
        with_floats(small(lanes), 2),
        pressure(lanes),
        selections(lanes),
        branches(lanes),
        nested(lanes),
        dynamic(lanes),
        indices(lanes),
        scalars(lanes),
        swaps(lanes),
        stores(lanes),
        far(lanes),
        pointers(lanes),
        many_constants(lanes),
    ]);
    cases
}

/// Where an instruction finds its operands.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Form {
    /// In memory, used once.
    Loads,
    /// In registers, each used again later.
    Kept,
    /// In variables, the result going to the first, second or third.
    Variables(usize),
    /// The last one is a constant.
    Constant,
    /// The last one is one word of memory in every lane.
    Broadcast,
}

impl Form {
    const ALL: [Form; 7] = [
        Form::Loads,
        Form::Kept,
        Form::Variables(0),
        Form::Variables(1),
        Form::Variables(2),
        Form::Constant,
        Form::Broadcast,
    ];
}

/// One instruction on every pair of special values (as far as there are operands), and on random ones.
fn instruction_case(lanes: usize, instruction: Instruction, ty: Type, form: Form) -> Case {
    let words = if ty == Type::Vector { lanes } else { 1 };
    let count = 1536;
    let tasks = count / words;
    let name = format!("{}_{ty:?}_{form:?}", instruction.text());
    let mut builder = Builder::new(name, lanes, tasks);
    let inputs: Vec<_> = (0..3).map(|i| builder.input(&format!("in{i}"), count)).collect();
    let output = builder.output("out", count);
    let task = builder.task();
    let at = |buffer| Address::new(buffer, 0).plus(task, words as i64);
    let arity = instruction.arity();
    let mut operands: Vec<ValueId> = inputs[..arity].iter().map(|input| builder.load(ty, at(*input))).collect();
    if form == Form::Constant {
        operands[arity - 1] = builder.constant(ty, 0x4016_0003);
    }
    if form == Form::Broadcast && ty == Type::Vector {
        operands[arity - 1] = builder.broadcast(at(inputs[arity - 1]));
    }
    let result = match form {
        Form::Loads | Form::Constant | Form::Broadcast => builder.apply(instruction, &operands),
        Form::Kept => {
            let result = builder.apply(instruction, &operands);
            let mixed =
                operands.iter().fold(result, |sum, operand| builder.apply(Instruction::ExclusiveOr, &[sum, *operand]));
            operands.iter().fold(mixed, |sum, operand| builder.apply(Instruction::ExclusiveOr, &[sum, *operand]))
        }
        Form::Variables(number) => {
            let variables: Vec<VariableId> = (0..3).map(|_| builder.variable(ty)).collect();
            operands.iter().zip(&variables).for_each(|(operand, variable)| builder.set(*variable, *operand));
            let read: Vec<ValueId> = variables[..arity].iter().map(|variable| builder.get(*variable)).collect();
            let result = builder.apply(instruction, &read);
            builder.set(variables[number], result);
            builder.get(variables[number])
        }
    };
    builder.store(at(output), result);
    let mut random = Random(7);
    let mut buffers = vec![Vec::new(); 3];
    for i in 0..count {
        let special = i < SPECIAL.len() * SPECIAL.len();
        let third = if special { SPECIAL[(i * 7 + i / 32) % 32] } else { random.float() };
        buffers[0].push(if special { SPECIAL[i / 32] } else { random.word() });
        buffers[1].push(if special { SPECIAL[i % 32] } else { random.word() });
        buffers[2].push(third);
    }
    buffers.push(vec![0xdead_beef; count]);
    Case { kernel: builder.finish(), buffers }
}

/// A tile of a contraction: `out[task][pixel][vector] = bias[vector] + sum over k of in[task][pixel][k] * weight[k][vector]`,
/// then at least zero.
pub fn contraction(lanes: usize, pixels: usize, vectors: usize, steps: usize) -> Kernel {
    let (tasks, row) = (3, vectors * lanes);
    let mut builder = Builder::new(format!("contraction_{pixels}x{vectors}"), lanes, tasks);
    let input = builder.input("in", tasks * pixels * steps);
    let weight = builder.input("weight", steps * row);
    let bias = builder.input("bias", row);
    let output = builder.output("out", tasks * pixels * row);
    let task = builder.task();
    let sums: Vec<VariableId> = (0..pixels * vectors).map(|_| builder.variable(Type::Vector)).collect();
    for (number, sum) in sums.iter().enumerate() {
        let start = builder.load(Type::Vector, Address::new(bias, (number % vectors * lanes) as i64));
        builder.set(*sum, start);
    }
    builder.repeat(steps, |builder, k| {
        let weights: Vec<ValueId> = (0..vectors)
            .map(|v| builder.load(Type::Vector, Address::new(weight, (v * lanes) as i64).plus(k, row as i64)))
            .collect();
        for pixel in 0..pixels {
            let place = Address::new(input, (pixel * steps) as i64).plus(task, (pixels * steps) as i64).plus(k, 1);
            let x = builder.broadcast(place);
            for (v, w) in weights.iter().enumerate() {
                let sum = sums[pixel * vectors + v];
                let old = builder.get(sum);
                let new = builder.apply(Instruction::FusedMultiplyAdd, &[*w, x, old]);
                builder.set(sum, new);
            }
        }
    });
    for (number, sum) in sums.iter().enumerate() {
        let value = builder.get(*sum);
        let zero = builder.constant(Type::Vector, 0);
        let value = builder.apply(Instruction::Maximum, &[value, zero]);
        let place = Address::new(output, (number * lanes) as i64).plus(task, (pixels * row) as i64);
        builder.store(place, value);
    }
    builder.finish()
}

/// As many sums as keep the multipliers busy, all in registers: what no contraction can be faster than.
pub fn peak(lanes: usize, steps: usize) -> Kernel {
    let mut builder = Builder::new("peak", lanes, 1);
    let (input, output) = (builder.input("in", lanes), builder.output("out", PEAK_SUMS * lanes));
    let x = builder.load(Type::Vector, Address::new(input, 0));
    let sums: Vec<VariableId> = (0..PEAK_SUMS).map(|_| builder.variable(Type::Vector)).collect();
    sums.iter().for_each(|sum| builder.set(*sum, x));
    builder.repeat(steps, |builder, _| {
        for sum in &sums {
            let old = builder.get(*sum);
            let new = builder.apply(Instruction::FusedMultiplyAdd, &[x, x, old]);
            builder.set(*sum, new);
        }
    });
    for (number, sum) in sums.iter().enumerate() {
        let value = builder.get(*sum);
        builder.store(Address::new(output, (number * lanes) as i64), value);
    }
    builder.finish()
}

/// Sums of [`peak`]: more than latency times throughput of any machine here.
pub const PEAK_SUMS: usize = 12;

/// The smallest kernel with all parts of a contraction.
pub fn small(lanes: usize) -> Kernel {
    Kernel { name: "small".to_string(), ..contraction(lanes, 2, 1, 5) }
}

fn rotation(lanes: usize, distance: usize) -> Case {
    let mut builder = Builder::new(format!("rotate_{distance}"), lanes, 2);
    let (input, output) = (builder.input("in", 2 * lanes), builder.output("out", 2 * lanes + 2));
    let task = builder.task();
    let value = builder.load(Type::Vector, Address::new(input, 0).plus(task, lanes as i64));
    let turned = builder.define(Type::Vector, Op::Rotate(value, distance));
    builder.store(Address::new(output, 0).plus(task, lanes as i64), turned);
    let first = builder.define(Type::Scalar, Op::First(turned));
    builder.store(Address::new(output, 2 * lanes as i64).plus(task, 1), first);
    let splat = builder.define(Type::Vector, Op::Splat(first));
    let both = builder.apply(Instruction::Add, &[splat, turned]);
    builder.store(Address::new(output, 0).plus(task, lanes as i64), both);
    with_floats(builder.finish(), 3)
}

/// More live values than any machine has registers, in and after a loop.
fn pressure(lanes: usize) -> Case {
    let many = 40;
    let mut builder = Builder::new("pressure", lanes, 2);
    let (input, output) = (builder.input("in", many * lanes), builder.output("out", 2 * many * lanes));
    let task = builder.task();
    let at = |i: usize| Address::new(input, (i * lanes) as i64);
    let values: Vec<ValueId> = (0..many).map(|i| builder.load(Type::Vector, at(i))).collect();
    let sums: Vec<VariableId> = (0..many).map(|_| builder.variable(Type::Vector)).collect();
    for (sum, value) in sums.iter().zip(&values) {
        let square = builder.apply(Instruction::Multiply, &[*value, *value]);
        builder.set(*sum, square);
    }
    let masks: Vec<ValueId> = (0..12).map(|i| builder.apply(Instruction::Less, &[values[i], values[i + 1]])).collect();
    builder.repeat(3, |builder, _| {
        for i in 0..many {
            let old = builder.get(sums[i]);
            let new = builder.apply(Instruction::FusedMultiplyAdd, &[values[i], values[(i + 7) % many], old]);
            builder.set(sums[(i + 1) % many], new);
        }
    });
    for (i, mask) in masks.iter().enumerate() {
        let (a, b) = (builder.get(sums[i]), builder.get(sums[i + 1]));
        let chosen = builder.apply(Instruction::Select, &[*mask, a, b]);
        builder.set(sums[i + 2], chosen);
    }
    for (i, sum) in sums.iter().enumerate() {
        let (sum, value) = (builder.get(*sum), values[many - 1 - i]);
        let result = builder.apply(Instruction::Subtract, &[sum, value]);
        builder.store(Address::new(output, (i * lanes) as i64).plus(task, (many * lanes) as i64), result);
    }
    with_floats(builder.finish(), 4)
}

/// Selections by masks of comparisons, of bits and of arbitrary words.
fn selections(lanes: usize) -> Case {
    let mut builder = Builder::new("selections", lanes, 2);
    let (input, output) = (builder.input("in", 6 * lanes), builder.output("out", 10 * lanes));
    let task = builder.task();
    let at = |i: usize| Address::new(input, (i * lanes) as i64).plus(task, 3 * lanes as i64);
    let [a, b, c] = [0, 1, 2].map(|i| builder.load(Type::Vector, at(i)));
    let less = builder.apply(Instruction::Less, &[a, b]);
    let ordered = builder.apply(Instruction::Ordered, &[a, c]);
    let same = builder.apply(Instruction::IntegerEqual, &[a, a]);
    let smaller = builder.apply(Instruction::IntegerLess, &[b, c]);
    let both = builder.apply(Instruction::And, &[less, ordered]);
    let results = [
        builder.apply(Instruction::Select, &[less, a, b]),
        builder.apply(Instruction::Select, &[both, b, c]),
        builder.apply(Instruction::Select, &[smaller, c, a]),
        builder.apply(Instruction::Select, &[same, a, b]),
        builder.apply(Instruction::Select, &[a, b, c]),
    ];
    for (i, result) in results.iter().enumerate() {
        builder.store(Address::new(output, (i * lanes) as i64).plus(task, 5 * lanes as i64), *result);
    }
    with_floats(builder.finish(), 5)
}

/// While and If: halves a number until it is below one, counting; then takes either branch, with loops in both.
fn branches(lanes: usize) -> Case {
    let tasks = 9;
    let mut builder = Builder::new("branches", lanes, tasks);
    let (input, output) = (builder.input("in", tasks * 4), builder.output("out", tasks * 4));
    let task = builder.task();
    let at = |buffer, i| Address::new(buffer, i).plus(task, 4);
    let start = builder.load(Type::Scalar, at(input, 0));
    let (value, count) = (builder.variable(Type::Scalar), builder.variable(Type::Scalar));
    let first = builder.apply(Instruction::Absolute, &[start]);
    builder.set(value, first);
    let zero = builder.constant(Type::Scalar, 0);
    builder.set(count, zero);
    builder.repeat_while(
        |builder| {
            let (limit, now) = (builder.constant(Type::Scalar, 1e-3f32.to_bits()), builder.get(value));
            builder.apply(Instruction::Less, &[limit, now])
        },
        |builder| {
            let (now, half) = (builder.get(value), builder.constant(Type::Scalar, 0.5f32.to_bits()));
            let next = builder.apply(Instruction::Multiply, &[now, half]);
            builder.set(value, next);
            builder.repeat(2, |builder, i| {
                let more = builder.load(Type::Scalar, Address::new(input, 1).plus(task, 4).plus(i, 1));
                let sum = builder.get(count);
                let sum = builder.apply(Instruction::Add, &[sum, more]);
                builder.set(count, sum);
            });
        },
    );
    let negative = builder.apply(Instruction::Less, &[start, zero]);
    builder.choose(
        negative,
        |builder| {
            builder.repeat(3, |builder, i| {
                let x = builder.load(Type::Scalar, at(input, 1).plus(i, 1));
                builder.store(at(output, 1).plus(i, 1), x);
            });
        },
        |builder| {
            let sum = builder.get(count);
            builder.store(at(output, 2), sum);
        },
    );
    builder.choose(negative, |builder| builder.set(count, start), |_| {});
    let last = builder.get(count);
    builder.store(at(output, 0), last);
    with_floats(builder.finish(), 6)
}

/// Sibling and nested loops over the same and other buffers, with steps forwards and backwards.
fn nested(lanes: usize) -> Case {
    let (a, b, c) = (3, 4, 5);
    let mut builder = Builder::new("nested", lanes, 2);
    let input = builder.input("in", 2 * a * b * c * lanes);
    let output = builder.output("out", 2 * a * b * c * lanes);
    let task = builder.task();
    let strides = [b * c * lanes, c * lanes, lanes].map(|stride| stride as i64);
    let all = (a * b * c * lanes) as i64;
    builder.repeat(a, |builder, i| {
        builder.repeat(b, |builder, j| {
            builder.repeat(c, |builder, k| {
                let forward = Address::new(input, 0).plus(task, all);
                let forward = forward.plus(i, strides[0]).plus(j, strides[1]).plus(k, strides[2]);
                let backward = Address::new(input, strides[1] - strides[2]).plus(task, all);
                let backward = backward.plus(i, strides[0]).plus(k, -strides[2]);
                let (x, y) = (builder.load(Type::Vector, forward.clone()), builder.load(Type::Vector, backward));
                let sum = builder.apply(Instruction::Add, &[x, y]);
                builder.store(Address { buffer: output, ..forward }, sum);
            });
            builder.repeat(1, |builder, one| {
                let place =
                    Address::new(output, 0).plus(task, all).plus(i, strides[0]).plus(j, strides[1]).plus(one, 9);
                let x = builder.load(Type::Vector, place.clone());
                let y = builder.apply(Instruction::Negate, &[x]);
                builder.store(place, y);
            });
        });
        builder.repeat(c, |builder, k| {
            let place = Address::new(output, strides[1]).plus(task, all).plus(i, strides[0]).plus(k, strides[2]);
            let x = builder.load(Type::Vector, place.clone());
            let y = builder.apply(Instruction::Add, &[x, x]);
            builder.store(place, y);
        });
    });
    with_floats(builder.finish(), 8)
}

/// Positions that depend on data, alone and beside counters, clamped.
fn dynamic(lanes: usize) -> Case {
    let rows = 7;
    let mut builder = Builder::new("dynamic", lanes, rows);
    let table = builder.input("table", rows * lanes * 3);
    let input = builder.input("in", rows);
    let output = builder.output("out", rows * lanes * 4);
    let task = builder.task();
    let number = builder.load(Type::Scalar, Address::new(input, 0).plus(task, 1));
    let scale = builder.constant(Type::Scalar, (rows as f32).to_bits());
    let number = builder.apply(Instruction::Multiply, &[number, scale]);
    let number = builder.apply(Instruction::Absolute, &[number]);
    let number = builder.apply(Instruction::ToInteger, &[number]);
    let row = builder.define(Type::Index, Op::IndexFrom(number));
    let next = builder.define(Type::Index, Op::IndexSum(vec![(row, 1), (task, 1)], 0));
    let out = |i: usize| Address::new(output, (i * lanes) as i64).plus(task, 4 * lanes as i64);
    let x = builder.load(Type::Vector, Address::new(table, 0).plus(row, lanes as i64));
    builder.store(out(0), x);
    let y = builder.load(Type::Vector, Address::new(table, 0).plus(next, lanes as i64));
    builder.store(out(1), y);
    let z = builder.broadcast(Address::new(table, 2).plus(row, 1));
    builder.store(out(2), z);
    builder.repeat(2, |builder, i| {
        let place = Address::new(table, 1).plus(row, 2).plus(i, 3).plus(next, -1).moved(2 * rows as i64);
        let z = builder.broadcast(place);
        let old = builder.load(Type::Vector, out(2));
        let sum = builder.apply(Instruction::Subtract, &[old, z]);
        builder.store(out(3), sum);
    });
    with_floats(builder.finish(), 9)
}

/// Indices as numbers: of tasks and loops, in sums, after the loop, and whether they lie within bounds.
fn indices(lanes: usize) -> Case {
    let mut builder = Builder::new("indices", lanes, 3);
    let (input, output) = (builder.input("in", 8), builder.output("out", 3 * 4 * 8));
    let task = builder.task();
    builder.repeat(4, |builder, i| {
        let place = |at: i64| Address::new(output, at).plus(task, 32).plus(i, 8);
        let sum = builder.define(Type::Index, Op::IndexSum(vec![(i, 3), (task, -2)], -4));
        let constant = builder.define(Type::Index, Op::IndexConstant(77));
        let more = builder.define(Type::Index, Op::IndexSum(vec![(sum, 2), (constant, 1)], 1));
        for (at, index) in [task, i, sum, constant, more].into_iter().enumerate() {
            let number = builder.define(Type::Scalar, Op::ScalarFrom(index));
            builder.store(place(at as i64), number);
        }
        let inside = builder.define(Type::Scalar, Op::IndexWithin(sum, 4));
        builder.store(place(5), inside);
        let never = builder.define(Type::Scalar, Op::IndexWithin(i, 0));
        builder.store(place(6), never);
        builder.choose(
            inside,
            |builder| {
                let x = builder.load(Type::Scalar, Address::new(input, 1).plus(i, 1));
                builder.store(place(7), x);
            },
            |_| {},
        );
    });
    with_floats(builder.finish(), 10)
}

/// A sum that scalars carry around a loop.
fn scalars(lanes: usize) -> Case {
    let mut builder = Builder::new("scalars", lanes, 2);
    let (input, output) = (builder.input("in", 20), builder.output("out", 2 + 2 * lanes));
    let task = builder.task();
    let sum = builder.variable(Type::Scalar);
    let one = builder.constant(Type::Scalar, 1f32.to_bits());
    builder.set(sum, one);
    builder.repeat(10, |builder, i| {
        let x = builder.load(Type::Scalar, Address::new(input, 0).plus(task, 10).plus(i, 1));
        let old = builder.get(sum);
        let new = builder.apply(Instruction::FusedMultiplyAdd, &[x, x, old]);
        let root = builder.apply(Instruction::SquareRoot, &[new]);
        let capped = builder.apply(Instruction::Minimum, &[root, new]);
        builder.set(sum, capped);
    });
    let total = builder.get(sum);
    builder.store(Address::new(output, 0).plus(task, 1), total);
    let all = builder.define(Type::Vector, Op::Splat(total));
    builder.store(Address::new(output, 2).plus(task, lanes as i64), all);
    with_floats(builder.finish(), 11)
}

/// Variables that exchange their values, keep old ones, and are read before they are set.
fn swaps(lanes: usize) -> Case {
    let mut builder = Builder::new("swaps", lanes, 2);
    let (input, output) = (builder.input("in", 2 * lanes), builder.output("out", 8 * lanes));
    let task = builder.task();
    let [a, b, unset] = [0, 1, 2].map(|_| builder.variable(Type::Vector));
    let out = |i: usize| Address::new(output, (i * lanes) as i64).plus(task, 4 * lanes as i64);
    for (i, variable) in [a, b].into_iter().enumerate() {
        let x = builder.load(Type::Vector, Address::new(input, (i * lanes) as i64));
        builder.set(variable, x);
    }
    let zero = builder.get(unset);
    builder.store(out(3), zero);
    builder.repeat(3, |builder, _| {
        let (x, y) = (builder.get(a), builder.get(b));
        builder.set(a, y);
        builder.set(b, x);
        let sum = builder.apply(Instruction::FusedMultiplyAdd, &[x, y, x]);
        builder.set(a, sum);
        let later = builder.apply(Instruction::Maximum, &[y, sum]);
        builder.store(out(2), later);
    });
    for (i, variable) in [a, b].into_iter().enumerate() {
        let x = builder.get(variable);
        builder.store(out(i), x);
    }
    with_floats(builder.finish(), 12)
}

/// Loads put off must not pass a store to their buffer.
fn stores(lanes: usize) -> Case {
    let mut builder = Builder::new("stores", lanes, 2);
    let output = builder.output("out", 4 * lanes);
    let task = builder.task();
    let at = |i: i64| Address::new(output, i * lanes as i64).plus(task, 2 * lanes as i64);
    let (x, y) = (builder.load(Type::Vector, at(0)), builder.load(Type::Vector, at(1)));
    builder.store(at(0), y);
    builder.store(at(1), x);
    let (x, y) = (builder.load(Type::Vector, at(0)), builder.load(Type::Vector, at(1)));
    builder.prefetch(at(100));
    let sum = builder.apply(Instruction::Add, &[x, y]);
    builder.store(at(0), sum);
    with_floats(builder.finish(), 13)
}

/// Offsets beyond what addresses hold, and below zero beside a counter.
fn far(lanes: usize) -> Case {
    let (steps, stride) = (3, 30_011);
    let mut builder = Builder::new("far", lanes, 2);
    let (input, output) = (builder.input("in", steps * stride + 100), builder.output("out", 8 * stride));
    let task = builder.task();
    builder.repeat(steps, |builder, i| {
        let x = builder.load(Type::Vector, Address::new(input, (2 * stride) as i64 + 3).plus(i, -(stride as i64)));
        let y = builder.broadcast(Address::new(input, 20_000).plus(i, stride as i64));
        let z = builder.load(Type::Scalar, Address::new(input, 17).plus(i, stride as i64));
        let z = builder.define(Type::Vector, Op::Splat(z));
        let sum = builder.apply(Instruction::FusedMultiplyAdd, &[x, y, z]);
        let place = Address::new(output, 3 * stride as i64 + 1).plus(task, 4 * stride as i64).plus(i, -(stride as i64));
        builder.prefetch(place.clone().moved(1 << 20));
        builder.prefetch(place.clone().moved(-(1 << 10)));
        builder.store(place, sum);
    });
    with_floats(builder.finish(), 14)
}

/// More groups of addresses than general registers.
fn pointers(lanes: usize) -> Case {
    let groups = 36;
    let size = groups * 40 + lanes;
    let mut builder = Builder::new("pointers", lanes, 2);
    let (input, output) = (builder.input("in", 2 * size), builder.output("out", 12 * lanes));
    let task = builder.task();
    builder.repeat(3, |builder, i| {
        let sum = builder.variable(Type::Vector);
        let zero = builder.constant(Type::Vector, 0);
        builder.set(sum, zero);
        builder.repeat(2, |builder, j| {
            for group in 0..groups as i64 {
                let place = Address::new(input, group).plus(task, group).plus(i, group + 1).plus(j, 2 * group + 1);
                let x = builder.load(Type::Vector, place);
                let old = builder.get(sum);
                let new = builder.apply(Instruction::Add, &[old, x]);
                builder.set(sum, new);
            }
        });
        let total = builder.get(sum);
        let place = Address::new(output, 0).plus(task, 6 * lanes as i64).plus(i, 2 * lanes as i64);
        builder.store(place, total);
    });
    with_floats(builder.finish(), 15)
}

/// More constants than vector registers, in polynomials whose steps use them in every position.
fn many_constants(lanes: usize) -> Case {
    let mut builder = Builder::new("many_constants", lanes, 4);
    let (input, output) = (builder.input("in", 4 * lanes), builder.output("out", 4 * lanes));
    let task = builder.task();
    let x = builder.load(Type::Vector, Address::new(input, 0).plus(task, lanes as i64));
    let mut sum = x;
    for i in 0..50u32 {
        let c = builder.constant(Type::Vector, (1.0 / (i + 1) as f32).to_bits());
        let d = builder.constant(Type::Vector, (1.0 - 1.0 / (i + 7) as f32).to_bits());
        sum = match i % 5 {
            0 => builder.apply(Instruction::FusedMultiplyAdd, &[sum, x, c]),
            1 => builder.apply(Instruction::FusedMultiplyAdd, &[sum, d, c]),
            2 => builder.apply(Instruction::FusedMultiplyAdd, &[d, c, sum]),
            3 => builder.apply(Instruction::Subtract, &[c, sum]),
            _last => builder.apply(Instruction::Maximum, &[c, sum]),
        };
    }
    builder.store(Address::new(output, 0).plus(task, lanes as i64), sum);
    with_floats(builder.finish(), 16)
}

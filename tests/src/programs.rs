//! Programs built by hand, which together use all of the kernel language.

use ncnnc_compiler::format::Format;
use ncnnc_compiler::instruction::Instruction;
use ncnnc_compiler::kernel::{Address, Argument, Builder, Callee, Kernel, Op, Port, Program, Step, Type};

#[path = "doubles.rs"]
mod doubles;

use doubles::{RESULTS, operations, turns};

/// Every program with the name of its type.
pub fn all() -> Vec<(&'static str, Program)> {
    vec![
        ("Arithmetic", arithmetic()),
        ("Control", control()),
        ("Doubles", doubles()),
        ("Formats", formats()),
        ("Long", long()),
    ]
}

/// Vectors that [`arithmetic`] takes.
pub const VECTORS: usize = 32;
const LANES: usize = 4;

fn port(name: &str, shape: &[usize]) -> Port {
    Port { name: name.to_string(), shape: shape.to_vec(), extents: None, integer: false }
}

/// Terms of the sum that [`long`] computes.
const TERMS: usize = 3000;
/// Words that [`long`] takes.
pub const SUMMED: usize = 16;

/// A sum in one straight line, each term at an index of its own: more values than rustc has stack for, were each in the scope of
/// the one before.
fn long() -> Program {
    let mut builder = Builder::new("long", LANES, 1);
    let (input, output) = (builder.input("terms", SUMMED), builder.output("sum", 1));
    let task = builder.task();
    let mut sum = builder.constant(Type::Scalar, 0);
    for term in 0..TERMS {
        let at = builder.define(Type::Index, Op::IndexSum(vec![(task, 1)], (term % SUMMED) as i64));
        let value = builder.load(Type::Scalar, Address::new(input, 0).plus(at, 1));
        sum = builder.apply(Instruction::Add, &[sum, value]);
    }
    builder.store(Address::new(output, 0), sum);
    Program {
        kernels: vec![builder.finish()],
        steps: vec![Step {
            name: "sum".to_string(),
            how: "in one line".to_string(),
            callee: Callee::Kernel(0),
            arguments: vec![Argument::Input(0), Argument::Output(0)],
        }],
        arena_words: 0,
        constants: [].into_iter().collect(),
        tables: [].into(),
        inputs: vec![port("terms", &[SUMMED])],
        outputs: vec![port("sum", &[1])],
    }
}

/// Every instruction on vectors and on scalars, one task for four triples of operands; results in the table's order.
fn arithmetic() -> Program {
    let instructions = Instruction::ALL.len();
    let mut builder = Builder::new("every instruction", LANES, VECTORS);
    let operands = ["a", "b", "c"].map(|name| builder.input(name, VECTORS * LANES));
    let vectors = builder.output("vectors", VECTORS * LANES * instructions);
    let scalars = builder.output("scalars", VECTORS * instructions);
    let task = builder.task();
    for (ty, output) in [(Type::Vector, vectors), (Type::Scalar, scalars)] {
        let words = if ty == Type::Vector { LANES as i64 } else { 1 };
        let loaded = operands.map(|buffer| builder.load(ty, Address::new(buffer, 0).plus(task, LANES as i64)));
        for (i, instruction) in Instruction::ALL.iter().enumerate() {
            let value = builder.apply(*instruction, &loaded[..instruction.arity()]);
            let to = Address::new(output, i as i64 * words).plus(task, instructions as i64 * words);
            builder.store(to, value);
        }
    }
    let arguments =
        vec![Argument::Input(0), Argument::Input(1), Argument::Constants(0), Argument::Output(0), Argument::Output(1)];
    // Addends that make sums cancel, underflow and overflow.
    let constants = (0..VECTORS * LANES).map(|i| {
        let i = i as u32;
        match i % 4 {
            0 => (-(i as f32) * 0.37).to_bits(),
            1 => i,
            2 => 0x7f7f_ffff - i,
            _ => 0x8080_0000 + i * 3,
        }
    });
    Program {
        kernels: vec![builder.finish()],
        steps: vec![Step {
            name: "everything".to_string(),
            how: "all at once".to_string(),
            callee: Callee::Kernel(0),
            arguments,
        }],
        arena_words: 0,
        constants: constants.collect(),
        tables: [].into(),
        inputs: vec![port("a", &[VECTORS, LANES]), port("type", &[VECTORS, LANES])],
        outputs: vec![port("vectors/all", &[VECTORS, instructions, LANES]), port("0", &[VECTORS, instructions])],
    }
}

/// Elements of each operand that [`doubles`] takes.
pub const DOUBLES: usize = 96;

/// What is computed in double precision, of vectors and of scalars, and every lane of a vector by itself.
fn doubles() -> Program {
    let kernels = vec![
        operations(LANES, Type::Vector, DOUBLES, true),
        operations(LANES, Type::Scalar, DOUBLES, true),
        turns(LANES, DOUBLES / LANES),
    ];
    let steps = ["vectors", "scalars", "turned"].iter().enumerate().map(|(number, name)| {
        let inputs = if *name == "turned" { 1 } else { 3 };
        let arguments = (0..inputs).map(Argument::Input).chain([Argument::Output(number)]).collect();
        Step { name: name.to_string(), how: String::new(), callee: Callee::Kernel(number), arguments }
    });
    Program {
        steps: steps.collect(),
        kernels,
        arena_words: 0,
        constants: [].into(),
        tables: [].into(),
        inputs: ["a", "b", "c"].map(|name| port(name, &[DOUBLES])).into(),
        outputs: vec![
            port("vectors", &[RESULTS, DOUBLES]),
            port("scalars", &[RESULTS, DOUBLES]),
            port("turned", &[DOUBLES]),
        ],
    }
}

/// Elements that [`formats`] takes.
pub const ELEMENTS: usize = 96;

/// For each narrow format, what is stored in it, read back as vectors, as scalars and in every lane, and constants that
/// have been in it all along.
fn formats() -> Program {
    let narrow: Vec<Format> = Format::ALL.iter().copied().filter(|format| format.is_narrow()).collect();
    let constant = |i: usize| (i as f32 * 0.3 - 7.0).to_bits();
    let (mut constants, mut steps, mut kernels, mut arena_words) = (Vec::new(), Vec::new(), Vec::new(), 0);
    let mut step = |name: &str, kernel: Kernel, arguments: Vec<Argument>| {
        let (how, callee) = (String::new(), Callee::Kernel(kernels.len()));
        steps.push(Step { name: name.to_string(), how, callee, arguments });
        kernels.push(kernel);
    };
    for (number, format) in narrow.iter().enumerate() {
        step("store", store(*format), vec![Argument::Input(0), Argument::Arena(arena_words)]);
        let arguments =
            vec![Argument::Arena(arena_words), Argument::Constants(constants.len()), Argument::Output(number)];
        step("load", load(*format), arguments);
        constants.extend(format.pack((0..ELEMENTS).map(constant).collect()));
        arena_words += format.words(ELEMENTS);
    }
    let output = |format: &Format| port(format.text(), &[ELEMENTS / LANES, 4, LANES]);
    let outputs = narrow.iter().map(output).collect();
    let inputs = vec![port("in0", &[ELEMENTS])];
    let (constants, tables) = (constants.into(), [].into());
    Program { kernels, steps, arena_words, constants, tables, inputs, outputs }
}

fn store(format: Format) -> Kernel {
    let mut builder = Builder::new(format!("store_{}", format.text()), LANES, ELEMENTS / 2 / LANES);
    let (input, output) = (builder.input("input", ELEMENTS), builder.output_in(format, "output", ELEMENTS));
    let task = builder.task();
    let vector = builder.load(Type::Vector, Address::new(input, 0).plus(task, LANES as i64));
    builder.store(Address::new(output, 0).plus(task, LANES as i64), vector);
    // The other half one by one.
    builder.repeat(LANES, |builder, lane| {
        let at = |buffer| Address::new(buffer, ELEMENTS as i64 / 2).plus(task, LANES as i64).plus(lane, 1);
        let scalar = builder.load(Type::Scalar, at(input));
        builder.store(at(output), scalar);
    });
    builder.finish()
}

fn load(format: Format) -> Kernel {
    let mut builder = Builder::new(format!("load_{}", format.text()), LANES, ELEMENTS / LANES);
    let stored = builder.input_in(format, "stored", ELEMENTS);
    let constant = builder.input_in(format, "constant", ELEMENTS);
    let output = builder.output("output", 4 * ELEMENTS);
    let task = builder.task();
    let at = |buffer| Address::new(buffer, 0).plus(task, LANES as i64);
    let to = |row: i64| Address::new(output, row * LANES as i64).plus(task, 4 * LANES as i64);
    for (row, buffer) in [stored, constant].into_iter().enumerate() {
        let value = builder.load(Type::Vector, at(buffer));
        builder.store(to(row as i64), value);
    }
    let value = builder.broadcast(at(stored).moved(1));
    builder.store(to(2), value);
    builder.repeat(LANES, |builder, lane| {
        let value = builder.load(Type::Scalar, at(stored).plus(lane, 1));
        builder.store(to(3).plus(lane, 1), value);
    });
    builder.finish()
}

/// Rows that [`control`] takes.
pub const ROWS: usize = 12;

/// Keeps the rows whose first word is positive, each with its lanes turned round by one and doubled as often as its
/// second word says; puts out how many there are as well.
fn control() -> Program {
    let output = Port { extents: Some(1), ..port("rows", &[ROWS, LANES]) };
    let extents = Port { integer: true, ..port("rows.extents", &[2]) };
    Program {
        kernels: vec![double(), keep()],
        steps: vec![
            Step {
                name: "double".to_string(),
                how: "row by row".to_string(),
                callee: Callee::Kernel(0),
                arguments: vec![Argument::Input(0), Argument::Constants(0), Argument::Arena(16)],
            },
            Step {
                name: "keep".to_string(),
                how: "one row after the other".to_string(),
                callee: Callee::Kernel(1),
                arguments: vec![Argument::Arena(16), Argument::Output(0), Argument::Output(1)],
            },
        ],
        arena_words: 16 + ROWS * LANES,
        constants: [2.0_f32.to_bits(); 16].into_iter().collect(),
        tables: [].into(),
        inputs: vec![port("in0", &[ROWS, LANES])],
        outputs: vec![output, extents],
    }
}

fn double() -> Kernel {
    let mut builder = Builder::new("double", LANES, ROWS);
    let (input, two) = (builder.input("input", ROWS * LANES), builder.input("two", 16));
    let output = builder.output("output", ROWS * LANES);
    let row = |row| Address::new(input, 0).plus(row, LANES as i64);
    let task = builder.task();
    let loaded = builder.load(Type::Vector, row(task));
    let turned = builder.define(Type::Vector, Op::Rotate(loaded, 1));
    let (value, left) = (builder.variable(Type::Vector), builder.variable(Type::Scalar));
    builder.set(value, turned);
    let times = builder.load(Type::Scalar, row(task).moved(1));
    let times = builder.apply(Instruction::ToInteger, &[times]);
    builder.set(left, times);
    builder.repeat_while(
        |builder| {
            let (left, zero) = (builder.get(left), builder.constant(Type::Scalar, 0));
            builder.apply(Instruction::IntegerLess, &[zero, left])
        },
        |builder| {
            let (old, factor) = (builder.get(value), builder.broadcast(Address::new(two, 3)));
            let new = builder.apply(Instruction::Multiply, &[old, factor]);
            builder.set(value, new);
            let (old, one) = (builder.get(left), builder.constant(Type::Scalar, 1));
            let new = builder.apply(Instruction::IntegerSubtract, &[old, one]);
            builder.set(left, new);
        },
    );
    let result = builder.get(value);
    builder.prefetch(Address::new(output, 1000));
    builder.store(Address::new(output, 0).plus(task, LANES as i64), result);
    builder.finish()
}

fn keep() -> Kernel {
    let mut builder = Builder::new("keep", LANES, 1);
    let input = builder.input("input", ROWS * LANES);
    let (rows, extents) = (builder.output("rows", ROWS * LANES), builder.output("extents", 2));
    let count = builder.variable(Type::Scalar);
    let zero = builder.constant(Type::Scalar, 0);
    builder.set(count, zero);
    builder.repeat(ROWS, |builder, i| {
        let row = builder.load(Type::Vector, Address::new(input, 0).plus(i, LANES as i64));
        let first = builder.define(Type::Scalar, Op::First(row));
        let positive = builder.apply(Instruction::Less, &[zero, first]);
        let reversed = builder.define(Type::Index, Op::IndexSum(vec![(i, -1)], ROWS as i64 - 2));
        let late = builder.define(Type::Scalar, Op::IndexWithin(reversed, ROWS as i64));
        let kept = builder.apply(Instruction::And, &[positive, late]);
        builder.choose(
            kept,
            |builder| {
                let old = builder.get(count);
                let at = builder.define(Type::Index, Op::IndexFrom(old));
                builder.store(Address::new(rows, 0).plus(at, LANES as i64), row);
                let splat = builder.define(Type::Vector, Op::Splat(first));
                let sum = builder.apply(Instruction::Add, &[row, splat]);
                builder.store(Address::new(rows, 0).plus(at, LANES as i64), sum);
                let one = builder.constant(Type::Scalar, 1);
                let new = builder.apply(Instruction::IntegerAdd, &[old, one]);
                builder.set(count, new);
            },
            |_| {},
        );
    });
    let total = builder.get(count);
    builder.store(Address::new(extents, 0), total);
    let lanes = builder.define(Type::Index, Op::IndexConstant(LANES as i64));
    let lanes = builder.define(Type::Scalar, Op::ScalarFrom(lanes));
    builder.store(Address::new(extents, 1), lanes);
    builder.finish()
}

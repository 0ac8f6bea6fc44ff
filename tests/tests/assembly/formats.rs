//! Kernels that read and write every narrow format: all elements there are, and numbers around every tie.

use super::kernels::{contraction, with_floats};
use super::machine::Case;
use ncnnc_compiler::format::Format;
use ncnnc_compiler::instruction::Instruction;
use ncnnc_compiler::kernel::{Address, Builder, Type};

/// Elements of 16 bits there are.
const ELEMENTS: usize = 1 << 16;

/// Every case for kernels of so many lanes.
pub fn all(lanes: usize) -> Vec<Case> {
    let mut cases = Vec::new();
    for format in Format::ALL.iter().copied().filter(|format| format.is_narrow()) {
        for read in [Read::Vector, Read::Scalar, Read::Broadcast] {
            cases.push(widening(lanes, format, read));
        }
        cases.extend([Type::Vector, Type::Scalar].map(|ty| narrowing(lanes, format, ty)));
        // Tiles that fit the registers, and one that spills.
        for (pixels, vectors) in [(1, 1), (6, 2), (14, 2), (6, 4), (20, 3)] {
            let mut kernel = contraction(lanes, pixels, vectors, 37);
            kernel.buffers[1].format = format;
            cases.push(with_floats(kernel.clone(), 1));
            kernel.buffers.iter_mut().for_each(|buffer| buffer.format = format);
            cases.push(with_floats(kernel, 2));
        }
        cases.push(scattered(lanes, format));
    }
    cases
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Read {
    Vector,
    Scalar,
    Broadcast,
}

/// Every element of a format, plus one so that the load could be an operand, read in one way.
fn widening(lanes: usize, format: Format, read: Read) -> Case {
    let step = if read == Read::Vector { lanes } else { 1 };
    let width = if read == Read::Scalar { 1 } else { lanes };
    let tasks = ELEMENTS / step;
    let mut builder = Builder::new(format!("{}_{read:?}", format.text()), lanes, tasks);
    let (input, output) = (builder.input_in(format, "in", ELEMENTS), builder.output("out", tasks * width));
    let task = builder.task();
    let from = Address::new(input, 0).plus(task, step as i64);
    let value = match read {
        Read::Vector => builder.load(Type::Vector, from),
        Read::Scalar => builder.load(Type::Scalar, from),
        Read::Broadcast => builder.broadcast(from),
    };
    let ty = if read == Read::Scalar { Type::Scalar } else { Type::Vector };
    let nothing = builder.constant(ty, (-0.0_f32).to_bits());
    let sum = builder.apply(Instruction::Add, &[nothing, value]);
    builder.store(Address::new(output, 0).plus(task, width as i64), sum);
    let elements = (0..ELEMENTS as u32 / 2).map(|pair| (2 * pair) | ((2 * pair + 1) << 16)).collect();
    Case { kernel: builder.finish(), buffers: vec![elements, vec![0; tasks * width]] }
}

/// Every number of a format, the ties between them, and their neighbours among floats, stored.
fn narrowing(lanes: usize, format: Format, ty: Type) -> Case {
    let around = |element: u32| {
        let (low, high) = (format.widen(element), format.widen((element + 1) & 0xffff));
        let tie = low.wrapping_add((high.wrapping_sub(low) as i32 / 2) as u32);
        [low, tie.wrapping_sub(1), tie, tie.wrapping_add(1)]
    };
    let numbers: Vec<u32> = (0..ELEMENTS as u32).flat_map(around).collect();
    let step = if ty == Type::Vector { lanes } else { 1 };
    let tasks = numbers.len() / step;
    let mut builder = Builder::new(format!("store_{}_{ty:?}", format.text()), lanes, tasks);
    let input = builder.input("in", numbers.len());
    let output = builder.output_in(format, "out", numbers.len());
    let task = builder.task();
    let value = builder.load(ty, Address::new(input, 0).plus(task, step as i64));
    builder.store(Address::new(output, 0).plus(task, step as i64), value);
    let room = vec![0xdead_beef; format.words(numbers.len())];
    Case { kernel: builder.finish(), buffers: vec![numbers, room] }
}

/// Elements read and written at places that data name, and far from the beginning.
fn scattered(lanes: usize, format: Format) -> Case {
    const FAR: i64 = 40_001;
    let mut builder = Builder::new(format!("scattered_{}", format.text()), lanes, 8);
    let places = builder.input("places", 8);
    let input = builder.input_in(format, "in", FAR as usize + 64);
    let output = builder.output_in(format, "out", FAR as usize + 64);
    let task = builder.task();
    let place = builder.load(Type::Scalar, Address::new(places, 0).plus(task, 1));
    let place = builder.define(Type::Index, ncnnc_compiler::kernel::Op::IndexFrom(place));
    for distance in [0, 3, FAR] {
        let at = |buffer| Address::new(buffer, distance).plus(place, 3);
        let element = builder.load(Type::Scalar, at(input));
        builder.store(at(output), element);
        let repeated = builder.broadcast(at(input));
        builder.store(Address::new(output, 500).plus(task, 2 * lanes as i64), repeated);
    }
    let case = with_floats(builder.finish(), 3);
    let buffers = case.buffers.into_iter().skip(1);
    Case { kernel: case.kernel, buffers: [(0..8).rev().collect()].into_iter().chain(buffers).collect() }
}

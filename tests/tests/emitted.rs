//! Programs emitted as Rust compute what their interpreter computes, to the bit.

use ncnnc::{Arena, InstructionSet, Options};
use ncnnc_compiler::format::Format;
use ncnnc_compiler::instruction::Instruction;
use ncnnc_compiler::kernel::interpret_program;
use ncnnc_tests::random::Random;

#[path = "../src/programs.rs"]
mod programs;

include!(concat!(env!("OUT_DIR"), "/emitted.rs"));

fn program(name: &str) -> ncnnc_compiler::kernel::Program {
    programs::all().into_iter().find(|(other, _)| *other == name).expect("it is in the list").1
}

fn same(got: &[f32], expected: &[u32]) -> bool {
    let any_nan = |word: u32| if f32::from_bits(word).is_nan() { u32::MAX } else { word };
    got.iter().map(|value| any_nan(value.to_bits())).eq(expected.iter().map(|word| any_nan(*word)))
}

#[test]
fn every_instruction_means_what_the_table_says() {
    let program = program("Arithmetic");
    let mut model = Arithmetic::new();
    let mut random = Random(1);
    for round in 0..200 {
        let inputs: Vec<Vec<u32>> =
            (0..2).map(|_| (0..programs::VECTORS * 4).map(|_| random.word() >> (round % 3)).collect()).collect();
        let expected = interpret_program(&program, &inputs);
        let values: Vec<[f32; programs::VECTORS * 4]> =
            inputs.iter().map(|words| std::array::from_fn(|i| f32::from_bits(words[i]))).collect();
        let outputs = model.run(&values[0], &values[1]);
        assert!(same(outputs.vectors_all, &expected[0]), "vectors, round {round}");
        assert!(same(outputs._0, &expected[1]), "scalars, round {round}");
    }
}

#[test]
fn the_runtime_knows_exactly_the_instructions_of_the_table() {
    let mut random = Random(2);
    for instruction in Instruction::ALL {
        for _ in 0..10_000 {
            let operands: Vec<u32> = (0..instruction.arity()).map(|_| random.word()).collect();
            let got = ncnnc::words::by_name(instruction.text(), &operands)
                .unwrap_or_else(|| panic!("the runtime lacks {}", instruction.text()));
            let expected = instruction.lane(&operands);
            assert!(same(&[f32::from_bits(got)], &[expected]), "{} of {operands:x?}", instruction.text());
        }
    }
}

#[test]
fn elements_are_stored_and_read_as_the_table_of_formats_says() {
    let program = program("Formats");
    let mut model = Formats::new();
    let mut random = Random(3);
    for round in 0..50 {
        let words: Vec<u32> = (0..programs::ELEMENTS).map(|_| random.word() >> (round % 3)).collect();
        let expected = interpret_program(&program, std::slice::from_ref(&words));
        let outputs = model.run(&std::array::from_fn(|i| f32::from_bits(words[i])));
        assert!(same(outputs.f16, &expected[0]), "f16, round {round}");
        assert!(same(outputs.bf16, &expected[1]), "bf16, round {round}");
    }
}

#[test]
fn kernels_may_be_long() {
    let words: Vec<u32> = (0..programs::SUMMED).map(|i| (1.0 + 0.37 * i as f32).to_bits()).collect();
    let expected = interpret_program(&program("Long"), std::slice::from_ref(&words));
    let mut model = Long::new();
    assert!(same(model.run(&std::array::from_fn(|i| f32::from_bits(words[i]))), &expected[0]));
}

#[test]
fn double_precision_is_that_of_the_interpreter() {
    let program = program("Doubles");
    let mut random = Random(29);
    let mut model = Doubles::new();
    for round in 0..200 {
        let words: [Vec<u32>; 3] =
            std::array::from_fn(|_| (0..programs::DOUBLES).map(|_| random.word() >> (round % 3)).collect());
        let expected = interpret_program(&program, &words);
        let [a, b, c]: [[f32; programs::DOUBLES]; 3] =
            std::array::from_fn(|input| std::array::from_fn(|i| f32::from_bits(words[input][i])));
        let outputs = model.run(&a, &b, &c);
        for (got, expected) in [&outputs.vectors[..], &outputs.scalars[..], &outputs.turned[..]].iter().zip(&expected) {
            assert!(same(got, expected), "round {round}");
        }
    }
}

#[test]
fn the_runtime_widens_every_element_as_the_table_does() {
    for element in 0..=u16::MAX {
        for (format, got) in
            [(Format::F16, ncnnc::words::widen_f16(element)), (Format::Bf16, ncnnc::words::widen_bf16(element))]
        {
            let expected = format.widen(u32::from(element));
            assert!(same(&[f32::from_bits(got)], &[expected]), "{} {element:04x}: {got:08x}", format.text());
        }
    }
}

/// A stride that is odd visits all kinds of low bits; `NCNNC_FULL=1` takes every word.
#[test]
fn the_runtime_rounds_words_as_the_table_does() {
    let stride = if std::env::var_os("NCNNC_FULL").is_some_and(|value| value == "1") { 1 } else { 499 };
    for word in (0..=u32::MAX).step_by(stride) {
        for (format, got) in
            [(Format::F16, ncnnc::words::narrow_f16(word)), (Format::Bf16, ncnnc::words::narrow_bf16(word))]
        {
            let expected = format.narrow(word);
            let nan = |element: u32| f32::from_bits(format.widen(element)).is_nan();
            let equal = u32::from(got) == expected || nan(u32::from(got)) && nan(expected);
            assert!(equal, "{} of {word:08x}: {got:04x}, not {expected:04x}", format.text());
        }
    }
}

#[test]
fn loops_choices_and_sizes_that_depend_on_data() {
    let program = program("Control");
    let input: [f32; programs::ROWS * 4] = std::array::from_fn(|i| match i % 4 {
        0 => i as f32 - 20.0,
        1 => (i % 7) as f32,
        _ => 0.25 * i as f32 - 3.0,
    });
    let words = input.iter().map(|value| value.to_bits()).collect();
    let expected = interpret_program(&program, &[words]);
    let mut arena = Arena::new();
    for threads in 1..4 {
        let mut in_arena = Control::in_arena_with_options(&mut arena, &Options::new().threads(threads));
        let rows = in_arena.run(&input);
        let count = expected[1][0] as usize;
        assert!(count > 0 && count < programs::ROWS, "{count}");
        assert_eq!((rows.shape(), rows.capacity()), ([count, 4], [programs::ROWS, 4]));
        assert!(same(rows.values(), &expected[0][..count * 4]));
    }
}

#[test]
fn an_instruction_set_can_be_chosen() {
    let model = Control::with_options(&Options::new().instruction_set(InstructionSet::Portable));
    assert_eq!(model.instruction_set(), InstructionSet::Portable);
}

#[test]
#[should_panic(expected = "neon is not available here, or the network was not compiled for it")]
fn an_instruction_set_that_is_absent_is_refused() {
    let _ = Control::with_options(&Options::new().instruction_set(InstructionSet::Neon));
}

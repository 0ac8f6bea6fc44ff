//! Packed weights that are no part of the program: the right ones give the same bits, all others are refused.

use ncnnc::{Arena, WeightsError, leak_weights};

ncnnc::include_model! {
    struct Included = "../runtime/examples/digits/digits.fp32.param";
    input in0: [1, 8, 8];
}

ncnnc::include_model! {
    struct Digits = "../runtime/examples/digits/digits.fp32.param";
    weights = runtime;
    input in0: [1, 8, 8];
}

ncnnc::include_model! {
    struct OtherDigits = "../runtime/examples/digits/digits.fp32.param";
    weights = runtime("../runtime/examples/digits/digits.fp16.bin");
    input in0: [1, 8, 8];
}

fn packed() -> Vec<u8> {
    std::fs::read(Digits::WEIGHTS_FILE).expect("the macro has written it")
}

#[test]
fn the_right_weights_give_the_same_bits() {
    let image = std::array::from_fn(|i| (i % 17) as f32);
    let weights = leak_weights(&packed());
    assert_eq!(weights.len(), Digits::WEIGHTS_BYTES);
    let mut arena = Arena::new();
    let mut borrowed = Digits::in_arena(&mut arena, weights).expect("they are its weights");
    let mut owned = Digits::with_weights(weights).expect("they are its weights");
    let mut included = Included::new();
    let expected = included.run(&image);
    assert_eq!(owned.run(&image), expected);
    assert_eq!(borrowed.run(&image), expected);
}

#[test]
fn other_weights_are_refused() {
    let problem = |weights| Digits::with_weights(weights).err().expect("they are not its weights");
    let (packed, bytes) = (packed(), Digits::WEIGHTS_BYTES);
    assert_eq!(problem(leak_weights(&packed[1..])), WeightsError::Length { expected: bytes, found: bytes - 1 });
    assert_eq!(problem(&[]), WeightsError::Length { expected: bytes, found: 0 });
    let shifted = [&[0], &packed[..]].concat();
    assert_eq!(problem(&leak_weights(&shifted)[1..]), WeightsError::Alignment);
    for position in [0, bytes / 2, bytes - 1] {
        let mut damaged = packed.clone();
        damaged[position] ^= 1;
        assert_eq!(problem(leak_weights(&damaged)), WeightsError::Content);
    }
    // The same network with weights of fewer bits.
    let other = leak_weights(&std::fs::read(OtherDigits::WEIGHTS_FILE).expect("the macro has written it"));
    assert!(OtherDigits::with_weights(other).is_ok());
    assert_eq!(problem(other), WeightsError::Content);
    let mut arena = Arena::new();
    assert_eq!(Digits::in_arena(&mut arena, other).err(), Some(WeightsError::Content));
}

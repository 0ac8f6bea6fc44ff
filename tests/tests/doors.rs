//! Models that come in through the macro: every instruction set and any number of threads give the same bits, and the
//! digits are read as PyTorch reads them.

use ncnnc::{InstructionSet, Options};
use ncnnc_tests::hash::Hash;
use ncnnc_tests::npy::Tensor;
use ncnnc_tests::shared::workspace;

ncnnc::include_model! {
    /// Reads a digit.
    pub struct Digits = "../runtime/examples/digits/digits.fp32.param";
    input in0: [1, 8, 8];
}

ncnnc::include_model! {
    /// Reads a digit, with some of what it computed on the way.
    struct Watched = "../runtime/examples/digits/digits.fp32.param";
    weights = "../runtime/examples/digits/digits.fp32.bin";
    input in0: [1, 8, 8];
    output "19";
    output in0;
    numerics = strict;
    threads = 2;
}

ncnnc::include_model! {
    /// The build itself is the test: what the lock was recorded for still holds.
    struct Held = "ui/models/tiny.param";
    lock = "ui/models/tiny.precision.lock";
}

ncnnc::include_model! {
    /// The build is the test of this, too: the error that the lock recorded is within the budget.
    struct Bounded = "ui/models/rounded.param";
    lock = "ui/models/rounded.precision.lock";
    max_error = 0.001%;
}

/// Names that generated code could take for its own.
mod short_names {
    ncnnc::include_model! {
        pub struct M = "ui/models/tiny.param";
    }
    ncnnc::include_model! {
        pub struct T = "ui/models/tiny.param";
    }
}

mod another_module {
    ncnnc::include_model! {
        pub struct Digits = "../runtime/examples/digits/digits.fp16.param";
        input in0: [1, 8, 8];
    }
}

fn digits(file: &str) -> Tensor {
    Tensor::read(&workspace().join("runtime/examples/digits").join(file))
}

fn images() -> Vec<[f32; 64]> {
    digits("digits_test_images.npy")
        .values()
        .chunks_exact(64)
        .map(|image| image.try_into().expect("64 pixels"))
        .collect()
}

#[test]
fn digits_are_read_as_pytorch_reads_them() {
    let expected = digits("digits_test_pytorch_probs.npy").values();
    let mut model = Digits::new();
    let mut worst = 0.0_f32;
    for (image, expected) in images().iter().zip(expected.chunks_exact(10)) {
        for (got, expected) in model.run(image).iter().zip(expected) {
            worst = worst.max((got - expected).abs());
        }
    }
    // Both compute in f32, in different orders: probabilities differ by a few units in the last place of 1.
    assert!(worst < 2e-6, "{worst:e}");
}

#[test]
fn any_instruction_set_and_any_number_of_threads_give_the_same_bits() {
    let images = images();
    let mut hashes = Vec::new();
    for instruction_set in InstructionSet::ALL.iter().copied().filter(|set| set.is_available()) {
        for threads in [1, 2, 3, 7] {
            let mut model = Digits::with_options(&Options::new().threads(threads).instruction_set(instruction_set));
            assert_eq!(model.instruction_set(), instruction_set);
            let mut hash = Hash::default();
            for image in images.iter().step_by(9) {
                hash.add(model.run(image).iter().map(|value| value.to_bits()));
            }
            hashes.push((instruction_set.name(), threads, hash.finish()));
        }
    }
    assert!(hashes.iter().all(|(_, _, hash)| *hash == hashes[0].2), "{hashes:x?}");
}

#[test]
fn blobs_on_the_way_can_be_watched() {
    let (mut model, image) = (Watched::new(), images()[3]);
    let outputs = model.run(&image);
    assert_eq!(outputs.in0, &image);
    assert_eq!(outputs._19.len(), 64);
    let mut plain = Digits::new();
    let best = |values: &[f32; 10]| (0..10).max_by(|a, b| values[*a].total_cmp(&values[*b]));
    assert_eq!(best(outputs.out0), best(plain.run(&image)));
}

#[test]
fn models_of_one_name_live_in_different_modules() {
    let image = images()[0];
    let (mut one, mut other) = (Digits::new(), another_module::Digits::new());
    let (one, other) = (one.run(&image), other.run(&image));
    assert_ne!(one, other, "constants stored as f16 have fewer bits");
    assert!(one.iter().zip(other).all(|(one, other)| (one - other).abs() < 1e-2));
}

#[test]
fn models_may_have_short_names() {
    let image = [1.0; 24];
    assert_eq!(short_names::M::new().run(&image), short_names::T::new().run(&image));
}

#[test]
fn a_model_that_a_lock_holds_runs() {
    let image: [f32; 24] = std::array::from_fn(|i| i as f32 - 12.0);
    assert_eq!(*Held::new().run(&image), image.map(|value| value.max(0.0)));
    assert_eq!(*Bounded::new().run(&[4.0, 4.0]), [8.0]);
}

#[test]
fn a_model_can_be_sent_to_a_thread() {
    let (mut model, image) = (Digits::with_options(&Options::new().threads(2)), images()[0]);
    let here = *Digits::new().run(&image);
    let there = std::thread::spawn(move || *model.run(&image)).join().expect("it doesn't panic");
    assert_eq!(here, there);
}

//! What is said of uses of a network's type, and of a model that is only doubtful.

ncnnc::include_model!("models/tiny.param");

ncnnc::include_model! {
    struct Doubtful = "models/doubtful.param";
    layer Swirl = swirl: [4];
}

fn swirl(_: &[f32], _: &mut [f32]) {}

fn wrong_arena() {
    let mut arena = ncnnc::Arena::<64>::new();
    let _ = Tiny::in_arena(&mut arena);
}

fn wrong_length() {
    let mut tiny = Tiny::new();
    let _ = tiny.run(&[0.0; 23]);
}

fn main() {}

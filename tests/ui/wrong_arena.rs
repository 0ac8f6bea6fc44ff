ncnnc::include_model!("models/tiny.param");

fn main() {
    let mut arena = ncnnc::Arena::<64>::new();
    let _ = Tiny::in_arena(&mut arena);
}

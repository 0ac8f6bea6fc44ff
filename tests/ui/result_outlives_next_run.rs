ncnnc::include_model!("models/tiny.param");

fn main() {
    let mut tiny = Tiny::new();
    let first = tiny.run(&[0.0; 24]);
    let second = tiny.run(&[1.0; 24]);
    assert_ne!(first, second);
}

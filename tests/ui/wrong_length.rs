ncnnc::include_model!("models/tiny.param");

fn main() {
    let mut tiny = Tiny::new();
    let _ = tiny.run(&[0.0; 23]);
}

ncnnc::include_model!("models/tiny.param", threads = 2);

fn main() {}

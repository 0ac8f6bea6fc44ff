ncnnc::include_model!("models/absent.param");

fn main() {}

ncnnc::include_model!("models/malformed.param");

fn main() {}

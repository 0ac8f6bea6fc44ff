ncnnc::include_model!("models/weighted.param");

fn main() {}

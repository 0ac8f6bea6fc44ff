ncnnc::include_model!("models/strange.param");

fn main() {}

ncnnc::include_model!("models/open.param");

fn main() {}

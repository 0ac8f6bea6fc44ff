ncnnc::include_model!("models/unweighted.param");

fn main() {}

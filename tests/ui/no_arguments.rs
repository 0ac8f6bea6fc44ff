ncnnc::include_model!();

fn main() {}

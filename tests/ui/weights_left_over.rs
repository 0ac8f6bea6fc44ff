ncnnc::include_model! {
    struct Tiny = "models/tiny.param";
    weights = "models/weighted.bin";
}

fn main() {}

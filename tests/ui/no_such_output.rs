ncnnc::include_model! {
    struct Tiny = "models/tiny.param";
    output relu7;
}

fn main() {}

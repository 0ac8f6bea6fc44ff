ncnnc::include_model! {
    struct Tiny = "models/tiny.param";
    input data: [2, 3, 4];
}

fn main() {}

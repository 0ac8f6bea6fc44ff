ncnnc::include_model! {
    struct Tiny = "models/tiny.param";
    treads = 2;
    threads = 0;
    numerics = quick;
    input in0: [];
    input in1: [3, two];
    precision = f16;
    precision("fc") = int8;
    max_error = 1e-3;
    numerics = compensated;
    weights = models/tiny.bin;
    output out0 out1;
}

fn main() {}

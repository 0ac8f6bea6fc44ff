//! What is said at build time of calls of the macro and of models.

mod calls {
    ncnnc::include_model!();
    ncnnc::include_model!("models/tiny.param", threads = 2);
    ncnnc::include_model! {
        struct Options = "models/tiny.param";
        treads = 2;
        threads = 0;
        numerics = quick;
        input in0: [];
        input in1: [3, two];
        precision = half;
        activations = f8;
        activations("fc*") = auto;
        precision("fc*") = auto;
        precision("fc") = int8;
        max_error = none;
        bias_correction = images;
        numerics = compensated;
        weights = models/tiny.bin;
        output out0 out1;
        layer Swirl: [4];
        layer Swirl = swirl;
        threads = 3;
        input in1: [3];
        input in1: [3];
        output relu;
        output "relu";
    }
    ncnnc::include_model! {
        struct Crowd = "models/tiny.param";
        threads = 3000000000;
        input in0: [99999999999999999999, 0, 3];
    }
    ncnnc::include_model! {
        struct Nobody = "models/tiny.param";
        threads = -1;
        input in0: [3000000000];
    }
    ncnnc::include_model! {
        struct Throng = "models/tiny.param";
        threads = 99999999999999999999999;
    }
}

mod files {
    ncnnc::include_model!("models/absent.param");
    ncnnc::include_model!("models/unweighted.param");
    ncnnc::include_model!("models/malformed.param");
    ncnnc::include_model!("models/open.param");
    ncnnc::include_model!("models/strange.param");
    ncnnc::include_model!("models/weighted.param");
}

mod misfits {
    ncnnc::include_model! {
        struct Input = "models/tiny.param";
        input data: [2, 3, 4];
    }
    ncnnc::include_model! {
        struct Axes = "models/tiny.param";
        input in0: [1, 2, 3, 4, 5];
    }
    ncnnc::include_model! {
        struct Output = "models/tiny.param";
        output relu7;
        output relu8;
    }
    ncnnc::include_model! {
        struct Precision = "models/tiny.param";
        precision("rleu", "x**y") = f16;
    }
    ncnnc::include_model! {
        struct Numerics = "models/tiny.param";
        numerics("rleu") = compensated;
    }
    ncnnc::include_model! {
        struct Weights = "models/tiny.param";
        weights = "models/weighted.bin";
    }
    ncnnc::include_model! {
        struct Layers = "models/tiny.param";
        layer Swirl = swirl: [4];
        layer relu = swirl: [4];
        layer relu = swirl: [4];
    }
    ncnnc::include_model! {
        struct Shapes = "models/doubtful.param";
        layer Swirl = swirl: [4], [4];
    }
}

mod locks {
    ncnnc::include_model! {
        struct Unrecorded = "models/tiny.param";
        max_error = 0.1%;
    }
    ncnnc::include_model! {
        struct Uncalibrated = "models/tiny.param";
        bias_correction = lock;
    }
    ncnnc::include_model! {
        struct Uncorrected = "models/rounded.param";
        lock = "models/rounded.precision.lock";
        bias_correction = lock;
    }
    ncnnc::include_model! {
        struct Inaccurate = "models/rounded.param";
        lock = "models/rounded.precision.lock";
        max_error = 170dB;
    }
    ncnnc::include_model! {
        struct Other = "models/tiny.param";
        lock = "models/tiny.precision.lock";
        numerics = strict;
    }
    ncnnc::include_model! {
        struct Unlocked = "models/tiny.param";
        lock = "models/absent.precision.lock";
    }
    ncnnc::include_model! {
        struct Unreadable = "models/tiny.param";
        lock = "models/tiny.param";
    }
}

fn main() {}

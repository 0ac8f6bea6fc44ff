//! Assembled kernels compute, to the bit, what the kernel interpreter does: every instruction of the table on special
//! values, and kernels for every statement, for spills and for addresses.

mod assembly {
    pub mod doubles;
    pub mod formats;
    pub mod kernels;
    pub mod machine;
    pub mod scheduled;
}

use assembly::doubles;
use assembly::formats;
use assembly::kernels;
use assembly::machine::{check, check_naked, measure};
use assembly::scheduled;
use ncnnc_targets::target;

/// Checks the kernels made for the purpose on a target, as far as this machine can run it.
fn check_target(name: &str) {
    let target = target(name).expect("a target of the table");
    check(target, "kernels", &kernels::all(target.lanes));
    check(target, "formats", &formats::all(target.lanes));
    check(target, "doubles", &doubles::all(target.lanes));
}

/// Checks the kernels of all visible cases on a target.
fn check_scheduled(name: &str) {
    let target = target(name).expect("a target of the table");
    let cases = scheduled::all(target);
    println!("{name}: {} kernels", cases.len());
    check(target, "scheduled", &cases);
}

#[test]
fn avx2_runs_scheduled_kernels() {
    check_scheduled("avx2");
}

#[test]
fn avx512_runs_scheduled_kernels() {
    check_scheduled("avx512");
}

#[test]
fn neon_runs_scheduled_kernels() {
    check_scheduled("neon");
}

#[test]
fn avx2_equals_the_interpreter() {
    check_target("avx2");
}

#[test]
fn avx512_equals_the_interpreter() {
    check_target("avx512");
}

#[test]
fn neon_equals_the_interpreter() {
    check_target("neon");
}

#[cfg(target_arch = "x86_64")]
#[test]
fn rust_takes_naked_functions() {
    for name in ["avx2", "avx512"] {
        let target = target(name).expect("a target of the table");
        let cases = [kernels::all(target.lanes), formats::all(target.lanes), doubles::all(target.lanes)].concat();
        check_naked(target, &cases);
    }
}

#[cfg(target_arch = "aarch64")]
#[test]
fn rust_takes_naked_functions() {
    let target = target("neon").expect("a target of the table");
    let cases = [kernels::all(target.lanes), formats::all(target.lanes), doubles::all(target.lanes)].concat();
    check_naked(target, &cases);
}

#[test]
fn code_of_a_small_kernel() {
    for name in ["avx2", "avx512", "neon"] {
        let target = target(name).expect("a target of the table");
        let lines = ncnnc_compiler::emit::assembly::assemble(&kernels::small(target.lanes), target);
        insta::assert_snapshot!(format!("small_kernel_{name}"), lines.join("\n"));
    }
}

#[test]
#[ignore = "prints how fast tiles are; to be read, not checked"]
fn speed_of_contraction_tiles() {
    const STEPS: usize = 128;
    for name in ["avx2", "avx512"] {
        let target = target(name).expect("a target of the table");
        let lanes = target.lanes;
        let tile = |pixels: usize, vectors: usize| {
            (kernels::contraction(lanes, pixels, vectors, STEPS), 2 * pixels * vectors * lanes * STEPS)
        };
        let mut all = vec![(kernels::peak(lanes, STEPS), 2 * kernels::PEAK_SUMS * lanes * STEPS)];
        all.extend([(14, 2), (6, 4), (9, 3), (28, 1), (6, 2), (4, 3), (14, 1), (3, 4)].map(|(p, v)| tile(p, v)));
        measure(target, &all);
    }
}

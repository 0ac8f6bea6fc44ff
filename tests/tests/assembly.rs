//! Assembled kernels compute, to the bit, what the kernel interpreter does: every instruction of the table on special
//! values, and kernels for every statement, for spills and for addresses.

mod assembly {
    pub mod kernels;
    pub mod machine;
}

use assembly::kernels;
use assembly::machine::check;
use ncnnc_targets::target;

/// Checks all kernels on a target, as far as this machine can run it.
fn check_target(name: &str) {
    let target = target(name).expect("a target of the table");
    check(target, &kernels::all(target.lanes));
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

#[test]
fn code_of_a_small_kernel() {
    for name in ["avx2", "avx512", "neon"] {
        let target = target(name).expect("a target of the table");
        let lines = ncnnc_compiler::emit::assembly::assemble(&kernels::small(target.lanes), target);
        insta::assert_snapshot!(format!("small_kernel_{name}"), lines.join("\n"));
    }
}

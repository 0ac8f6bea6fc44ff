//! Prints how a network is carried out on a target, with the statements each step executes:
//! `cargo run -p ncnnc-tests --example steps -- MODEL.param TARGET [blob=c,h,w]`. Weights are drawn at random.

use ncnnc_compiler::kernel::{Callee, Kernel, Program, Statement, Step};
use ncnnc_compiler::ncnn;
use ncnnc_compiler::ops;
use ncnnc_compiler::passes;
use ncnnc_compiler::plan::Plan;
use ncnnc_compiler::schedule::{Constants, schedule};
use std::collections::HashMap;

/// Statements executed by all tasks; of choices, both branches.
fn statements(kernel: &Kernel) -> u64 {
    fn body(statements: &[Statement]) -> u64 {
        statements
            .iter()
            .map(|statement| match statement {
                Statement::Let(..) | Statement::Set(..) | Statement::Store(..) | Statement::Prefetch(_) => 1,
                Statement::For { extent, body: inner, .. } => *extent as u64 * (body(inner) + 2),
                Statement::While { test, body: inner, .. } => body(test) + body(inner),
                Statement::If { then, otherwise, .. } => 2 + body(then) + body(otherwise),
            })
            .sum()
    }
    kernel.tasks as u64 * body(&kernel.body)
}

/// The kernel a step calls, unless it calls a user's function.
fn kernel<'a>(program: &'a Program, step: &Step) -> Option<&'a Kernel> {
    match step.callee {
        Callee::Kernel(kernel) => Some(&program.kernels[kernel]),
        Callee::Custom(_) => None,
    }
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().expect("a .param file");
    let target = ncnnc_targets::target(&arguments.next().unwrap_or("avx512".to_string())).expect("a target");
    let shapes: HashMap<String, Vec<usize>> = arguments
        .map(|argument| {
            let (name, shape) = argument.split_once('=').expect("blob=c,h,w");
            (name.to_string(), shape.split(',').map(|extent| extent.parse().expect("an extent")).collect())
        })
        .collect();
    let text = std::fs::read(&path).expect("the .param file");
    let fail = |problems: Vec<_>| -> ! {
        problems.iter().for_each(|problem: &ncnnc_compiler::diagnostic::Diagnostic| eprintln!("{problem}"));
        std::process::exit(1)
    };
    let mut model = ncnn::read_param(&path, &text).unwrap_or_else(|problems| fail(problems));
    let weights = ncnnc_tests::synth::synth(std::str::from_utf8(&text).expect("text"), 1, 1.0);
    ops::read_weights(&mut model, "weights.bin", &weights).unwrap_or_else(|problems| fail(problems));
    let graph = ops::lower(&model, &shapes, &[]).unwrap_or_else(|problems| fail(problems));
    let start = std::time::Instant::now();
    let (graph, _) = passes::run(graph, Default::default());
    let passed = start.elapsed();
    let plan = Plan::new(graph, Default::default());
    if std::env::var_os("PLAN").is_some() {
        println!("{plan}");
    }
    let mut constants = Constants::default();
    let program = schedule(&plan, target, &mut constants);
    eprintln!("passes {passed:?}, then plan and schedule {:?}", start.elapsed() - passed);
    let total: u64 = program.steps.iter().filter_map(|step| kernel(&program, step)).map(statements).sum();
    println!("{:>12} statements in {} kernels, arena {} KiB", total, program.kernels.len(), program.arena_words / 256);
    for step in &program.steps {
        let Some(kernel) = kernel(&program, step) else { continue };
        let count = statements(kernel);
        println!("{count:>12} {:>5.1} % {} ({} tasks)", 100.0 * count as f64 / total as f64, step.name, kernel.tasks);
    }
}

//! Compiles the network that `NCNNC_SQUEEZENET` names, if it does.

use ncnnc_compiler::build::Model;

fn main() {
    println!("cargo::rerun-if-env-changed=NCNNC_SQUEEZENET");
    println!("cargo::rustc-check-cfg=cfg(squeezenet)");
    if let Ok(param) = std::env::var("NCNNC_SQUEEZENET") {
        println!("cargo::rustc-cfg=squeezenet");
        Model::new(param).name("Squeezenet").file("squeezenet").input("data", &[3, 227, 227]).write_to_out_dir();
    }
}

//! Makes the program export one function to the libraries that it loads; src/sys/tls.rs says why.

use std::env;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let is_of = |variable, value: &str| {
        env::var(variable).is_ok_and(|values| values.split(',').any(|one| one == value))
    };
    let is_static = is_of("CARGO_CFG_TARGET_FEATURE", "crt-static");
    if is_of("CARGO_CFG_TARGET_ENV", "gnu") && !is_static {
        let argument = "-Wl,--export-dynamic-symbol=__cxa_thread_atexit_impl";
        println!("cargo:rustc-link-arg-bins={argument}");
        println!("cargo:rustc-link-arg-tests={argument}");
    }
}

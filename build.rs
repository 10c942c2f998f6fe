//! Makes the program export a few functions to the libraries that it loads; src/sys/tls.rs and
//! src/sys/keys.rs say why.

use std::env;

/// What is exported. With `-rdynamic` a plugin's own helper would be replaced by a function of the
/// server's that happens to have the same name.
const EXPORTS: &[&str] = &[
    "__cxa_thread_atexit_impl",
    "pthread_key_create",
    "pthread_key_delete",
];

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rustc-check-cfg=cfg(keeps_thread_locals)");
    let is_of = |variable, value: &str| {
        env::var(variable).is_ok_and(|values| values.split(',').any(|one| one == value))
    };
    let is_static = is_of("CARGO_CFG_TARGET_FEATURE", "crt-static");
    // Other C libraries do not unmap, and a static program loads nothing.
    if !is_of("CARGO_CFG_TARGET_ENV", "gnu") || is_static {
        return;
    }
    println!("cargo:rustc-cfg=keeps_thread_locals");
    for name in EXPORTS {
        let argument = format!("-Wl,--export-dynamic-symbol={name}");
        println!("cargo:rustc-link-arg-bins={argument}");
        println!("cargo:rustc-link-arg-tests={argument}");
    }
}

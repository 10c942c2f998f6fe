//! Builds the plugins in `tests/fixtures/plugins` with the machine's compilers.

#![allow(dead_code, unreachable_pub)]

use std::path::{Path, PathBuf};
use std::process::Command;

fn project() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Builds the C or C++ plugin `name` as `directory/name.so`.
pub fn build(name: &str, directory: &Path) -> PathBuf {
    build_with(name, directory, &[])
}

/// As [`build`], with more options for the compiler.
pub fn build_with(name: &str, directory: &Path, options: &[&str]) -> PathBuf {
    let fixtures = project().join("tests/fixtures/plugins");
    let (mut compiler, mut source) = ("cc", fixtures.join(format!("{name}.c")));
    if !source.exists() {
        (compiler, source) = ("c++", fixtures.join(format!("{name}.cpp")));
    }
    let library = directory.join(format!("{name}.so"));
    compile(compiler, &source, &library, options);
    library
}

/// Builds the C or C++ plugin of a file.
pub fn compile(compiler: &str, source: &Path, library: &Path, options: &[&str]) {
    let mut command = Command::new(compiler);
    command.args(["-Os", "-fPIC", "-shared", "-fvisibility=hidden"]);
    command.args(["-Wall", "-Wextra", "-Werror", "-I"]);
    command.arg(project().join("plugins/include"));
    command
        .arg("-I")
        .arg(project().join("tests/fixtures/plugins"));
    command.arg(source);
    run(command.args(options).arg("-o").arg(library));
}

/// Builds a crate with a target directory below the one of these tests; returns its library. There
/// `name` is a package of `manifest` (a path in the project).
pub fn build_crate(manifest: &str, name: &str, library: &str) -> PathBuf {
    let own = Path::new(env!("CARGO_BIN_EXE_swiftd"));
    let target = own.ancestors().nth(2).expect("target/PROFILE/swiftd");
    let target = target.join("plugins-of-tests");
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()));
    // Nothing that is not here already is needed.
    command.args(["build", "--offline", "--quiet", "--package", name]);
    command
        .arg("--manifest-path")
        .arg(project().join(manifest))
        .arg("--target-dir")
        .arg(&target);
    run(&mut command);
    target.join("debug").join(library)
}

/// Builds the Rust plugin `name`, not stripped, as `directory/name.so`.
pub fn build_rust(name: &str, directory: &Path) -> PathBuf {
    let source = project().join(format!("tests/fixtures/plugins/{name}.rs"));
    let library = directory.join(format!("{name}.so"));
    let mut command = Command::new(std::env::var_os("RUSTC").unwrap_or("rustc".into()));
    command.args(["--edition=2024", "--crate-type=cdylib", "-O"]);
    run(command.arg(source).arg("-o").arg(&library));
    library
}

fn run(command: &mut Command) {
    let output = command.output().expect("a compiler is installed");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}");
}

//! The header and `abi` say the same: sizes, offsets and constants. Both are compared with lists
//! in the repository, because a released layout does not change.

use std::fmt::Write as _;
use std::mem::offset_of;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use swiftd_plugin::abi;

/// For each struct: a C program's lines that print it, and what Rust says.
macro_rules! structs {
    ($($test:ident, $rust:ident, $c:ident { $($member:ident),* $(,)? };)*) => {
        $(
            /// Does not compile if a member is missing from the table.
            #[allow(dead_code, clippy::too_many_arguments)]
            fn $test(of: abi::$rust) {
                let abi::$rust { $($member: _),* } = of;
            }
        )*

        fn rust_layout() -> String {
            let mut text = String::new();
            $(
                writeln!(text, "{} {}", stringify!($c), size_of::<abi::$rust>()).unwrap();
                $(writeln!(text, "{}.{} {}", stringify!($c), stringify!($member),
                    offset_of!(abi::$rust, $member)).unwrap();)*
            )*
            text
        }
    };
}

structs! {
    str, Str, sw_str { p, n };
    host, Host, sw_host { size, abi_major, abi_minor, req_get, req_set, req_header, req_header_at, req_body_len, req_body_read, req_body_fd, req_id, req_conn, resp_status, resp_header, resp_body, resp_body_own, resp_file, resp_start, resp_write, resp_end, data_set, data_get, log, config, now_ms, timer, watch, cancel, wake, deadline, woken_by, job, subrequest, spawn, counter, count, ext };
    plugin, Plugin, sw_plugin { magic, size, abi_major, abi_minor, flags, state_version, reserved, name, version, init, set_default, cleanup, trigger, sighup, connection_close, connection_reset, joblist, url_raw, url_clean, docroot, physical, subrequest_start, handle_subrequest, subrequest_end, save, restore, retire };
    child_ext, ChildExt, sw_child_ext { size, reserved, status, kill };
    subrequest_ext, SubrequestExt, sw_subrequest_ext { size, reserved, status, header, body };
    response_ext, ResponseExt, sw_response_ext { size, reserved, status, body_bytes };
    status_ext, StatusExt, sw_status_ext { size, reserved, read };
}

/// C names and what Rust says they are.
const CONSTANTS: &[(&str, i64)] = &[
    ("SW_MAGIC", abi::MAGIC as i64),
    ("SW_ABI_MAJOR", abi::MAJOR as i64),
    ("SW_ABI_MINOR", abi::MINOR as i64),
    ("SW_GO_ON", abi::GO_ON as i64),
    ("SW_FINISHED", abi::FINISHED as i64),
    ("SW_COMEBACK", abi::COMEBACK as i64),
    ("SW_WAIT_FOR_EVENT", abi::WAIT_FOR_EVENT as i64),
    ("SW_WAIT_FOR_FD", abi::WAIT_FOR_FD as i64),
    ("SW_ERROR", abi::ERROR as i64),
    ("SW_AGAIN", abi::AGAIN as i64),
    ("SW_GONE", abi::GONE as i64),
    ("SW_INVALID", abi::INVALID as i64),
    ("SW_LIMIT", abi::LIMIT as i64),
    ("SW_REQ_PATH", abi::what::PATH as i64),
    ("SW_REQ_TARGET", abi::what::TARGET as i64),
    ("SW_REQ_QUERY", abi::what::QUERY as i64),
    ("SW_REQ_METHOD", abi::what::METHOD as i64),
    ("SW_REQ_PROTOCOL", abi::what::PROTOCOL as i64),
    ("SW_REQ_HOST", abi::what::HOST as i64),
    ("SW_REQ_PEER", abi::what::PEER as i64),
    ("SW_REQ_LOCAL", abi::what::LOCAL as i64),
    ("SW_REQ_DOCROOT", abi::what::DOCROOT as i64),
    ("SW_REQ_PHYSICAL", abi::what::PHYSICAL as i64),
    ("SW_REQ_USER", abi::what::USER as i64),
    ("SW_REQ_SCHEME", abi::what::SCHEME as i64),
    ("SW_HEADER_SET", abi::mode::SET as i64),
    ("SW_HEADER_ADD", abi::mode::ADD as i64),
    ("SW_HEADER_REMOVE", abi::mode::REMOVE as i64),
    ("SW_WHY_DONE", abi::why::DONE as i64),
    ("SW_WHY_CLIENT_GONE", abi::why::CLIENT_GONE as i64),
    ("SW_WHY_DEADLINE", abi::why::DEADLINE as i64),
    ("SW_WHY_ERROR", abi::why::ERROR as i64),
    ("SW_WHY_DRAIN", abi::why::DRAIN as i64),
    ("SW_WHY_STOP", abi::why::STOP as i64),
    ("SW_CAUSE_NONE", abi::cause::NONE as i64),
    ("SW_CAUSE_TIMER", abi::cause::TIMER as i64),
    ("SW_CAUSE_WATCH", abi::cause::WATCH as i64),
    ("SW_CAUSE_JOB", abi::cause::JOB as i64),
    ("SW_CAUSE_CHILD", abi::cause::CHILD as i64),
    ("SW_CAUSE_SUBREQUEST", abi::cause::SUBREQUEST as i64),
    ("SW_CAUSE_ROOM", abi::cause::ROOM as i64),
    ("SW_CAUSE_WAKE", abi::cause::WAKE as i64),
    ("SW_READY_READ", abi::ready::READ as i64),
    ("SW_READY_WRITE", abi::ready::WRITE as i64),
    ("SW_READY_HANGUP", abi::ready::HANGUP as i64),
    ("SW_LOG_ERROR", abi::level::ERROR as i64),
    ("SW_LOG_WARNING", abi::level::WARNING as i64),
    ("SW_LOG_NOTICE", abi::level::NOTICE as i64),
    ("SW_LOG_INFO", abi::level::INFO as i64),
    ("SW_LOG_DEBUG", abi::level::DEBUG as i64),
    ("SW_FLAG_RESIDENT", abi::flags::RESIDENT as i64),
    ("SW_FLAG_STATE_REQUIRED", abi::flags::STATE_REQUIRED as i64),
    ("SW_FLAG_KNOWN", abi::flags::KNOWN as i64),
    ("SW_STDIO_PIPE", abi::stdio::PIPE as i64),
    ("SW_STDIO_NULL", abi::stdio::NULL as i64),
];

fn file(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Compiles a text. Warnings are errors.
fn compile(compiler: &str, arguments: &[&str], text: &str) -> Output {
    use std::io::Write as _;
    let mut child = Command::new(compiler)
        .args(["-Wall", "-Wextra", "-Wpedantic", "-Werror", "-I"])
        .arg(file("../include"))
        .args(arguments)
        .arg("-")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the tests need a C and a C++ compiler");
    child
        .stdin
        .take()
        .unwrap()
        .write_all(text.as_bytes())
        .unwrap();
    child.wait_with_output().unwrap()
}

fn assert_compiles(compiler: &str, arguments: &[&str], text: &str) {
    let output = compile(compiler, arguments, text);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{compiler} {arguments:?}:\n{errors}"
    );
}

/// A program that prints one line for each line of the list.
fn printer(list: &str) -> String {
    let mut program =
        String::from("#include \"swiftd_plugin.h\"\n#include <stdio.h>\nint main(void) {\n");
    for line in list.lines() {
        let (name, _) = line.split_once(' ').unwrap();
        let value = expression(name);
        writeln!(
            program,
            "printf(\"{name} %lu\\n\", (unsigned long){value});"
        )
        .unwrap();
    }
    program + "return 0; }\n"
}

fn expression(name: &str) -> String {
    match name.split_once('.') {
        None => format!("sizeof({name})"),
        Some((name, member)) => format!("offsetof({name}, {member})"),
    }
}

fn committed(bits: u32) -> String {
    std::fs::read_to_string(file(&format!("tests/layout-{bits}.txt"))).unwrap()
}

#[test]
fn rust_has_the_committed_layout() {
    assert_eq!(rust_layout(), committed(usize::BITS));
}

#[test]
fn c_has_the_layout_of_rust() {
    let folder = std::env::temp_dir().join(format!("swiftd-layout-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let program = folder.join("layout");
    let path = program.to_str().unwrap();
    assert_compiles(
        "cc",
        &["-std=c11", "-x", "c", "-o", path],
        &printer(&rust_layout()),
    );
    let output = Command::new(&program).output().unwrap();
    std::fs::remove_dir_all(&folder).unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), rust_layout());
}

#[test]
fn c_has_the_committed_layout_with_32_bits() {
    let flags = [
        "-std=c11",
        "-m32",
        "-ffreestanding",
        "-fsyntax-only",
        "-x",
        "c",
    ];
    if !compile("cc", &flags, "int x;\n").status.success() {
        eprintln!("this compiler has no -m32");
        return;
    }
    let mut text = String::from("#include \"swiftd_plugin.h\"\n");
    for line in committed(32).lines() {
        let (name, value) = line.split_once(' ').unwrap();
        writeln!(
            text,
            "_Static_assert({} == {value}, \"{line}\");",
            expression(name)
        )
        .unwrap();
    }
    assert_compiles("cc", &flags, &text);
    // The same members in the same order as with 64 bits.
    let names = |list: String| -> Vec<String> {
        list.lines()
            .map(|line| line.split(' ').next().unwrap().to_owned())
            .collect()
    };
    assert_eq!(names(committed(32)), names(committed(64)));
}

#[test]
fn constants_are_equal_and_all_are_compared() {
    let mut text = String::from("#include \"swiftd_plugin.h\"\n");
    for (name, value) in CONSTANTS {
        writeln!(text, "_Static_assert({name} == {value}, \"{name}\");").unwrap();
    }
    assert_compiles("cc", &["-std=c11", "-fsyntax-only", "-x", "c"], &text);

    let header = std::fs::read_to_string(file("../include/swiftd_plugin.h")).unwrap();
    let defined = header
        .lines()
        .filter_map(|line| line.strip_prefix("#define SW_"));
    for name in defined.filter_map(|rest| rest.split(' ').next()) {
        // Neither a function nor an attribute.
        let is_value = !name.contains('(') && name != "EXPORT";
        let is_listed = CONSTANTS
            .iter()
            .any(|(known, _)| known.strip_prefix("SW_") == Some(name));
        assert!(is_listed || !is_value, "SW_{name} is not compared");
    }
}

#[test]
fn the_header_compiles_without_warnings_alone_and_twice() {
    let once = "#include \"swiftd_plugin.h\"\n";
    let used = "#include \"swiftd_plugin.h\"\n#include \"swiftd_plugin.h\"\n\
        int f(const sw_host *, sw_plugin *);\n\
        SWIFTD_NEEDS(\"exec\", \"read:$file\");\n\
        int f(const sw_host *h, sw_plugin *p) { sw_plugin_fill(p, p); return SW_HAS(h, ext); }\n";
    for text in [once, used] {
        assert_compiles("cc", &["-std=c11", "-fsyntax-only", "-x", "c"], text);
        assert_compiles("c++", &["-std=c++17", "-fsyntax-only", "-x", "c++"], text);
        assert_compiles("c++", &["-std=c++20", "-fsyntax-only", "-x", "c++"], text);
    }
}

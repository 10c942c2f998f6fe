//! A real library under the mock server: plugins/hello_c, compiled as its comment says, and the
//! thesis' form of entry.

use core::ffi::{CStr, c_char, c_int, c_void};
use std::ffi::CString;
use std::path::{Path, PathBuf};
use std::process::Command;

use swiftd_plugin::abi;
use swiftd_plugin::testing::{Harness, Outgoing};

unsafe extern "C" {
    fn dlopen(path: *const c_char, flags: c_int) -> *mut c_void;
    fn dlsym(library: *mut c_void, name: *const c_char) -> *mut c_void;
    fn dlclose(library: *mut c_void) -> c_int;
}

/// RTLD_NOW.
const NOW: c_int = 2;

/// A library in a folder of its own.
struct Library {
    folder: PathBuf,
    handle: *mut c_void,
}

impl Library {
    fn compile(name: &str, source: &Path) -> Self {
        let folder = std::env::temp_dir().join(format!("swiftd-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join(name).with_extension("so");
        let status = Command::new("cc")
            .args([
                "-std=c11",
                "-Wall",
                "-Wextra",
                "-Wpedantic",
                "-Werror",
                "-Os",
                "-fPIC",
            ])
            .args(["-shared", "-fvisibility=hidden", "-s", "-I"])
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("../include"))
            .arg(source)
            .arg("-o")
            .arg(&path)
            .status()
            .expect("the tests need a C compiler");
        assert!(status.success());
        let path = CString::new(path.to_str().unwrap()).unwrap();
        // SAFETY: the library has no constructors.
        let handle = unsafe { dlopen(path.as_ptr(), NOW) };
        assert!(!handle.is_null());
        Self { folder, handle }
    }

    fn symbol(&self, name: &CStr) -> *mut c_void {
        // SAFETY: the handle is open and the name ends with NUL.
        unsafe { dlsym(self.handle, name.as_ptr()) }
    }
}

impl Drop for Library {
    fn drop(&mut self) {
        // SAFETY: nothing of the library is used any more.
        unsafe { dlclose(self.handle) };
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

#[test]
fn the_c_plugin_answers_as_the_rust_one() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../hello_c/hello_c.c");
    let library = Library::compile("hello_c", &source);
    let descriptor = library.symbol(abi::ENTRY).cast::<abi::Plugin>();
    // SAFETY: the symbol is a descriptor, and the library is open until the end of this function.
    let descriptor = unsafe { *descriptor };
    // SAFETY: as above.
    let harness = || unsafe { Harness::of(&descriptor) };
    assert_eq!(harness().name(), "hello_c");
    let answer = harness().config("text", "x").get("/hello_c");
    assert_eq!((answer.status, answer.text()), (200, "x"));
    assert_eq!(answer.header("content-type"), Some("text/plain"));
    let mut plain = harness();
    assert_eq!(plain.get("/hello_c").text(), "hello\n");
    assert_eq!(plain.get("/hello").status, 404);
    assert_eq!(plain.send(Outgoing::new("HEAD", "/hello_c")).text(), "");
}

/// A plugin in the thesis' form that leaves a timer behind.
const OLD: &str = r#"
#include "swiftd_plugin.h"
static int state;
static void fire(void *arg, sw_id id) { (void)arg; (void)id; }
static sw_rc init(const sw_host *host, sw_self *self, void **st) {
  *st = &state;
  return host->timer(self, 0, 1000, 1000, fire, &state) ? SW_GO_ON : SW_ERROR;
}
SW_EXPORT void old_init(sw_plugin *p);
void old_init(sw_plugin *p) {
  const sw_plugin mine = {.magic = SW_MAGIC, .size = sizeof mine, .abi_major = SW_ABI_MAJOR,
    .abi_minor = SW_ABI_MINOR, .name = "old", .version = "0", .init = init};
  sw_plugin_fill(p, &mine);
}
"#;

#[test]
#[should_panic(expected = "left behind after cleanup: timer")]
fn a_plugin_that_fills_the_servers_struct_can_leak_too() {
    let source = std::env::temp_dir().join(format!("swiftd-old-{}.c", std::process::id()));
    std::fs::write(&source, OLD).unwrap();
    let library = Library::compile("old", &source);
    std::fs::remove_file(&source).unwrap();
    assert!(library.symbol(abi::ENTRY).is_null());
    let init = library.symbol(c"old_init");
    assert!(!init.is_null());
    // SAFETY: the symbol is this function.
    let init: extern "C" fn(*mut abi::Plugin) = unsafe { core::mem::transmute(init) };
    // SAFETY: all zeros are a descriptor without hooks.
    let mut descriptor: abi::Plugin = unsafe { core::mem::zeroed() };
    descriptor.size = size_of::<abi::Plugin>() as u32;
    init(&mut descriptor);
    // SAFETY: the function has filled it, and the library outlives the harness.
    let mut harness = unsafe { Harness::of(&descriptor) };
    assert_eq!(harness.get("/").status, 404);
}

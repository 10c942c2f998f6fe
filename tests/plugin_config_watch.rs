//! Every way of saving a file is heard, by real tools on real files.
//!
//! What a tool has done is in the queue when it ends, so "nothing was heard" needs no waiting; what
//! is to be heard is waited for on the descriptor, registered by edges as in the server.

use std::fs::{self, File};
use std::io::Write;
use std::os::fd::AsFd;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;
use swiftd::sys::poll::Poll;
use swiftd::sys::small_file::identify;
use swiftd::sys::watch::{DirectoryWatch, Heard};
use tempfile::TempDir;

/// A fail-safe, far beyond what a busy machine needs.
const PATIENCE: Duration = Duration::from_secs(60);

/// A directory with a watched file `conf` in it, which says "old".
struct Scene {
    grounds: TempDir,
    poll: Poll,
    watch: DirectoryWatch,
}

impl Scene {
    fn new() -> Self {
        Self::prepared("mkdir etc && echo old > etc/conf")
    }

    /// The watched file is `etc/conf`, whatever a script makes of that.
    fn prepared(script: &str) -> Self {
        let grounds = TempDir::new().unwrap();
        shell(grounds.path(), script);
        let watch = DirectoryWatch::new(&grounds.path().join("etc/conf")).unwrap();
        let poll = Poll::new().unwrap();
        poll.add_readable(watch.as_fd(), 7).unwrap();
        Self {
            grounds,
            poll,
            watch,
        }
    }

    fn conf(&self) -> PathBuf {
        self.grounds.path().join("etc/conf")
    }

    fn run(&self, script: &str) {
        shell(self.grounds.path(), script);
    }

    /// Waits for an edge and tells what was heard.
    #[track_caller]
    fn hear(&mut self) -> Heard {
        let count = self.poll.wait(Some(PATIENCE)).unwrap();
        assert_eq!(count, 1, "no event");
        let ready = self.poll.event(0).unwrap();
        assert!(ready.key == 7 && ready.is_readable);
        self.watch.drain()
    }

    /// What happens in `directory` does not even wake anybody.
    #[track_caller]
    fn is_deaf_to(&mut self, directory: &str) {
        // The end of a watch is an event of its own.
        assert_eq!(self.watch.drain(), Heard::Nothing);
        self.poll.wait(Some(Duration::ZERO)).unwrap();
        self.run(&format!("echo x > {directory}/conf"));
        assert_eq!(
            self.poll.wait(Some(Duration::ZERO)).unwrap(),
            0,
            "{directory}"
        );
    }

    /// The watch still hears, whatever went before.
    #[track_caller]
    fn is_alive(&mut self) {
        assert_eq!(self.watch.drain(), Heard::Nothing, "all was drained");
        // Also a link is replaced by this; writing through it would be elsewhere.
        self.run("echo newest > etc/conf~; mv etc/conf~ etc/conf");
        assert_eq!(self.hear(), Heard::Change);
    }
}

#[track_caller]
fn shell(directory: &Path, script: &str) {
    let mut command = Command::new("sh");
    command.args(["-ec", script]).current_dir(directory);
    let output = command.stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{script}: {said}");
}

fn is_installed(tool: &str) -> bool {
    let found = Command::new("sh")
        .args(["-c", "command -v \"$0\"", tool])
        .output();
    found.unwrap().status.success()
}

/// How a file comes to say "new": the tool that is needed, and a script.
const WAYS: [(&str, &str); 17] = [
    ("sh", "echo new > etc/conf"),
    ("sh", "(echo ne; echo w) > etc/conf"),
    ("sh", "echo new >> etc/conf"),
    ("sh", "rm etc/conf; echo new > etc/conf"),
    ("sed", "sed -i s/old/new/ etc/conf"),
    ("mv", "echo new > etc/conf.tmp; mv etc/conf.tmp etc/conf"),
    ("mv", "echo new > other; mv other etc/conf"),
    ("cp", "echo new > other; cp other etc/conf"),
    (
        "cp",
        "echo new > other; cp --remove-destination other etc/conf",
    ),
    ("ln", "echo new > other; ln -f other etc/conf"),
    ("ln", "echo new > other; ln -sfn ../other etc/conf"),
    ("install", "echo new > other; install -m 600 other etc/conf"),
    ("truncate", "truncate -s 0 etc/conf; echo new > etc/conf"),
    ("dd", "echo new | dd of=etc/conf conv=notrunc status=none"),
    ("tee", "echo new | tee etc/conf > /dev/null"),
    ("ed", "printf '%s\\n' s/old/new/ w q | ed -s etc/conf"),
    // A backup by renaming, and a new file: how vim saves where it may.
    (
        "vim",
        "vim -u NONE -i NONE -n -es -c 'set nocp writebackup backupcopy=no' -c s/old/new/ -c wq etc/conf",
    ),
];

#[test]
fn every_way_of_saving_is_heard() {
    let mut tried = 0;
    for (tool, script) in WAYS {
        if !is_installed(tool) {
            continue;
        }
        tried += 1;
        let mut scene = Scene::new();
        assert_eq!(scene.watch.drain(), Heard::Nothing);
        scene.run(script);
        let now: String = fs::read_to_string(scene.conf()).unwrap();
        assert_eq!(
            now.replace('\n', ""),
            if script.contains(">>") {
                "oldnew"
            } else {
                "new"
            },
            "{script}"
        );
        assert_eq!(scene.hear(), Heard::Change, "{script}");
        scene.is_alive();
    }
    assert!(tried >= 10, "without the usual tools this tests nothing");
}

#[test]
fn a_touch_a_mode_a_removal_and_a_renaming_are_heard() {
    for script in [
        "touch etc/conf",
        "chmod 600 etc/conf",
        "rm etc/conf",
        "mv etc/conf etc/away",
        "mv etc/conf away",
    ] {
        let mut scene = Scene::new();
        scene.run(script);
        assert_eq!(scene.hear(), Heard::Change, "{script}");
        scene.is_alive();
    }
}

#[test]
fn the_mode_of_the_directory_is_heard() {
    let mut scene = Scene::new();
    scene.run("chmod 750 etc");
    assert_eq!(scene.hear(), Heard::Change);
    scene.is_alive();
}

#[test]
fn a_file_is_heard_when_it_is_closed() {
    let mut scene = Scene::new();
    let mut file = File::create(scene.conf()).unwrap();
    file.write_all(b"half").unwrap();
    file.sync_all().unwrap();
    assert_eq!(scene.watch.drain(), Heard::Nothing, "half of a file");
    file.write_all(b" and half").unwrap();
    drop(file);
    assert_eq!(scene.hear(), Heard::Change);
}

#[test]
fn other_files_are_not_heard() {
    let mut scene = Scene::new();
    scene.run(
        "echo x > etc/conf.swp; mv etc/conf.swp etc/con; rm etc/con; mkdir etc/d; chmod 700 etc/d",
    );
    scene.run("cat etc/conf > /dev/null; ls etc > /dev/null; ln etc/conf etc/second; rmdir etc/d");
    assert_eq!(scene.watch.drain(), Heard::Nothing);
    scene.is_alive();
}

#[test]
fn a_file_that_is_deleted_and_still_written_is_not_heard() {
    let mut scene = Scene::new();
    let mut file = File::options().append(true).open(scene.conf()).unwrap();
    fs::remove_file(scene.conf()).unwrap();
    assert_eq!(scene.hear(), Heard::Change, "the removal");
    file.write_all(b"nobody will read it").unwrap();
    drop(file);
    assert_eq!(scene.watch.drain(), Heard::Nothing);
}

#[test]
fn a_swap_of_links_is_heard() {
    let mut scene = Scene::prepared("mkdir etc; echo old > a; echo new > b; ln -s ../a etc/conf");
    scene.run("ln -sfn ../b etc/conf");
    assert_eq!(scene.hear(), Heard::Change);
    assert_eq!(fs::read_to_string(scene.conf()).unwrap(), "new\n");
    // Beside a link, everything counts: the name alone does not tell what it leads through.
    scene.run("echo x > etc/other");
    assert_eq!(scene.hear(), Heard::Change);
    // Not beside a plain file.
    scene.run("rm etc/conf; echo plain > etc/conf");
    assert_eq!(scene.hear(), Heard::Change);
    scene.run("echo y > etc/other");
    assert_eq!(scene.watch.drain(), Heard::Nothing);
    scene.is_alive();
}

#[test]
fn a_kubernetes_volume_is_heard() {
    let volume = "mkdir -p etc/..1; echo old > etc/..1/conf; ln -s ..1 etc/..data; ln -s ..data/conf etc/conf";
    let swap = "mkdir etc/..2; echo new > etc/..2/conf; ln -s ..2 etc/..tmp";
    let mut scene = Scene::prepared(volume);
    scene.run(swap);
    scene.watch.drain();
    scene.run("mv -T etc/..tmp etc/..data");
    assert_eq!(scene.hear(), Heard::Change);
    assert_eq!(fs::read_to_string(scene.conf()).unwrap(), "new\n");

    // The same when the file became such a link while it was watched.
    let mut scene = Scene::new();
    scene.run(&format!("rm etc/conf; {}", volume.replace("-p ", "")));
    assert_eq!(scene.hear(), Heard::Change);
    scene.run(swap);
    scene.watch.drain();
    scene.run("mv -T etc/..tmp etc/..data");
    assert_eq!(scene.hear(), Heard::Change);
}

#[test]
fn a_file_that_is_made_later_is_heard() {
    let mut scene = Scene::prepared("mkdir etc");
    assert!(scene.watch.is_watching());
    scene.run("echo x > etc/other");
    assert_eq!(scene.watch.drain(), Heard::Nothing);
    scene.run("echo new > etc/conf");
    assert_eq!(scene.hear(), Heard::Change);
}

#[test]
fn a_directory_that_has_gone_is_watched_again_when_it_is_back() {
    for (removal, leftover) in [("rm -r etc", None), ("mv etc gone", Some("gone"))] {
        let mut scene = Scene::new();
        scene.run(removal);
        assert_eq!(scene.hear(), Heard::Gone, "{removal}");
        assert!(!scene.watch.is_watching());
        assert!(scene.watch.rewatch().is_err() && !scene.watch.is_watching());
        scene.run("mkdir etc; echo new > etc/conf");
        assert_eq!(scene.watch.drain(), Heard::Nothing, "nobody listens");
        scene.watch.rewatch().unwrap();
        assert!(scene.watch.is_watching());
        if let Some(leftover) = leftover {
            scene.is_deaf_to(leftover);
        }
        scene.is_alive();
    }
}

#[test]
fn a_directory_that_comes_later_is_watched() {
    let mut scene = Scene::prepared("true");
    assert!(!scene.watch.is_watching());
    assert!(scene.watch.rewatch().is_err());
    scene.run("echo file > etc");
    assert!(scene.watch.rewatch().is_err(), "it must be a directory");
    scene.run("rm etc; mkdir etc");
    scene.watch.rewatch().unwrap();
    scene.run("echo new > etc/conf");
    assert_eq!(scene.hear(), Heard::Change);
}

#[test]
fn a_link_above_that_leads_elsewhere_shows_in_the_identity() {
    let two = "mkdir one two; echo old > one/conf; echo new > two/conf; ln -s one etc";
    let mut scene = Scene::prepared(two);
    let before = identify(&scene.conf()).unwrap().unwrap();
    assert_eq!(identify(&scene.conf()).unwrap(), Some(before));
    scene.run("ln -sfn two etc");
    assert_eq!(
        scene.watch.drain(),
        Heard::Nothing,
        "the kernel does not tell"
    );
    assert_ne!(identify(&scene.conf()).unwrap(), Some(before));

    scene.watch.rewatch().unwrap();
    scene.is_deaf_to("one");
    scene.is_alive();
    // Once more changes nothing.
    scene.watch.rewatch().unwrap();
    scene.is_alive();
}

#[test]
fn the_identity_is_that_of_what_a_link_leads_to() {
    let scene = Scene::prepared("mkdir etc; echo old > target; ln -s ../target etc/conf");
    let before = identify(&scene.conf()).unwrap().unwrap();
    scene.run("touch -d '2001-02-03 04:05:06' target");
    let after = identify(&scene.conf()).unwrap().unwrap();
    assert_ne!(before, after);
    assert_eq!(before.inode, after.inode);
    scene.run("rm target");
    assert_eq!(identify(&scene.conf()).unwrap(), None);
    symlink("conf", scene.grounds.path().join("etc/circle")).unwrap();
}

#[test]
fn an_overflow_of_the_queue_counts_as_a_change() {
    let mut scene = Scene::new();
    let limit = fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").unwrap();
    let limit: usize = limit.trim().parse().unwrap();
    let other = scene.grounds.path().join("etc/other");
    // Each round gives two events at least. That of the close may be missing: a child that another
    // test starts at this moment holds the file open until after its removal.
    for _ in 0..limit / 2 + 1 {
        File::create(&other).unwrap();
        fs::remove_file(&other).unwrap();
    }
    assert_eq!(scene.hear(), Heard::Change);
    scene.is_alive();
}

#[test]
fn a_path_without_a_file_name_is_refused() {
    for path in ["/", "..", ""] {
        assert!(DirectoryWatch::new(Path::new(path)).is_err(), "{path:?}");
    }
    // The working directory, by a bare name.
    assert!(
        DirectoryWatch::new(Path::new("conf"))
            .unwrap()
            .is_watching()
    );
}

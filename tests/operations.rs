//! docs/OPERATIONS.md: what it shows works, and what it names is there.

use std::fs;
use std::path::Path;
use std::process::Command;
use tempfile::TempDir;

fn project(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

fn document() -> String {
    project("docs/OPERATIONS.md")
}

/// The blocks of a kind.
fn blocks<'a>(text: &'a str, kind: &str) -> Vec<&'a str> {
    let begin = format!("\n```{kind}\n");
    let parts = text.split(begin.as_str()).skip(1);
    parts
        .map(|part| part.split("```").next().unwrap())
        .collect()
}

/// What stands between backticks.
fn code(text: &str) -> impl Iterator<Item = &str> {
    text.lines()
        .flat_map(|line| line.split('`').skip(1).step_by(2))
}

#[test]
fn every_configuration_in_it_is_good() {
    let place = TempDir::new().unwrap();
    let site = place.path().join("site");
    fs::create_dir_all(site.join("errors")).unwrap();
    fs::write(site.join("errors/404.html"), "none").unwrap();
    fs::write(site.join("plugins.conf"), "# none\n").unwrap();
    let document = document();
    let blocks = blocks(&document, "toml");
    assert!(blocks.len() >= 4, "{blocks:?}");
    for block in blocks {
        let file = place.path().join("swiftd.conf");
        let text = block.replace("/srv/example", site.to_str().unwrap());
        fs::write(&file, &text).unwrap();
        let output = Command::new(env!("CARGO_BIN_EXE_swiftd"))
            .args(["-t", "-c"])
            .arg(&file)
            .arg(&site)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}{text}");
    }
}

#[test]
fn every_figure_in_it_is_one_of_the_status_page() {
    let sources = project("src/server/figures.rs") + &project("src/plugin/figures.rs");
    let document = document();
    let mut count = 0;
    for word in code(&document) {
        let name = word.split(['{', ' ']).next().unwrap();
        if name.starts_with("swiftd_") && !name.contains('*') && !name.ends_with(".h") {
            assert!(sources.contains(&format!("\"{name}\"")), "{name}");
            count += 1;
        }
    }
    assert!(count > 15, "{count}");
}

#[test]
fn every_option_and_target_in_it_is_there() {
    let help = Command::new(env!("CARGO_BIN_EXE_swiftd"))
        .arg("--help")
        .output();
    let help = String::from_utf8(help.unwrap().stdout).unwrap();
    let makefile = project("Makefile");
    let document = document();
    let commands = document
        .lines()
        .filter_map(|line| line.strip_prefix("    "));
    for command in code(&document).chain(commands) {
        let command = command.split(" # ").next().unwrap();
        for part in command.split(" && ") {
            let mut words = part.split_whitespace().skip_while(|word| *word == "sudo");
            match words.next() {
                Some("swiftd") => {
                    for option in words.filter(|word| word.starts_with('-')) {
                        let found = help.split([' ', ',', '\n']).any(|word| word == option);
                        assert!(found, "{option} in {part}");
                    }
                }
                Some("make") => {
                    let targets = words.filter(|word| !word.contains('='));
                    for target in targets {
                        let rule = makefile
                            .lines()
                            .any(|line| line.starts_with(&format!("{target}:")));
                        assert!(rule, "{target} in {part}");
                    }
                }
                _ => {}
            }
        }
    }
}

#[test]
fn every_link_leads_to_a_heading() {
    let document = document();
    let anchors = document.lines().filter_map(|line| line.strip_prefix("## "));
    let anchors: Vec<String> = anchors
        .map(|title| title.to_lowercase().replace(' ', "-"))
        .collect();
    for link in document.split("](#").skip(1) {
        let anchor = link.split(')').next().unwrap();
        assert!(anchors.iter().any(|found| found == anchor), "#{anchor}");
    }
}

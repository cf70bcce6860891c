//! The examples of docs/commands.md, run as they stand there: each block of them at a broker of its own.

use std::process::Command;

use crate::child::Program;
use crate::tool::Address;

const PAGE: &str = include_str!("../../../docs/commands.md");

#[test]
fn the_examples_of_the_page_print_what_stands_there() {
    let blocks: Vec<&str> =
        PAGE.split("```console\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert!(blocks.len() >= 5, "the page has its examples elsewhere");
    for block in blocks {
        let broker = Program::serve(&["--log", "warn"]);
        let port = Address::from(&broker).0;
        let mut script = String::from(
            "exec 2>&1\nopifex() { command=$1; shift; \"$OPIFEX\" \"$command\" -p \"$PORT\" \"$@\"; }\n",
        );
        let mut expected = String::new();
        for line in block.lines() {
            match line.strip_prefix("$ ") {
                Some(command) => {
                    // A URL has the port in it.
                    let with_port = format!("\"$OPIFEX\" pub -L mqtt://localhost:{port}/");
                    script.push_str(&command.replace("opifex pub -L mqtt://localhost/", &with_port));
                    script.push('\n');
                }
                None => expected.push_str(&format!("{line}\n")),
            }
        }
        let mut shell = Command::new("bash");
        let shell =
            shell.args(["-c", &script]).env("OPIFEX", env!("CARGO_BIN_EXE_opifex")).env("PORT", &port);
        let output = shell.output().unwrap();
        let printed = String::from_utf8(output.stdout).unwrap().replace(&port, "1883");
        assert_eq!(printed, expected, "{block}");
    }
}

#[test]
fn the_page_names_every_flag() {
    for command in ["pub", "sub", "rr", "bench"] {
        let help = String::from_utf8(crate::child::run(&[command, "--help"], b"").stdout).unwrap();
        let flags = help.lines().filter_map(|line| {
            let at = line.find("--").filter(|at| line[..*at].trim().len() <= 3 && line.starts_with("  "))?;
            line[at..].split([' ', '.']).next()
        });
        let flags: Vec<&str> = flags.collect();
        assert!(flags.len() > 20, "{command}: {flags:?}");
        for flag in flags {
            assert!(PAGE.contains(&format!("`{flag}`")), "{command} {flag}");
        }
    }
}

//! `opifex hash-password`: a password in, its argon2id hash out.

use std::io::{self, IsTerminal as _, Read as _, Write as _};

use anyhow::anyhow;

use crate::failure::Failure;

/// The longest password that CONNECT can carry, in bytes.
const MAX_PASSWORD_BYTES: usize = 65_535;

/// Asks for a password and prints its hash.
pub(crate) fn run() -> Result<(), Failure> {
    let password = if io::stdin().is_terminal() { ask_twice()? } else { read_line()? };
    if password.is_empty() {
        return Err(Failure::usage(anyhow!("the password is empty")));
    }
    if password.len() > MAX_PASSWORD_BYTES {
        return Err(Failure::usage(anyhow!("the password is longer than {MAX_PASSWORD_BYTES} bytes")));
    }
    let hash = opifex_broker::hash_password(&password);
    writeln!(io::stdout(), "{hash}").map_err(Failure::runtime)
}

fn ask_twice() -> Result<Vec<u8>, Failure> {
    let ask = |prompt| rpassword::prompt_password(prompt).map_err(Failure::runtime);
    let password = ask("Password: ")?;
    if ask("Again: ")? != password {
        return Err(Failure::usage(anyhow!("the two passwords differ")));
    }
    Ok(password.into_bytes())
}

/// Standard input up to its end: one line, its end not included.
fn read_line() -> Result<Vec<u8>, Failure> {
    let mut input = Vec::new();
    let at_most = MAX_PASSWORD_BYTES as u64 + 3;
    io::stdin().lock().take(at_most).read_to_end(&mut input).map_err(Failure::runtime)?;
    let line = input.strip_suffix(b"\n").unwrap_or(&input);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    if line.contains(&b'\n') {
        return Err(Failure::usage(anyhow!(
            "more than one line on standard input, expected a password alone"
        )));
    }
    Ok(line.to_vec())
}

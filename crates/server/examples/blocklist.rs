//! Makes the list of common passwords of files with one a line, or with one JSON array of texts:
//! `cargo run -p server --example blocklist -- FILE… > crates/server/src/password/common.bin`.

use std::io::Write as _;

use server::password::blocklist::encode;

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let mut all: Vec<String> = Vec::new();
    for file in std::env::args_os().skip(1) {
        let text = std::fs::read_to_string(file)?;
        match serde_json::from_str::<Vec<String>>(&text) {
            Ok(list) => all.extend(list),
            Err(_) => all.extend(text.lines().map(str::to_owned)),
        }
    }
    std::io::stdout().write_all(&encode(all.iter().map(String::as_str)))?;
    Ok(())
}

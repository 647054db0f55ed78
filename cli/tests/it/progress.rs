//! The progress bar: on a terminal after a second, else never.

use std::fs::OpenOptions;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use crate::support::{command, text};

/// A named pipe, from which a program waits to read until somebody writes; `None` where there are none.
fn pipe(name: &str) -> Option<PathBuf> {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = std::fs::remove_file(&path);
    let made = Command::new("mkfifo").arg(&path).status();
    made.is_ok_and(|status| status.success()).then_some(path)
}

/// Ends the waiting of the program, which then finds that this is no file.
fn release(pipe: &Path) {
    drop(OpenOptions::new().write(true).open(pipe).unwrap());
}

fn release_after(pipe: PathBuf, seconds: u64) {
    thread::spawn(move || {
        thread::sleep(Duration::from_secs(seconds));
        release(&pipe);
    });
}

#[test]
fn a_terminal_sees_what_is_done_until_it_is_done() {
    let Some(pipe) = pipe("seen") else { return };
    let program = env!("CARGO_BIN_EXE_neural-collapse");
    // `script` runs the program on a terminal and passes on what that shows.
    let child = Command::new("script")
        .args(["-qec", &format!("'{program}' audit '{}'", pipe.display()), "/dev/null"])
        .env("TERM", "xterm")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn();
    let Ok(mut child) = child else { return };
    // If it shows nothing the test fails, but ends.
    release_after(pipe.clone(), 30);
    let (mut output, mut bytes, mut chunk) = (child.stdout.take().unwrap(), Vec::new(), [0; 256]);
    while !String::from_utf8_lossy(&bytes).contains("reading, ") {
        let length = output.read(&mut chunk).unwrap();
        assert!(length > 0, "{:?}", String::from_utf8_lossy(&bytes));
        bytes.extend_from_slice(&chunk[..length]);
    }
    release(&pipe);
    output.read_to_end(&mut bytes).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(1));
    let shown = text(&bytes);
    // The line is wiped before the error is printed.
    let (_, end) = shown.rsplit_once("\u{1b}[2K").unwrap();
    let error = format!("error: {}: cannot be read", pipe.display());
    assert!(end.trim_start().starts_with(&error), "{shown:?}");
    assert_eq!(end.matches('\n').count(), 1, "{shown:?}");
}

#[test]
fn a_pipe_sees_nothing() {
    let Some(pipe) = pipe("unseen") else { return };
    // Longer than the program waits before it shows anything on a terminal.
    release_after(pipe.clone(), 2);
    let output = command(&format!("audit {}", pipe.display())).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let shown = text(&output.stderr);
    assert!(shown.starts_with(&format!("error: {}: cannot be read", pipe.display())), "{shown:?}");
    assert_eq!(shown.matches('\n').count(), 1, "{shown:?}");
}

//! The command line of `neural-collapse`.

fn main() {}

//! The README of the project and that of the program show what the program really prints.

use crate::support::{run, text};

/// A command in the README and the lines that follow it.
#[derive(Debug, PartialEq)]
struct Example {
    arguments: String,
    output: String,
}

/// What a command line begins with.
const PROGRAM: &str = "$ cargo run --release -- ";

/// The runs of the program in the blocks of a Markdown text that are marked as `console`.
fn examples(markdown: &str) -> Vec<Example> {
    let blocks = markdown.split("```console\n").skip(1);
    blocks
        .filter_map(|block| block.split_once("\n```"))
        .flat_map(|(block, _)| commands(block))
        .collect()
}

fn commands(block: &str) -> Vec<Example> {
    // A command may go on in the next line, as in a shell.
    let block = format!("\n{}", block.replace("\\\n", " "));
    let commands = block.split("\n$ ").skip(1);
    let examples = commands.filter_map(|text| {
        let (command, output) = text.split_once('\n').unwrap_or((text, ""));
        let arguments = format!("$ {command}").strip_prefix(PROGRAM)?.to_string();
        Some(Example { arguments, output: output.trim_end().to_string() })
    });
    examples.collect()
}

#[test]
fn the_readme_shows_what_the_program_prints() {
    let own = concat!(env!("CARGO_MANIFEST_DIR"), "/README.md");
    let of_the_project = concat!(env!("CARGO_MANIFEST_DIR"), "/../README.md");
    // A package without the project around it has one of them to compare.
    for readme in
        [own, of_the_project].into_iter().filter_map(|path| std::fs::read_to_string(path).ok())
    {
        shows_what_the_program_prints(&readme);
    }
}

fn shows_what_the_program_prints(readme: &str) {
    for Example { arguments, output } in examples(readme) {
        let printed = run(&arguments);
        assert!(printed.status.success(), "{arguments}: {}", text(&printed.stderr));
        let printed = text(&printed.stdout).trim_end();
        // A command may stand without what it prints.
        let agrees = output.is_empty() || printed == output;
        assert!(agrees, "{PROGRAM}{arguments} prints\n{printed}\nthe README shows\n{output}");
    }
}

#[test]
fn examples_are_found() {
    let markdown = "\
# Title
```console
$ ls
data
$ cargo run --release -- predict \\
    --depth 1
 table

 end
$ cargo run --release -- --version
```
```rust
$ cargo run --release -- not this
```
";
    let example = |arguments: &str, output: &str| Example {
        arguments: arguments.into(),
        output: output.into(),
    };
    let expected = [example("predict      --depth 1", " table\n\n end"), example("--version", "")];
    assert_eq!(examples(markdown), expected);
}

"""A random sample of mutants in one build: python tests/mutants.py 200 [SEED] [TREE] [--file 'src/measure/*.rs' …]

cargo-mutants compiles the crate once for each mutant, which takes most of the time. Here all mutants of a sample are
compiled at once, each behind a question whether it is the one that NC_MUTANT names, and a mutant is tried on the tests that
reach its function alone: first the unit tests and the integration tests that `.cargo/mutants.toml` does not skip, then
the examples of the documentation. 200 mutants take some fifteen minutes on two cores.

TREE is a clone that is written to (target/mutants/tree by default); what follows it is passed on to cargo-mutants. Results
are appended to target/mutants/SEED.jsonl, and survivors are printed. Needs cargo-mutants on the path; mutants of
constants, and of functions that return `impl Trait`, are left out, and those that do not compile are no mutants.
"""

import collections
import concurrent.futures
import json
import os
import pathlib
import random
import re
import select
import signal
import subprocess
import sys
import tempfile
import time
import tomllib

ROOT = pathlib.Path(__file__).resolve().parent.parent
PACKAGE = ["-p", "neural-collapse", "--all-features"]
SWITCH = """
#[doc(hidden)]
#[allow(missing_docs, clippy::all)]
pub fn mutant_active(id: u32) -> bool {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicBool, Ordering};
    static ACTIVE: OnceLock<u32> = OnceLock::new();
    static RECORD: OnceLock<Option<String>> = OnceLock::new();
    static SEEN: [AtomicBool; 4096] = [const { AtomicBool::new(false) }; 4096];
    let asked = || std::env::var("NC_MUTANT").ok().and_then(|id| id.parse().ok());
    let active = *ACTIVE.get_or_init(|| asked().unwrap_or(u32::MAX));
    if active == u32::MAX && !SEEN[id as usize].swap(true, Ordering::Relaxed) {
        if let Some(path) = RECORD.get_or_init(|| std::env::var("NC_RECORD").ok()) {
            use std::io::Write;
            let file = std::fs::OpenOptions::new().create(true).append(true).open(path);
            let _ = file.and_then(|mut file| writeln!(file, "{id}"));
        }
    }
    active == id
}
"""


def run(*command, **options):
    return subprocess.run(command, capture_output=True, text=True, **options)


def offset(lines, position):
    return sum(len(line) for line in lines[: position["line"] - 1]) + position["column"] - 1


def body(text, start, end, name):
    """Where a function begins, and the braces of its body."""
    found = re.search(r"\bfn\s+" + re.escape(name) + r"\b", text[start:end])
    if not found:
        return None
    at, depth = start + found.end(), 0
    while at < end and not (text[at] == "{" and depth == 0):
        depth += {"(": 1, "[": 1, ")": -1, "]": -1}.get(text[at], 0)
        at += 1
    return start + found.start(), at, end


def mutated(text, mutants, dropped):
    """The text of a file with all mutants of it, each in a copy of the body of its function."""
    lines, groups = text.splitlines(keepends=True), collections.defaultdict(list)
    for mutant in mutants:
        function = mutant["function"]
        if function is None:
            dropped[mutant["id"]] = "constant"
            continue
        name = function["function_name"].split("::")[-1]
        start, end = (offset(lines, function["span"][side]) for side in ("start", "end"))
        found = body(text, start, end, name)
        if found is None or re.search(r"->[^{]*\bimpl\b", text[start : found[1]]):
            dropped[mutant["id"]] = "form of the function"
            continue
        groups[found[1:]].append((mutant, found[0]))
    for (start, end), members in sorted(groups.items(), reverse=True):
        inner, new = text[start:end], "{ "
        for mutant, _ in members:
            first, last = (offset(lines, mutant["span"][side]) - start for side in ("start", "end"))
            changed = inner[:first] + mutant["replacement"] + inner[last:]
            number = mutant["id"]
            new += f"if crate::mutant_active({number}) {{ /*M{number}B*/\n{changed}\n/*M{number}E*/ }} else "
        # A constant function cannot ask.
        line = text.rfind("\n", 0, members[0][1]) + 1
        head = text[line:start].replace("const fn", "fn", 1)
        text = text[:line] + head + new + inner + " }" + text[end:]
    return text


def write(tree, mutants, dropped):
    """Writes all mutants that were not dropped; the lines of each."""
    subprocess.run(["git", "checkout", "-q", "--", "src"], cwd=tree, check=True)
    files, ranges = collections.defaultdict(list), {}
    for mutant in mutants:
        if mutant["id"] not in dropped:
            files[mutant["file"]].append(mutant)
    for name, members in files.items():
        text = mutated((tree / name).read_text(), members, dropped)
        (tree / name).write_text(text)
        for number, line in enumerate(text.splitlines(), 1):
            for mutant, side in re.findall(r"/\*M(\d+)([BE])\*/", line):
                ranges.setdefault(int(mutant), [name, 0, 0])["_BE".index(side)] = number
    library = tree / "src/lib.rs"
    # `cargo check` does not find these; a test that reaches them fails.
    allowed = "#![allow(arithmetic_overflow, unconditional_panic)]\n"
    library.write_text(allowed + library.read_text() + SWITCH)
    return ranges


def drop_what_does_not_compile(tree, mutants, dropped):
    while True:
        ranges = write(tree, mutants, dropped)
        checked = run("cargo", "check", *PACKAGE, "--lib", "--message-format=json", cwd=tree)
        bad = set()
        for message in map(json.loads, checked.stdout.splitlines()):
            if message.get("reason") != "compiler-message" or message["message"]["level"] != "error":
                continue
            for span in message["message"]["spans"]:
                for mutant, (name, first, last) in ranges.items():
                    if span["file_name"] == name and first <= span["line_start"] <= last:
                        bad.add(mutant)
        if not bad:
            return
        dropped.update(dict.fromkeys(bad, "does not compile"))


def build(tree):
    """The test programs, unit tests first, and the program of the documentation's examples."""
    environment = dict(os.environ, CARGO_PROFILE_TEST_OPT_LEVEL="2")
    built = run(
        "cargo", "test", *PACKAGE, "--lib", "--test", "it", "--no-run", "--message-format=json",
        cwd=tree, env=environment,
    )
    assert built.returncode == 0, built.stderr
    programs = [json.loads(line) for line in built.stdout.splitlines()]
    programs = [p["executable"] for p in programs if p.get("executable") and p["profile"]["test"]]
    examples = ROOT / "target/mutants/examples"
    wrapper = ROOT / "target/mutants/rustdoc"
    options = f"-Z unstable-options --persist-doctests {examples}"
    wrapper.write_text(
        '#!/bin/sh\ncase " $* " in *" --test "*) RUSTC_BOOTSTRAP=1 exec rustdoc "$@" '
        f'{options};; *) exec rustdoc "$@";; esac\n'
    )
    wrapper.chmod(0o755)
    subprocess.run(["rm", "-rf", examples], check=True)
    examples.mkdir(parents=True)
    documented = run("cargo", "test", *PACKAGE, "--doc", cwd=tree, env=dict(environment, RUSTDOC=str(wrapper)))
    assert documented.returncode == 0, documented.stderr
    return sorted(programs, key=lambda path: "/it-" in path), [str(p) for p in examples.rglob("rust_out")]


def skipped():
    arguments = tomllib.loads((ROOT / ".cargo/mutants.toml").read_text())["additional_cargo_test_args"]
    # What reads the source files would see the mutants there.
    return ["architecture"] + [a.removeprefix("--skip=") for a in arguments if a.startswith("--skip=")]


def reached(tree, programs):
    """Each test with its time and the mutants whose functions it calls."""
    def record(job):
        program, test = job
        with tempfile.NamedTemporaryFile() as file:
            start = time.time()
            environment = dict(os.environ, NC_RECORD=file.name)
            done = run(program, "--exact", test, "--test-threads=1", cwd=tree, env=environment)
            seen = {int(line) for line in pathlib.Path(file.name).read_text().split()}
            assert done.returncode == 0, f"{test} fails without a mutant"
            return program, test, time.time() - start, seen

    skips, jobs = skipped(), []
    for program in programs:
        listed = run(program, "--list", cwd=tree).stdout.splitlines()
        tests = [line.removesuffix(": test") for line in listed if line.endswith(": test")]
        jobs += [(program, test) for test in tests if not any(skip in test for skip in skips)]
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(record, jobs))


def failing(command, tree, mutant, limit):
    """The first test that fails, or None."""
    environment = dict(os.environ, NC_MUTANT=str(mutant))
    process = subprocess.Popen(
        command, cwd=tree, env=environment, text=True, start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    )
    os.set_blocking(process.stdout.fileno(), False)
    start, output = time.time(), ""
    while True:
        if select.select([process.stdout], [], [], 1.0)[0]:
            text = process.stdout.read()
            output += text or ""
            if not text and process.poll() is not None:
                break
        failed = re.search(r"^test (.*) \.\.\. FAILED", output, re.MULTILINE)
        if failed or time.time() - start > limit:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            return failed[1] if failed else "takes too long"
    return None if process.returncode == 0 else f"exit code {process.returncode}"


def caught(mutant, tree, tests, examples):
    for program in dict.fromkeys(test[0] for test in tests):
        # Fast tests first.
        for least, most in [(0, 0.3), (0.3, 2), (2, float("inf"))]:
            mine = [t for t in tests if t[0] == program and mutant in t[3] and least <= t[2] < most]
            if mine:
                limit = 30 + 6 * sum(test[2] for test in mine)
                found = failing([program, "--exact", *(t[1] for t in mine)], tree, mutant, limit)
                if found:
                    return found
    return next(filter(None, (failing([program], tree, mutant, 120) for program in examples)), None)


def main():
    count, seed = int(sys.argv[1]), int((sys.argv[2:] or [time.time()])[0])
    directory = ROOT / "target/mutants"
    tree = pathlib.Path((sys.argv[3:] or [directory / "tree"])[0])
    directory.mkdir(parents=True, exist_ok=True)
    if not tree.exists():
        subprocess.run(["git", "clone", "-q", ROOT, tree], check=True)
    subprocess.run(["git", "checkout", "-q", "--", "src"], cwd=tree, check=True)
    subprocess.run(["git", "pull", "-q", "--ff-only", ROOT, "HEAD"], cwd=tree, check=True)
    listed = run("cargo", "mutants", "--list", "--json", *PACKAGE, *sys.argv[4:], cwd=tree)
    everything = json.loads(listed.stdout)
    random.Random(seed).shuffle(everything)
    mutants, dropped = [dict(m, id=i) for i, m in enumerate(everything[:count])], {}
    drop_what_does_not_compile(tree, mutants, dropped)
    mutants = [mutant for mutant in mutants if mutant["id"] not in dropped]
    print(f"seed {seed}: {len(mutants)} of {count} of {len(everything)} mutants are viable", flush=True)
    programs, examples = build(tree)
    tests, found = reached(tree, programs), 0
    with open(directory / f"{seed}.jsonl", "a") as results:
        for mutant in mutants:
            by = caught(mutant["id"], tree, tests, examples)
            found += by is not None
            print(json.dumps({"name": mutant["name"], "caught": by}), file=results, flush=True)
            if by is None:
                print("survives:", mutant["name"], flush=True)
    print(f"{found} of {len(mutants)} caught: {found / len(mutants):.1%}")


main()

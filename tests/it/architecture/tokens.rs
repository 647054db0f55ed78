//! Rust source as a list of words, without comments, strings and tests.

/// The tokens of a source: identifiers, numbers, `::`, and other signs one by one. What is under
/// `#[cfg(test)]` is left out.
pub fn tokens(source: &str) -> Vec<&str> {
    without_tests(&all_tokens(source))
}

fn all_tokens(source: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut rest = source.trim_start();
    while !rest.is_empty() {
        let skipped = comment(rest).or_else(|| literal(rest));
        let length = skipped.unwrap_or_else(|| word(rest));
        if skipped.is_none() {
            found.push(&rest[..length]);
        }
        rest = rest[length..].trim_start();
    }
    found
}

/// Length of the comment at the beginning.
fn comment(rest: &str) -> Option<usize> {
    if rest.starts_with("//") {
        return Some(rest.find('\n').unwrap_or(rest.len()));
    }
    if !rest.starts_with("/*") {
        return None;
    }
    let (mut depth, mut at) = (0, 0);
    while let Some(offset) = rest[at..].find(['/', '*']) {
        at += offset;
        match rest[at..].get(..2) {
            Some("/*") => (depth, at) = (depth + 1, at + 2),
            Some("*/") => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return Some(at);
        }
    }
    Some(rest.len())
}

/// Length of the string or character at the beginning.
fn literal(rest: &str) -> Option<usize> {
    let unprefixed = rest.trim_start_matches(['b', 'c']);
    let prefix = rest.len() - unprefixed.len();
    if let Some(raw) = unprefixed.strip_prefix('r') {
        let hashes = raw.len() - raw.trim_start_matches('#').len();
        if raw[hashes..].starts_with('"') {
            let end = format!("\"{}", &raw[..hashes]);
            let body = &raw[hashes + 1..];
            let length = body.find(&end).map_or(body.len(), |at| at + end.len());
            return Some(prefix + 1 + hashes + 1 + length);
        }
    }
    if unprefixed.starts_with('"') {
        return Some(prefix + quoted(unprefixed, '"'));
    }
    // A lifetime has no second quote.
    let mut signs = unprefixed.chars();
    let is_character =
        signs.next() == Some('\'') && (signs.next() == Some('\\') || signs.next() == Some('\''));
    is_character.then(|| prefix + quoted(unprefixed, '\''))
}

/// Length of a text in quotes with escapes.
fn quoted(rest: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, sign) in rest.char_indices().skip(1) {
        match sign {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if sign == quote => return at + sign.len_utf8(),
            _ => {}
        }
    }
    rest.len()
}

/// Length of the token at the beginning, which is no comment and no literal.
fn word(rest: &str) -> usize {
    let is_part = |sign: char| sign.is_alphanumeric() || sign == '_';
    match rest.find(|sign| !is_part(sign)) {
        Some(0) if rest.starts_with("::") => 2,
        Some(0) => rest.chars().next().map_or(1, char::len_utf8),
        Some(length) => length,
        None => rest.len(),
    }
}

const TEST: [&str; 7] = ["#", "[", "cfg", "(", "test", ")", "]"];

fn without_tests<'a>(tokens: &[&'a str]) -> Vec<&'a str> {
    let (mut kept, mut at) = (Vec::new(), 0);
    while at < tokens.len() {
        if tokens[at..].starts_with(&TEST) {
            at += TEST.len() + item(&tokens[at + TEST.len()..]);
        } else {
            kept.push(tokens[at]);
            at += 1;
        }
    }
    kept
}

/// Number of tokens of the item at the beginning: up to a semicolon or a closing brace outside of brackets.
fn item(tokens: &[&str]) -> usize {
    let mut depth = 0_i32;
    for (at, &token) in tokens.iter().enumerate() {
        depth += match token {
            "(" | "[" | "{" => 1,
            ")" | "]" | "}" => -1,
            _ => 0,
        };
        if depth == 0 && matches!(token, ";" | "}") {
            return at + 1;
        }
    }
    tokens.len()
}

#[test]
fn comments_literals_and_tests_are_no_code() {
    let source = r##"
        //! use crate::a;
        use b::{c}; /* /* nested */ use d; */
        #[cfg(test)] #[allow(dead_code)] mod tests { use super::*; fn f(x: [u8; 2]) {} }
        fn g<'a>() { ("use \" e", 'f', '\'', b"g", r#"use "h"#, br"i"); j::<'a> }
    "##;
    let expected = "use b :: { c } ; fn g < ' a > ( ) { ( , , , , , ) ; j :: < ' a > }";
    assert_eq!(tokens(source).join(" "), expected);
}

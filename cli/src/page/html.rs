//! The parts that pages are made of.

use std::fmt::Write;

use crate::pictures::{Picture, escaped, style_of_page};
use crate::tables::{format_number, format_residual, shortest_number};

/// A page in the making.
pub(crate) struct Page {
    title: String,
    body: String,
}

impl Page {
    /// A page with a title and the sentence that matters most.
    pub(crate) fn new(title: &str, verdict: &str) -> Self {
        let mut page = Self { title: title.into(), body: String::new() };
        page.push(&format!("<h1>{}</h1>\n", escaped(title)));
        page.push(&format!("<p class=\"verdict\">{}</p>\n", escaped(verdict)));
        page
    }

    fn push(&mut self, html: &str) {
        self.body.push_str(html);
    }

    /// A heading.
    pub(crate) fn heading(&mut self, text: &str) {
        self.push(&format!("<h2>{}</h2>\n", escaped(text)));
    }

    /// A paragraph.
    pub(crate) fn paragraph(&mut self, text: &str) {
        self.push(&format!("<p>{}</p>\n", escaped(text)));
    }

    /// A list of sentences.
    pub(crate) fn list(&mut self, items: &[String]) {
        let items: String =
            items.iter().map(|item| format!("<li>{}</li>\n", escaped(item))).collect();
        self.push(&format!("<ul>\n{items}</ul>\n"));
    }

    /// Pictures side by side, as many as there is room for, with what is to be said of each.
    pub(crate) fn figures(&mut self, pictures: Vec<(Picture, String)>, are_small: bool) {
        if pictures.is_empty() {
            return;
        }
        let class = if are_small { "figures small" } else { "figures" };
        self.push(&format!("<div class=\"{class}\">\n"));
        for (picture, caption) in pictures {
            let title = escaped(&picture.title);
            let svg = picture.into_svg();
            let caption = escaped(&caption);
            self.push(&format!(
                "<figure>{svg}<figcaption><strong>{title}.</strong> {caption}</figcaption></figure>\n"
            ));
        }
        self.push("</div>\n");
    }

    /// A table; one whose rows can be sorted if its `columns` are buttons.
    pub(crate) fn table(
        &mut self,
        caption: &str,
        columns: &[&str],
        rows: &[Vec<Entry>],
        sorts: bool,
    ) {
        let is_text = |column: usize| {
            let entry = rows.first().and_then(|row| row.get(column));
            entry.is_some_and(|entry| matches!(entry, Entry::Text(_)))
        };
        let heading = |(column, name): (usize, &&str)| {
            let class = if is_text(column) { " class=\"text\"" } else { "" };
            let name = match sorts {
                true => format!("<button type=\"button\">{}</button>", escaped(name)),
                false => escaped(name),
            };
            format!("<th scope=\"col\"{class}>{name}</th>")
        };
        let headings: String = columns.iter().enumerate().map(heading).collect();
        self.push(&format!(
            "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"{0}\">\n<table><caption>{0}</caption>\
             <thead><tr>{headings}</tr></thead>\n<tbody>\n",
            escaped(caption)
        ));
        for row in rows {
            self.push("<tr>");
            row.iter().for_each(|entry| entry.write(&mut self.body));
            self.push("</tr>\n");
        }
        self.push("</tbody></table></div>\n");
    }

    /// The whole page, with the command that made it and the JSON object that its numbers are from.
    pub(crate) fn finish(mut self, command: &str, json: Option<&str>) -> String {
        self.heading("How this page was made");
        self.push(&format!("<pre>{}</pre>\n", escaped(command)));
        let version = env!("CARGO_PKG_VERSION");
        self.push(&format!("<p class=\"muted\">neural-collapse {version}</p>\n"));
        if let Some(json) = json {
            // A text in it must not end the element.
            let json = json.replace("</", "<\\/").replace("<!--", "<\\u0021--");
            self.push(&format!(
                "<script type=\"application/json\" id=\"numbers\">{json}</script>\n"
            ));
        }
        format!(
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n\
             <link rel=\"icon\" href=\"data:,\">\n<title>{}</title>\n<style>\n{}{}</style>\n</head>\n<body>\n<main>\n\
             {}</main>\n<script>\n{}</script>\n</body>\n</html>\n",
            escaped(&self.title),
            style_of_page(),
            include_str!("style.css"),
            self.body,
            include_str!("script.js")
        )
    }
}

/// An entry of a table.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Entry {
    /// Words.
    Text(String),
    /// A whole number.
    Count(u64),
    /// A number, with its path in the JSON object.
    Number(Option<f64>, String),
    /// A number as it was given, with its path in the JSON object.
    Given(Option<f64>, String),
    /// A number that would ideally be zero, with its path in the JSON object.
    Residual(Option<f64>, String),
    /// A number that is not in the JSON object.
    Derived(Option<f64>),
}

impl Entry {
    fn write(&self, html: &mut String) {
        let cell = match self {
            Self::Text(text) => format!("<td class=\"text\">{}</td>", escaped(text)),
            Self::Count(count) => format!("<td data-sort=\"{count}\">{count}</td>"),
            Self::Number(value, path) => data_cell(*value, Some(path), format_number),
            Self::Given(value, path) => data_cell(*value, Some(path), shortest_number),
            Self::Residual(value, path) => data_cell(*value, Some(path), format_residual),
            Self::Derived(value) => data_cell(*value, None, format_residual),
        };
        html.push_str(&cell);
    }
}

/// A number with all its digits for machines and some of them for readers.
fn data_cell(value: Option<f64>, path: Option<&str>, format: fn(f64) -> String) -> String {
    let Some(value) = value.filter(|value| value.is_finite()) else {
        return "<td data-sort=\"\">–</td>".into();
    };
    let mut key = String::new();
    if let Some(path) = path {
        // Writing to a string cannot fail.
        let _ = write!(key, " data-key=\"{}\"", escaped(path));
    }
    let text = escaped(&format(value));
    format!("<td data-sort=\"{value:e}\"><data value=\"{value:e}\"{key}>{text}</data></td>")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_asks_for_nothing_from_elsewhere() {
        let mut page = Page::new("a <b>", "it is so");
        page.table("numbers", &["x"], &[vec![Entry::Number(Some(0.1), "loss".into())]], true);
        let html = page.finish("neural-collapse report 'a b'", Some("{\"a\":\"</script>\"}"));
        assert!(html.contains("a &lt;b&gt;") && html.contains("<\\/script>\"}"));
        assert!(html.contains("<data value=\"1e-1\" data-key=\"loss\">0.100000</data>"));
        for outside in ["http:", "https:", "src=", "@import", "url("] {
            let own = html.replace("http://www.w3.org/2000/svg", "");
            assert!(!own.contains(outside), "{outside}");
        }
    }
}

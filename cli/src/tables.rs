//! Tables for humans: numbers aligned at the decimal point, equal classes in one row, long lists cut.

use comfy_table::{CellAlignment, LineStyle, Table, TableStyle};

/// More rows than these are cut in the middle.
const MAX_ROWS: usize = 40;

/// Characters in a line of text.
const MAX_WIDTH: usize = 100;

/// Digits of a number in a table.
const SIGNIFICANT_DIGITS: usize = 6;

/// Digits of a number that is small for a network that fits the theory.
const RESIDUAL_DIGITS: usize = 3;

/// Residuals below this are rounding errors, which differ from one machine to the next.
pub(crate) const NEGLIGIBLE: f64 = 1e-12;

/// Nothing but a line below the headings: every row is easy to select and to copy.
const STYLE: TableStyle =
    TableStyle::new().header_separator(LineStyle::none().fill('─').junction('─'));

/// One cell of a table.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Cell {
    /// Text, aligned to the left.
    Text(String),
    /// A number, aligned at the decimal point; `None` is shown as a dash.
    Number(Option<f64>),
    /// A dimensionless number that would ideally be zero, as [`format_residual`] shows it; `None` is
    /// shown as a dash.
    Residual(Option<f64>),
    /// A number that is zero but for rounding errors.
    NearZero,
    /// A whole number, aligned to the right.
    Count(u64),
}

impl Cell {
    fn is_text(&self) -> bool {
        matches!(self, Self::Text(_))
    }

    fn has_decimal_point(&self) -> bool {
        matches!(self, Self::Number(_) | Self::Residual(_) | Self::NearZero)
    }

    fn to_text(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Number(number) => number.map_or("–".into(), format_number),
            Self::Residual(number) => number.map_or("–".into(), format_residual),
            Self::NearZero => "≈ 0".into(),
            Self::Count(count) => count.to_string(),
        }
    }
}

/// A number with six significant digits, trailing zeros kept so that columns line up.
pub(crate) fn format_number(number: f64) -> String {
    format_digits(number, SIGNIFICANT_DIGITS)
}

/// A residual with three significant digits, or only its bound if it is as small as rounding errors.
pub(crate) fn format_residual(number: f64) -> String {
    if number.abs() < NEGLIGIBLE {
        return format!("< {NEGLIGIBLE:e}");
    }
    format_digits(number, RESIDUAL_DIGITS)
}

fn format_digits(number: f64, digits: usize) -> String {
    if number == 0.0 {
        return "0".into();
    }
    if !number.is_finite() {
        return number.to_string();
    }
    let scientific = format!("{number:.*e}", digits - 1);
    // The exponent after rounding: 999999.9 has seven digits before its point.
    let exponent = scientific.split_once('e').and_then(|(_, exponent)| exponent.parse().ok());
    match exponent {
        Some(exponent @ -3..=5) => {
            let decimals = (digits as i32 - 1 - exponent).max(0);
            format!("{number:.*}", decimals as usize)
        }
        _ => scientific,
    }
}

/// A number as it was typed: the fewest digits that tell it from its neighbors.
pub(crate) fn shortest_number(number: f64) -> String {
    match number.abs() {
        0.0 | 1e-4..1e6 => number.to_string(),
        _ => format!("{number:e}"),
    }
}

/// A text with a capital letter at its beginning.
pub(crate) fn capitalized(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|letter| letter.to_uppercase().to_string()).unwrap_or_default();
    first + letters.as_str()
}

/// Equal consecutive items of a list.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Run<T> {
    /// Index of the first.
    pub(crate) first: usize,
    /// How many there are.
    pub(crate) length: usize,
    /// The item.
    pub(crate) item: T,
}

impl<T> Run<T> {
    /// `7`, or `0–599 (600)`.
    pub(crate) fn label(&self) -> String {
        match self.length {
            1 => self.first.to_string(),
            length => format!("{}–{} ({length})", self.first, self.first + (length - 1)),
        }
    }
}

/// Merges equal neighbors of a list of items, each with the number of times it is repeated.
pub(crate) fn merge_equal<T: PartialEq>(
    items: impl IntoIterator<Item = (usize, T)>,
) -> Vec<Run<T>> {
    let mut runs: Vec<Run<T>> = Vec::new();
    let mut first = 0;
    for (length, item) in items {
        match runs.last_mut() {
            Some(run) if run.item == item => run.length += length,
            _ => runs.push(Run { first, length, item }),
        }
        first += length;
    }
    runs
}

/// A table of numbered items, such as classes: a row for each run, the first column its numbers.
///
/// `name` heads the first column, `headings` the cells that `cells` makes of an item.
pub(crate) fn numbered_table<T>(
    name: &str,
    headings: &[&str],
    runs: &[Run<T>],
    cells: impl Fn(&T) -> Vec<Cell>,
) -> String {
    let numbered = |run: &Run<T>| {
        let mut row = vec![Cell::Text(run.label())];
        row.extend(cells(&run.item));
        row
    };
    let headings: Vec<_> = std::iter::once(name).chain(headings.iter().copied()).collect();
    let [head, tail] = visible(runs);
    let rows: Vec<_> = head.iter().chain(tail).map(numbered).collect();
    let hidden = runs.len() - rows.len();
    render(&headings, &rows, (hidden > 0).then(|| (head.len(), format!("… {hidden} rows hidden"))))
}

/// A table of a few rows, all of them shown.
pub(crate) fn plain_table(headings: &[&str], rows: &[Vec<Cell>]) -> String {
    render(headings, rows, None)
}

/// Breaks a text into lines that fit under the tables.
pub(crate) fn wrap(text: &str) -> String {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= MAX_WIDTH => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.into()),
        }
    }
    lines.join("\n")
}

/// The rows shown: all, or the first and the last ones.
fn visible<T>(rows: &[T]) -> [&[T]; 2] {
    if rows.len() <= MAX_ROWS {
        return [rows, &[]];
    }
    let half = MAX_ROWS / 2;
    [&rows[..half], &rows[rows.len() - half..]]
}

/// Lays a table out; `gap` is a note and the number of rows above it.
fn render(headings: &[&str], rows: &[Vec<Cell>], gap: Option<(usize, String)>) -> String {
    let mut table = Table::new();
    table.load_style(STYLE);
    table.set_header(headings.iter().copied());
    let columns: Vec<_> = (0..headings.len()).map(|column| column_texts(rows, column)).collect();
    for row in 0..rows.len() {
        if let Some((_, note)) = gap.as_ref().filter(|(above, _)| *above == row) {
            table.add_row([note]);
        }
        table.add_row(columns.iter().map(|column| &column[row]));
    }
    for (index, column) in table.column_iter_mut().enumerate() {
        if rows.iter().any(|row| row.get(index).is_some_and(|cell| !cell.is_text())) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table.trim_fmt()
}

/// The texts of a column, padded on the right so that their decimal points line up.
fn column_texts(rows: &[Vec<Cell>], column: usize) -> Vec<String> {
    let cells = || rows.iter().map(|row| row.get(column));
    let decimals = |cell: &Cell| match cell.has_decimal_point() {
        true => width_after_units(&cell.to_text()),
        false => 0,
    };
    let widest = cells().flatten().map(decimals).max().unwrap_or(0);
    let padded = |cell: &Cell| match cell.has_decimal_point() {
        true => format!("{}{}", cell.to_text(), " ".repeat(widest - decimals(cell))),
        false => cell.to_text(),
    };
    cells().map(|cell| cell.map_or(String::new(), padded)).collect()
}

/// Characters after the digit before the decimal point, whether there is a point or not: `e-12` in `< 1e-12`.
fn width_after_units(text: &str) -> usize {
    let is_digit = |character: char| character.is_ascii_digit();
    let number = text.trim_start_matches(|character| !is_digit(character));
    number.trim_start_matches(is_digit).len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_six_significant_digits() {
        for (number, text) in [
            (0.0, "0"),
            (1.0, "1.00000"),
            (-0.001, "-0.00100000"),
            (123_456.7, "123457"),
            (999_999.7, "1.00000e6"),
            (5e-4, "5.00000e-4"),
            (0.999_999_96, "1.00000"),
            (1e300, "1.00000e300"),
            (f64::INFINITY, "inf"),
        ] {
            assert_eq!(format_number(number), text);
        }
    }

    #[test]
    fn residuals_at_rounding_level_are_only_bounded() {
        for (number, text) in [
            (0.0, "< 1e-12"),
            (-4.8e-15, "< 1e-12"),
            (1.234_56e-7, "1.23e-7"),
            (-0.012_34, "-0.0123"),
            (1.0, "1.00"),
        ] {
            assert_eq!(format_residual(number), text);
        }
        assert_eq!(width_after_units("< 1e-12"), width_after_units("2.e-7"));
    }

    #[test]
    fn settings_are_shown_as_they_were_typed() {
        for (number, text) in
            [(5e-4, "0.0005"), (1e-5, "1e-5"), (1e-320, "1e-320"), (2.0, "2"), (0.0, "0")]
        {
            assert_eq!(shortest_number(number), text);
        }
    }

    #[test]
    fn texts_are_wrapped_between_words() {
        let text = "σ ".repeat(60) + &"x".repeat(120) + " end";
        let lines = wrap(&text);
        let widths: Vec<_> = lines.lines().map(|line| line.chars().count()).collect();
        assert_eq!(widths, [99, 19, 120, 3]);
        assert_eq!(lines.replace('\n', " "), text);
    }

    #[test]
    fn equal_neighbors_are_merged() {
        let runs = merge_equal([(600, 'a'), (1, 'b'), (2, 'a'), (1, 'a')]);
        let labels: Vec<_> = runs.iter().map(Run::label).collect();
        assert_eq!(labels, ["0–599 (600)", "600", "601–603 (3)"]);
    }

    #[test]
    fn decimal_points_line_up() {
        let runs = merge_equal([(1, 12.5), (1, 0.25), (1, 1e-9)]);
        let table = numbered_table("class", &["x"], &runs, |&x| vec![Cell::Number(Some(x))]);
        let column_of_point = |line: &&str| line.chars().position(|character| character == '.');
        let points: Vec<_> =
            table.lines().collect::<Vec<_>>().iter().filter_map(column_of_point).collect();
        assert_eq!(points.len(), 3, "{table}");
        assert!(points.iter().all(|&point| point == points[0]), "{table}");
    }

    #[test]
    fn long_tables_are_cut_in_the_middle() {
        let runs = merge_equal((0..1000_u64).map(|size| (1, size)));
        let table = numbered_table("class", &["count"], &runs, |&size| vec![Cell::Count(size)]);
        assert_eq!(table.matches("… 960 rows hidden").count(), 1, "{table}");
        assert!(
            table.contains(" 19 ") && !table.contains(" 20 ") && table.contains(" 980 "),
            "{table}"
        );
    }
}

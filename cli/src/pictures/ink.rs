//! Colors.

use std::fmt::Write;
use std::sync::Arc;

use kuva::prelude::{ColorMap, Theme};

/// Where the colors of a picture come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ink {
    /// The picture has its own, on white.
    Own,
    /// They are variables of the style sheet of a page.
    OfPage,
}

/// A color with its use: the name of a variable, and what it is on white and on black.
struct Tint {
    name: &'static str,
    light: &'static str,
    dark: &'static str,
}

/// What is not data.
const TEXT: Tint = Tint { name: "text", light: "#1a1c1f", dark: "#e8eaed" };
const MUTED: Tint = Tint { name: "muted", light: "#5b6168", dark: "#a7adb5" };
const GRID: Tint = Tint { name: "grid", light: "#e3e6e9", dark: "#34393f" };
const PAPER: Tint = Tint { name: "paper", light: "#ffffff", dark: "#16181b" };

/// The colors of Okabe and Ito, which people with any color vision tell apart, lighter on black.
const SERIES: [Tint; 7] = [
    Tint { name: "series-0", light: "#0072b2", dark: "#62b6f0" },
    Tint { name: "series-1", light: "#d55e00", dark: "#ff9350" },
    Tint { name: "series-2", light: "#009e73", dark: "#35c9a0" },
    Tint { name: "series-3", light: "#a8487f", dark: "#e59bc9" },
    Tint { name: "series-4", light: "#b07d00", dark: "#efbd4a" },
    Tint { name: "series-5", light: "#2e7fa8", dark: "#9bd4f5" },
    Tint { name: "series-6", light: "#4d4d4d", dark: "#c9c9c9" },
];

/// Blue below zero, vermilion above it.
const BELOW: Tint = Tint { name: "below", light: "#00558c", dark: "#6fc0fb" };
const ZERO: Tint = Tint { name: "zero", light: "#f4f4f2", dark: "#24272b" };
const ABOVE: Tint = Tint { name: "above", light: "#b34a00", dark: "#ffa066" };

/// Steps of a color scale to each side of zero.
const STEPS: i32 = 20;

impl Ink {
    fn color(self, tint: &Tint) -> String {
        match self {
            Self::Own => tint.light.into(),
            Self::OfPage => format!("var(--{})", tint.name),
        }
    }

    /// What was measured.
    pub(crate) fn measured(self) -> String {
        self.series(0)
    }

    /// What is predicted.
    pub(crate) fn predicted(self) -> String {
        self.series(1)
    }

    /// One of several series.
    pub(crate) fn series(self, index: usize) -> String {
        self.color(&SERIES[index % SERIES.len()])
    }

    /// What stands out from all series.
    pub(crate) fn text(self) -> String {
        self.color(&TEXT)
    }

    /// Lines that explain.
    pub(crate) fn muted(self) -> String {
        self.color(&MUTED)
    }

    /// Axes, grid and text.
    pub(crate) fn theme(self) -> Theme {
        let (text, grid, paper) = (self.color(&TEXT), self.color(&GRID), self.color(&PAPER));
        let background = match self {
            Self::Own => paper.clone(),
            Self::OfPage => "none".into(),
        };
        Theme {
            background,
            axis_color: self.muted(),
            grid_color: grid.clone(),
            tick_color: self.muted(),
            text_color: text.clone(),
            legend_bg: "none".into(),
            legend_border: "none".into(),
            pie_leader: self.muted(),
            box_median: paper,
            violin_border: text,
            colorbar_border: grid,
            font_family: None,
            show_grid: true,
        }
    }

    /// The colors of a heat map whose values are from `lowest` to `highest`, on a scale from −1 to 1.
    pub(crate) fn heat(self, (lowest, highest): (f64, f64)) -> ColorMap {
        let level = move |share: f64| {
            let value = lowest + share * (highest - lowest);
            (f64::from(STEPS) * value).round().clamp(-f64::from(STEPS), f64::from(STEPS))
        };
        ColorMap::Custom(Arc::new(move |share| match self {
            Self::Own => mixed(level(share) as i32, |tint| tint.light),
            Self::OfPage => format!("var(--heat{})", level(share) as i32),
        }))
    }
}

/// The variables of a page: light, and dark where the reader's system is.
pub(crate) fn style_of_page() -> String {
    let light = variables(|tint| tint.light);
    let dark = variables(|tint| tint.dark);
    format!(
        ":root{{color-scheme:light dark;{light}}}\n@media (prefers-color-scheme:dark){{:root{{{dark}}}}}\n\
         @media print{{:root{{{light}}}}}\n"
    )
}

fn variables(side: fn(&Tint) -> &'static str) -> String {
    let mut text = String::new();
    for tint in [&TEXT, &MUTED, &GRID, &PAPER].into_iter().chain(&SERIES) {
        // Writing to a string cannot fail.
        let _ = write!(text, "--{}:{};", tint.name, side(tint));
    }
    for level in -STEPS..=STEPS {
        let _ = write!(text, "--heat{level}:{};", mixed(level, side));
    }
    text
}

/// The color of a step of the scale.
fn mixed(level: i32, side: fn(&Tint) -> &'static str) -> String {
    let end = if level < 0 { side(&BELOW) } else { side(&ABOVE) };
    let (zero, end) = (channels(side(&ZERO)), channels(end));
    let share = f64::from(level.abs()) / f64::from(STEPS);
    let [r, g, b] = [0, 1, 2].map(|i| (zero[i] + share * (end[i] - zero[i])).round() as u8);
    format!("#{r:02x}{g:02x}{b:02x}")
}

/// Red, green and blue of `#rrggbb`.
fn channels(color: &str) -> [f64; 3] {
    let number = u32::from_str_radix(color.trim_start_matches('#'), 16).unwrap_or_default();
    [16, 8, 0].map(|shift| f64::from((number >> shift) as u8))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scales_end_in_their_colors() {
        assert_eq!(mixed(-STEPS, |tint| tint.light), BELOW.light);
        assert_eq!(mixed(0, |tint| tint.dark), ZERO.dark);
        assert_eq!(mixed(STEPS, |tint| tint.dark), ABOVE.dark);
        let map = Ink::OfPage.heat((-0.5, 1.5));
        assert_eq!(map.map(0.25), "var(--heat0)");
        assert_eq!(map.map(1.0), format!("var(--heat{STEPS})"));
    }

    #[test]
    fn every_variable_is_defined() {
        let style = style_of_page();
        for name in ["text", "muted", "grid", "paper", "series-6", "heat-20", "heat0", "heat20"] {
            assert_eq!(style.matches(&format!("--{name}:")).count(), 3, "{name}");
        }
    }
}

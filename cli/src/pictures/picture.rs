//! A picture that is ready to be drawn.

use std::sync::Arc;

use kuva::backend::svg::SvgBackend;
use kuva::plot::LegendPosition;
use kuva::prelude::{Layout, Plot, TickFormat};
use kuva::render::render::{Primitive, Scene, render_multiple};

use super::ink::Ink;
use crate::error::CliError;
use crate::tables::shortest_number;

/// Pixels of a PNG for each unit of a picture.
const PNG_SCALE: f32 = 2.0;

/// Width and height of most pictures.
const SIZE: (f64, f64) = (460.0, 380.0);

/// A picture that is ready to be drawn.
pub(crate) struct Picture {
    /// What it shows.
    pub(crate) title: String,
    /// The same in words, for those who do not see it.
    pub(crate) description: String,
    ink: Ink,
    plots: Vec<Plot>,
    layout: Layout,
}

impl Picture {
    /// A picture of these plots, with names of its axes.
    pub(crate) fn new(
        title: impl Into<String>,
        description: impl Into<String>,
        plots: Vec<Plot>,
        [x, y]: [&str; 2],
        ink: Ink,
    ) -> Self {
        let layout = Layout::auto_from_plots(&plots)
            .with_width(SIZE.0)
            .with_height(SIZE.1)
            .with_x_label(x)
            .with_y_label(y)
            .with_legend_position(LegendPosition::OutsideBottomColumns)
            .with_legend_box(false)
            .with_label_size(13)
            .with_tick_size(11)
            .with_body_size(12)
            .with_theme(ink.theme());
        Self { title: title.into(), description: description.into(), ink, plots, layout }
    }

    /// The same with another layout.
    pub(crate) fn with_layout(mut self, change: impl FnOnce(Layout) -> Layout) -> Self {
        self.layout = change(self.layout);
        self
    }

    /// Logarithmic axes with powers of ten at their ticks.
    pub(crate) fn with_logarithmic(self, [x, y]: [bool; 2]) -> Self {
        let format = || TickFormat::Custom(Arc::new(tick));
        self.with_layout(|layout| {
            let layout = if x { layout.with_log_x().with_x_tick_format(format()) } else { layout };
            if y { layout.with_log_y().with_y_tick_format(format()) } else { layout }
        })
    }

    fn scene(self, with_title: bool) -> (Scene, String, String) {
        let layout = match with_title {
            true => self.layout.with_title(&*self.title).with_title_size(15),
            false => self.layout,
        };
        let mut scene = render_multiple(self.plots, layout);
        scene.height = scene.height.max(lowest_text(&scene) + 10.0);
        (scene, self.title, self.description)
    }

    /// The picture for a page or a file of its own, as its ink wants it.
    pub(crate) fn into_svg(self) -> String {
        let of_page = self.ink == Ink::OfPage;
        let (scene, title, description) = self.scene(!of_page);
        let size = (scene.width, scene.height);
        accessible(&SvgBackend::new().render_scene(&scene), size, &title, &description, of_page)
    }

    /// The picture as a PNG.
    pub(crate) fn into_png(self) -> Result<Vec<u8>, CliError> {
        let (scene, ..) = self.scene(true);
        kuva::RasterBackend::new()
            .with_scale(PNG_SCALE)
            .render_scene(&scene)
            .map_err(|reason| CliError::Argument { name: "the picture".into(), reason })
    }
}

/// Where the lowest line of text is: legends may be longer than there is room for.
fn lowest_text(scene: &Scene) -> f64 {
    let heights = scene.elements.iter().map(|element| match element {
        Primitive::Text { y, .. } => *y,
        _ => 0.0,
    });
    heights.fold(0.0, f64::max)
}

/// Adds title and description, and lets a page choose the size.
fn accessible(
    svg: &str,
    (width, height): (f64, f64),
    title: &str,
    description: &str,
    of_page: bool,
) -> String {
    let body = svg.split_once('>').map_or(svg, |(_, body)| body);
    let size = match of_page {
        true => String::new(),
        false => format!(r#" width="{width}" height="{height}""#),
    };
    let family = match of_page {
        true => "inherit",
        false => "DejaVu Sans, Verdana, Liberation Sans, Arial, sans-serif",
    };
    let fill = if of_page { "var(--text)" } else { "#1a1c1f" };
    format!(
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}"{size} role="img" font-family="{family}" fill="{fill}"><title>{}</title><desc>{}</desc>{body}"#,
        escaped(title),
        escaped(description)
    )
}

/// Text in a page or picture.
pub(crate) fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            // Control characters are no text.
            character if character.is_control() && character != '\n' => escaped.push(' '),
            character => escaped.push(character),
        }
    }
    escaped
}

/// A number at a tick of a logarithmic axis.
fn tick(value: f64) -> String {
    let exponent = value.log10().round();
    let is_power = (value / 10_f64.powf(exponent) - 1.0).abs() < 1e-6;
    match is_power && exponent.abs() > 3.0 {
        true => format!("10{}", superscript(exponent as i32)),
        false => shortest_number(rounded(value)),
    }
}

/// A number with up to three digits.
pub(crate) fn short(value: f64) -> String {
    shortest_number(format!("{value:.2e}").parse().unwrap_or(value))
}

/// Two digits are enough for a tick.
fn rounded(value: f64) -> f64 {
    format!("{value:.1e}").parse().unwrap_or(value)
}

fn superscript(number: i32) -> String {
    let digit = |character: char| match character {
        '-' => '⁻',
        '1' => '¹',
        '2' => '²',
        '3' => '³',
        // The others follow each other from ⁰ on.
        other => char::from_u32(0x2070 + other.to_digit(10).unwrap_or(0)).unwrap_or(other),
    };
    number.to_string().chars().map(digit).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_short() {
        for (value, text) in
            [(1e-7, "10⁻⁷"), (1e12, "10¹²"), (0.01, "0.01"), (100.0, "100"), (2e-5, "2e-5")]
        {
            assert_eq!(tick(value), text);
        }
    }

    #[test]
    fn text_is_escaped() {
        assert_eq!(escaped("a<b & \"c\"\u{7}"), "a&lt;b &amp; &quot;c&quot; ");
    }
}

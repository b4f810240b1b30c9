//! Drawings: the few elements of SVG that charts need, with their styles by class.

use std::fmt::Write;

/// A place in a drawing: to the right, and down.
pub type Point = (f64, f64);

/// A drawing that grows element by element.
///
/// ```
/// use plot::svg::Svg;
///
/// let mut svg = Svg::new(100.0, 20.0);
/// svg.line("grid", (0.0, 10.0), (100.0, 10.0));
/// svg.text("name", (0.0, 12.0), "a < b");
/// let text = svg.finish();
/// assert!(text.starts_with("<svg ") && text.contains("a &lt; b") && text.ends_with("</svg>\n"));
/// ```
#[derive(Debug)]
pub struct Svg {
    text: String,
}

impl Svg {
    /// An empty drawing of that size. It can be part of a page, or be written to a file of its own.
    pub fn new(width: f64, height: f64) -> Svg {
        let mut svg = Svg { text: String::new() };
        svg.write(format_args!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" role=\"img\">"
        ));
        svg
    }

    /// The rules for the classes of elements, in CSS.
    pub fn style(&mut self, css: &str) {
        self.write(format_args!("<style>{css}</style>"));
    }

    /// What the drawing, or the group that was begun last, is called.
    pub fn title(&mut self, title: &str) {
        self.write(format_args!("<title>{}</title>", escaped(title)));
    }

    /// Draws a group of elements.
    pub fn group(&mut self, class: &str, draw: impl FnOnce(&mut Svg)) {
        self.write(format_args!("<g class=\"{class}\">"));
        draw(self);
        self.write(format_args!("</g>"));
    }

    /// A line of text, on the line that ends, begins or is centred at `at`, as its class says.
    pub fn text(&mut self, class: &str, at: Point, text: &str) {
        let (x, y) = at;
        self.write(format_args!(
            "<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\">{}</text>",
            escaped(text)
        ));
    }

    /// A line.
    pub fn line(&mut self, class: &str, (x1, y1): Point, (x2, y2): Point) {
        self.write(format_args!(
            "<line class=\"{class}\" x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\"/>"
        ));
    }

    /// A line through points.
    pub fn polyline(&mut self, class: &str, points: impl IntoIterator<Item = Point>) {
        let points: Vec<String> = points.into_iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        self.write(format_args!("<polyline class=\"{class}\" points=\"{}\"/>", points.join(" ")));
    }

    /// A dot.
    pub fn circle(&mut self, class: &str, (x, y): Point, radius: f64) {
        self.write(format_args!("<circle class=\"{class}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{radius}\"/>"));
    }

    /// A rectangle, from its upper left corner.
    pub fn rect(&mut self, class: &str, (x, y): Point, (width, height): (f64, f64)) {
        self.write(format_args!(
            "<rect class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\"/>"
        ));
    }

    /// The drawing as text.
    pub fn finish(mut self) -> String {
        self.write(format_args!("</svg>"));
        self.text
    }

    fn write(&mut self, element: std::fmt::Arguments<'_>) {
        writeln!(self.text, "{element}").expect("a string takes everything");
    }
}

/// Text as it is written in SVG and HTML.
pub fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_element_is_written_and_closed() {
        let mut svg = Svg::new(9.0, 9.0);
        svg.style(".a{}");
        svg.group("a", |svg| {
            svg.title("x & \"y\"");
            svg.circle("a", (1.0, 2.0), 3.0);
            svg.rect("a", (1.0, 2.0), (3.0, 4.0));
            svg.polyline("a", [(0.0, 0.0), (1.25, 2.0)]);
        });
        let text = svg.finish();
        for part in [
            "viewBox=\"0 0 9 9\"",
            "<title>x &amp; &quot;y&quot;</title>",
            "<circle class=\"a\" cx=\"1.0\" cy=\"2.0\" r=\"3\"/>",
            "<rect class=\"a\" x=\"1.0\" y=\"2.0\" width=\"3.0\" height=\"4.0\"/>",
            "points=\"0.0,0.0 1.2,2.0\"",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert_eq!(text.matches("<g ").count(), text.matches("</g>").count());
    }
}

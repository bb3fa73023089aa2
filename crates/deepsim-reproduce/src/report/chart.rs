//! Line charts as SVG, without fonts or scripts.

use std::fmt::Write;

/// One line of a chart.
pub(super) struct Line {
    pub(super) name: String,
    /// Index of one of the six colours of the style sheet.
    pub(super) colour: usize,
    pub(super) points: Vec<(f64, f64)>,
}

/// Lines over steps, with a legend below.
pub(super) struct Chart<'a> {
    pub(super) title: &'a str,
    pub(super) lines: Vec<Line>,
    /// True if the vertical axis is logarithmic; then values that are not positive are left out.
    pub(super) logarithmic: bool,
    /// Heights at which dashed lines are drawn.
    pub(super) marks: &'a [f64],
}

const WIDTH: f64 = 480.0;
const HEIGHT: f64 = 210.0;
const LEFT: f64 = 46.0;
const RIGHT: f64 = WIDTH - 16.0;
const BOTTOM: f64 = HEIGHT - 22.0;
const TOP: f64 = 8.0;
/// Points drawn at most; more are averaged in groups.
const POINTS: usize = 160;

/// Map from data space to drawing space.
struct Frame {
    x: (f64, f64),
    y: (f64, f64),
    logarithmic: bool,
}

impl Frame {
    /// Holds every point; a line that does not move is drawn flat in the middle and not as noise.
    fn around(lines: &[(&Line, Vec<(f64, f64)>)], chart: &Chart<'_>) -> Option<Self> {
        let logarithmic = chart.logarithmic;
        let scale = |y: f64| if logarithmic { y.log10() } else { y };
        let all = || lines.iter().flat_map(|(_, points)| points);
        all().next()?;
        let around = |values: &mut dyn Iterator<Item = f64>| {
            values.fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), v| (a.min(v), b.max(v)))
        };
        let x = around(&mut all().map(|point| point.0));
        let marks = chart.marks.iter().map(|y| scale(*y));
        let zero = (!logarithmic).then_some(0.0);
        let mut y = around(&mut all().map(|point| scale(point.1)).chain(marks).chain(zero));
        let least = if logarithmic { 0.3 } else { 0.02 * y.0.abs().max(y.1.abs()).max(1e-9) };
        let lack = (least - (y.1 - y.0)).max(0.0) / 2.0;
        y = (y.0 - lack, y.1 + lack);
        Some(Self { x, y, logarithmic })
    }

    fn x(&self, x: f64) -> f64 {
        LEFT + (x - self.x.0) / (self.x.1 - self.x.0).max(1e-9) * (RIGHT - LEFT)
    }

    fn y(&self, y: f64) -> f64 {
        let y = if self.logarithmic { y.log10() } else { y };
        TOP + (self.y.1 - y) / (self.y.1 - self.y.0) * (BOTTOM - TOP)
    }
}

impl Chart<'_> {
    /// The drawing as an HTML figure. Empty if there is nothing to draw.
    pub(super) fn svg(&self) -> String {
        let usable =
            |&(x, y): &(f64, f64)| x.is_finite() && y.is_finite() && (!self.logarithmic || y > 0.0);
        let lines: Vec<(&Line, Vec<(f64, f64)>)> = self
            .lines
            .iter()
            .map(|line| (line, line.points.iter().copied().filter(usable).collect()))
            .map(|(line, points): (_, Vec<_>)| (line, thinned(&points)))
            .filter(|(_, points)| !points.is_empty())
            .collect();
        let Some(frame) = Frame::around(&lines, self) else { return String::new() };

        let mut svg = format!(
            "<figure class=\"chart\"><figcaption>{}</figcaption>\
             <svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{0}\">",
            escape(self.title)
        );
        for tick in ticks(frame.y.0, frame.y.1, self.logarithmic) {
            let value = if self.logarithmic { 10f64.powf(tick) } else { tick };
            let y = frame.y(value);
            let _ = write!(
                svg,
                "<path class=\"rule\" d=\"M{LEFT} {y:.1}H{RIGHT}\"/>\
                 <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                LEFT - 6.0,
                y + 4.0,
                number(value)
            );
        }
        let steps = ticks(frame.x.0, frame.x.1, false);
        for tick in steps.iter().filter(|tick| tick.fract() == 0.0) {
            let x = frame.x(*tick);
            let _ = write!(
                svg,
                "<path class=\"rule\" d=\"M{x:.1} {TOP}V{BOTTOM}\"/>\
                 <text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{tick:.0}</text>",
                HEIGHT - 6.0
            );
        }
        for mark in self.marks {
            let y = frame.y(*mark);
            let _ = write!(svg, "<path class=\"mark\" d=\"M{LEFT} {y:.1}H{RIGHT}\"/>");
        }
        let mut legend = String::new();
        for (line, points) in &lines {
            let at = |&(x, y): &(f64, f64)| format!("{:.1},{:.1}", frame.x(x), frame.y(y));
            let path: Vec<String> = points.iter().map(at).collect();
            let colour = line.colour % 6;
            if let [only] = &points[..] {
                let (x, y) = (frame.x(only.0), frame.y(only.1));
                let _ = write!(
                    svg,
                    "<circle class=\"c{colour}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\"/>"
                );
            }
            let _ = write!(svg, "<polyline class=\"c{colour}\" points=\"{}\"/>", path.join(" "));
            let last = points.last().map_or(String::new(), |point| number(point.1));
            let _ = write!(
                legend,
                "<span><i class=\"c{colour}\"></i>{} <b>{last}</b></span>",
                escape(&line.name)
            );
        }
        format!(
            "{svg}</svg><div class=\"legend\">{legend}<span class=\"soft\">last values, over steps</span></div></figure>"
        )
    }
}

/// Means of equal groups of neighbours.
fn thinned(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let mean = |group: &[(f64, f64)]| {
        let n = group.len() as f64;
        let sum = group.iter().fold((0.0, 0.0), |sum, p| (sum.0 + p.0, sum.1 + p.1));
        (sum.0 / n, sum.1 / n)
    };
    points.chunks(points.len().div_ceil(POINTS).max(1)).map(mean).collect()
}

/// Round positions between two ends: steps of 1, 2 or 5, or on a logarithmic axis the logarithms of
/// 1, 2 and 5 times powers of ten (powers alone where that would be many).
fn ticks(from: f64, to: f64, logarithmic: bool) -> Vec<f64> {
    if logarithmic {
        let powers = from.floor() as i32..=to.ceil() as i32;
        let all = |factors: &[f64]| -> Vec<f64> {
            let one = |k: i32| factors.iter().map(move |f| f64::from(k) + f.log10());
            let inside = |tick: &f64| (from..=to).contains(tick);
            powers.clone().flat_map(one).filter(inside).collect()
        };
        let fine = all(&[1.0, 2.0, 5.0]);
        return if fine.len() <= 6 { fine } else { all(&[1.0]) };
    }
    let raw = (to - from) / 4.0;
    if !(raw.is_finite() && raw > 0.0) {
        return vec![from];
    }
    let power = 10f64.powf(raw.log10().floor());
    let nice = [1.0, 2.0, 5.0, 10.0].map(|f| f * power).into_iter().find(|step| *step >= raw);
    let step = nice.unwrap_or(raw);
    let first = (from / step).ceil() as i64;
    (first..).map(|i| i as f64 * step).take_while(|tick| *tick <= to + 1e-9 * step).collect()
}

/// Three significant digits at most, and none that say nothing.
fn number(value: f64) -> String {
    let trimmed = |text: String| text.trim_end_matches('0').trim_end_matches('.').to_owned();
    match value.abs() {
        0.0 => "0".into(),
        v if !(1e-3..1e5).contains(&v) => format!("{value:.0e}"),
        v if v >= 100.0 => format!("{value:.0}"),
        v if v >= 1.0 => trimmed(format!("{value:.1}")),
        _ => trimmed(format!("{value:.3}")),
    }
}

/// Text for HTML.
pub(super) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn svg(points: &[(f64, f64)], logarithmic: bool, marks: &[f64]) -> String {
        let lines = vec![Line { name: "a<b".into(), colour: 0, points: points.to_vec() }];
        Chart { title: "t", lines, logarithmic, marks }.svg()
    }

    /// The drawn points of the first line.
    fn drawn(svg: &str) -> Vec<(f64, f64)> {
        let path = svg.split("points=\"").nth(1).and_then(|s| s.split('"').next());
        let coordinate = |text: &str| text.parse().expect("a number");
        path.expect("a line")
            .split(' ')
            .map(|point| point.split_once(',').expect("two numbers"))
            .map(|(x, y)| (coordinate(x), coordinate(y)))
            .collect()
    }

    #[test]
    fn lines_are_drawn_inside_the_frame_and_nothing_is_drawn_of_nothing() {
        let points: Vec<(f64, f64)> =
            (1..=1000).map(|i| (f64::from(i), f64::from(i % 7))).collect();
        let many = svg(&points, false, &[40.0]);
        assert!(many.contains("a&lt;b") && !many.contains("NaN"), "{many}");
        for (x, y) in drawn(&many) {
            assert!((LEFT..=RIGHT).contains(&x) && (TOP..=BOTTOM).contains(&y), "{x}, {y}");
        }
        assert_eq!(svg(&[], false, &[]), "");
        assert_eq!(svg(&[(1.0, -1.0), (2.0, f64::NAN)], true, &[]), "");
        let one = svg(&[(1.0, 5.0)], true, &[]);
        assert!(one.contains("<circle") && !one.contains("NaN"), "{one}");
    }

    #[test]
    fn a_constant_is_a_flat_line_and_not_magnified_noise() {
        let noise = |i: i32| (f64::from(i), 3.0 + 1e-7 * f64::from(i % 2));
        let points: Vec<(f64, f64)> = (0..50).map(noise).collect();
        for logarithmic in [false, true] {
            let heights = drawn(&svg(&points, logarithmic, &[]));
            assert!(heights.iter().all(|(_, y)| (y - heights[0].1).abs() < 0.2), "{heights:?}");
        }
    }

    #[test]
    fn ticks_are_round() {
        assert_eq!(ticks(0.0, 10.0, false), [0.0, 5.0, 10.0]);
        assert_eq!(ticks(3.0, 3.0, false), [3.0]);
        assert_eq!(ticks(-1.0, 2.0, true), [-1.0, 0.0, 1.0, 2.0]);
        assert_eq!(ticks(1.9, 2.4, true), [2.0, 2.0 + 2f64.log10()]);
        assert_eq!([1.0, 0.5, 20.0, 0.02, 1234.0].map(number), ["1", "0.5", "20", "0.02", "1234"]);
    }
}

//! Line charts as SVG, without fonts or scripts.

use std::fmt::Write;

/// One line of a chart.
pub(super) struct Line {
    pub(super) name: String,
    pub(super) points: Vec<(f64, f64)>,
}

const WIDTH: f64 = 520.0;
const HEIGHT: f64 = 220.0;
const LEFT: f64 = 52.0;
const BOTTOM: f64 = 24.0;
const TOP: f64 = 8.0;
/// Points drawn at most; more are averaged in groups.
const POINTS: usize = 200;

/// A chart of lines over steps, with a legend below. Empty if there is nothing to draw.
///
/// On a logarithmic axis, values that are not positive are left out.
pub(super) fn chart(title: &str, lines: &[Line], logarithmic: bool) -> String {
    let usable = |&(x, y): &(f64, f64)| x.is_finite() && y.is_finite() && (!logarithmic || y > 0.0);
    let lines: Vec<(&str, Vec<(f64, f64)>)> = lines
        .iter()
        .map(|line| (line.name.as_str(), line.points.iter().copied().filter(usable).collect()))
        .map(|(name, points): (_, Vec<_>)| (name, thinned(&points)))
        .filter(|(_, points)| !points.is_empty())
        .collect();
    let all = || lines.iter().flat_map(|(_, points)| points);
    let Some(&(first, _)) = all().next() else { return String::new() };
    let scale = |y: f64| if logarithmic { y.log10() } else { y };
    let (mut x0, mut x1, mut y0, mut y1) = (first, first, f64::INFINITY, f64::NEG_INFINITY);
    for &(x, y) in all() {
        (x0, x1) = (x0.min(x), x1.max(x));
        (y0, y1) = (y0.min(scale(y)), y1.max(scale(y)));
    }
    if !logarithmic {
        y0 = y0.min(0.0);
    }
    let (y0, y1) = if y1 - y0 < 1e-9 { (y0 - 0.5, y1 + 0.5) } else { (y0, y1) };
    let place_x = |x: f64| LEFT + (x - x0) / (x1 - x0).max(1e-9) * (WIDTH - LEFT - 8.0);
    let place_y = |y: f64| TOP + (y1 - y) / (y1 - y0) * (HEIGHT - TOP - BOTTOM);

    let mut svg = format!(
        "<figure class=\"chart\"><figcaption>{}</figcaption>\
         <svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{0}\">",
        escape(title)
    );
    for tick in ticks(y0, y1, logarithmic) {
        let y = place_y(tick);
        let value = if logarithmic { 10f64.powf(tick) } else { tick };
        let _ = write!(
            svg,
            "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{:.1}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            WIDTH - 8.0,
            LEFT - 5.0,
            y + 4.0,
            number(value)
        );
    }
    for (x, anchor) in [(x0, "start"), (x1, "end")] {
        let _ = write!(
            svg,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"{anchor}\">{} {x:.0}</text>",
            place_x(x),
            HEIGHT - 6.0,
            if anchor == "start" { "step" } else { "" }
        );
    }
    for (index, (_, points)) in lines.iter().enumerate() {
        let at = |&(x, y): &(f64, f64)| format!("{:.1},{:.1}", place_x(x), place_y(scale(y)));
        let path: Vec<String> = points.iter().map(at).collect();
        let _ =
            write!(svg, "<polyline class=\"line c{}\" points=\"{}\"/>", index % 6, path.join(" "));
    }
    svg.push_str("</svg><div class=\"legend\">");
    for (index, (name, _)) in lines.iter().enumerate() {
        let _ = write!(svg, "<span><i class=\"c{}\"></i>{}</span>", index % 6, escape(name));
    }
    svg.push_str("</div></figure>");
    svg
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
    let power = 10f64.powf(raw.log10().floor());
    let nice = [1.0, 2.0, 5.0, 10.0].map(|f| f * power).into_iter().find(|step| *step >= raw);
    let step = nice.unwrap_or(raw);
    let first = (from / step).ceil() as i64;
    (first..).map(|i| i as f64 * step).take_while(|tick| *tick <= to + 1e-9).collect()
}

/// Three significant digits, and no more.
fn number(value: f64) -> String {
    match value.abs() {
        0.0 => "0".into(),
        v if !(1e-3..1e5).contains(&v) => format!("{value:.0e}"),
        v if v >= 100.0 => format!("{value:.0}"),
        v if v >= 1.0 => format!("{value:.1}"),
        _ => format!("{value:.3}"),
    }
}

/// Text for HTML.
pub(super) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_drawn_inside_the_frame_and_nothing_is_drawn_of_nothing() {
        let line = |points: &[(f64, f64)]| Line { name: "a<b".into(), points: points.to_vec() };
        let points: Vec<(f64, f64)> =
            (1..=1000).map(|i| (f64::from(i), f64::from(i % 7))).collect();
        let svg = chart("t", &[line(&points)], false);
        assert!(svg.contains("a&lt;b") && !svg.contains("NaN"), "{svg}");
        let path = svg.split("points=\"").nth(1).and_then(|s| s.split('"').next());
        for point in path.unwrap_or_default().split(' ') {
            let (x, y) = point.split_once(',').unwrap_or_default();
            let (x, y) = (x.parse::<f64>().unwrap_or(-1.0), y.parse::<f64>().unwrap_or(-1.0));
            assert!((LEFT..=WIDTH).contains(&x) && (TOP..=HEIGHT).contains(&y), "{x}, {y}");
        }
        assert_eq!(chart("t", &[line(&[])], false), "");
        assert_eq!(chart("t", &[line(&[(1.0, -1.0), (2.0, f64::NAN)])], true), "");
        assert!(chart("t", &[line(&[(1.0, 5.0)])], true).contains("polyline"));
    }

    #[test]
    fn ticks_are_round() {
        assert_eq!(ticks(0.0, 10.0, false), [0.0, 5.0, 10.0]);
        assert_eq!(ticks(-1.0, 2.0, true), [-1.0, 0.0, 1.0, 2.0]);
        assert_eq!(ticks(1.9, 2.4, true), [2.0, 2.0 + 2f64.log10()]);
    }
}

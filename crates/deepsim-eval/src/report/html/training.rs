//! How training went.

use std::fmt::Write;

use crate::report::chart::{Chart, Line, escape};
use crate::report::run::Run;

/// One row per run: how long, how fast, and who was updated.
pub(super) fn overview(runs: &[Run]) -> String {
    let mut text = String::from(
        "<div class=\"scroll\"><table><thead><tr><th>loss</th><th>steps</th><th>batch</th>\
         <th>minutes</th><th>images/s</th><th>discriminator updated</th>\
         <th>generator updated</th><th>discriminator's accuracy</th><th>comparator</th></tr>\
         </thead><tbody>",
    );
    for run in runs {
        let dash = || "-".to_owned();
        let share =
            |flag: &str| run.share(flag).map_or_else(dash, |s| format!("{:.0} %", 100.0 * s));
        let end = |pointer: &str, factor: f64, unit: &str| {
            run.at_the_end(pointer).map_or_else(dash, |v| format!("{:.0}{unit}", factor * v))
        };
        let cells = [
            run.steps().map_or("no log".to_owned(), |steps| steps.to_string()),
            run.plan_value("recipe.batch").map_or_else(dash, |batch| batch.to_string()),
            run.seconds.map_or("not finished".to_owned(), |s| format!("{:.1}", s / 60.0)),
            end("/items_per_s", 1.0, ""),
            share("train_d"),
            share("train_g"),
            end("/d_accuracy", 100.0, " %"),
            run.comparator().map_or_else(dash, str::to_owned),
        ];
        let _ = write!(text, "<tr><th>{}</th>", escape(&run.label));
        for cell in cells {
            let _ = write!(text, "<td>{}</td>", escape(&cell));
        }
        text += "</tr>";
    }
    text + "</tbody></table></div><p class=\"key\">Updated: share of the logged steps. Speed and \
            accuracy: over the last tenth of the log.</p>"
}

/// The charts of a run.
pub(super) fn curves(run: &Run) -> String {
    let line = |name: &str, colour: usize, pointer: String| Line {
        name: name.into(),
        colour,
        points: run.series(&pointer),
    };
    let of_terms = |what: &str| -> Vec<Line> {
        let one = |(index, term): (usize, &String)| {
            line(term, colour(term).unwrap_or(3 + index), format!("/terms/{term}/{what}"))
        };
        run.names("/terms").iter().enumerate().map(one).collect()
    };
    let charts = [
        Chart {
            title: "weighted terms of the loss",
            lines: of_terms("weighted"),
            logarithmic: true,
            marks: &[],
        },
        Chart {
            title: "gradient norm at the network's output, per term",
            lines: of_terms("grad_norm"),
            logarithmic: true,
            marks: &[],
        },
        Chart {
            title: "gradient norm of all weights, per network",
            // Named, because a network has none in steps in which it was not updated.
            lines: ["generator", "discriminator", "comparator"]
                .iter()
                .enumerate()
                .map(|(index, net)| line(net, 2 + index, format!("/gradients/{net}")))
                .collect(),
            logarithmic: true,
            marks: &[],
        },
        Chart {
            title: "cross-entropies (dashed: ln 2, guessing)",
            lines: vec![
                line("discriminator, real", 3, "/d_real".into()),
                line("discriminator, generated", 4, "/d_fake".into()),
                line("generator", 2, "/terms/adversarial/value".into()),
            ],
            logarithmic: false,
            marks: &[std::f64::consts::LN_2],
        },
        Chart {
            title: "discriminator's loss / generator's (dashed: off below 0.1, on above 0.5)",
            lines: vec![line("ratio", 3, "/ratio".into())],
            logarithmic: true,
            marks: &[0.1, 0.5],
        },
        Chart {
            title: "share of images that the discriminator tells right (dashed: guessing)",
            lines: vec![
                line("real", 3, "/d_accuracy_real".into()),
                line("generated", 4, "/d_accuracy_fake".into()),
            ],
            logarithmic: false,
            marks: &[0.5],
        },
        Chart {
            title: "share of steps in which a network was updated",
            lines: vec![
                line("discriminator", 3, "/d_share".into()),
                line("generator", 2, "/g_share".into()),
            ],
            logarithmic: false,
            marks: &[],
        },
    ];
    let measures = run.names("/measures").into_iter().enumerate();
    let measures = measures.map(|(index, name)| {
        let lines = vec![line(&name, 3 + index, format!("/measures/{name}"))];
        Chart { title: &name, lines, logarithmic: false, marks: &[] }.svg()
    });
    let svg: String = charts.iter().map(Chart::svg).chain(measures).collect();
    if svg.is_empty() {
        let label = escape(&run.label);
        return format!("<h3>{label}</h3><p class=\"missing\">missing: no log</p>");
    }
    format!("<h3>{}</h3><div class=\"charts\">{svg}</div>", escape(&run.label))
}

/// The colour of a term, the same in every chart.
fn colour(term: &str) -> Option<usize> {
    ["image", "feature", "adversarial"].iter().position(|known| *known == term)
}

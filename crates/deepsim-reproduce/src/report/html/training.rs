//! Training: lengths, speeds and curves.

use std::fmt::Write;

use crate::report::chart::{Chart, Line, escape};
use crate::report::run::Run;
use deepsim_run::log::{AdversaryRecord, Record, TermRecord};

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
        let share = |discriminator| {
            run.updated(discriminator).map_or_else(dash, |s| format!("{:.0} %", 100.0 * s))
        };
        let speed = run.at_the_end(|r| Some(r.items_per_s));
        let accuracy = run.at_the_end(|r| Some(100.0 * r.adversary?.d_accuracy));
        let cells = [
            run.steps().map_or("no log".to_owned(), |steps| steps.to_string()),
            run.batch().map_or_else(dash, |batch| batch.to_string()),
            run.seconds().map_or("not finished".to_owned(), |s| format!("{:.1}", s / 60.0)),
            speed.map_or_else(dash, |speed| format!("{speed:.0}")),
            share(true),
            share(false),
            accuracy.map_or_else(dash, |accuracy| format!("{accuracy:.0} %")),
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
    fn line(run: &Run, name: &str, colour: usize, number: impl Fn(&Record) -> Option<f64>) -> Line {
        Line { name: name.into(), colour, points: run.series(number) }
    }
    let of_terms = |number: fn(&TermRecord) -> f64| -> Vec<Line> {
        let one = |(index, term): (usize, &String)| {
            let colour = colour(term).unwrap_or(3 + index);
            line(run, term, colour, |r| Some(number(r.terms.get(term)?)))
        };
        run.terms().iter().enumerate().map(one).collect()
    };
    let adversary = |name: &str, colour, number: fn(&AdversaryRecord) -> f64| {
        line(run, name, colour, |r| Some(number(r.adversary.as_ref()?)))
    };
    let charts = [
        Chart {
            title: "weighted terms of the loss",
            lines: of_terms(|term| term.weighted),
            logarithmic: true,
            marks: &[],
        },
        Chart {
            title: "gradient norm at the network's output, per term",
            lines: of_terms(|term| term.grad_norm),
            logarithmic: true,
            marks: &[],
        },
        Chart {
            title: "gradient norm of all weights, per network",
            // Named, because a network has none in steps in which it was not updated.
            lines: ["generator", "discriminator", "comparator"]
                .iter()
                .enumerate()
                .map(|(index, net)| line(run, net, 2 + index, |r| r.gradients.get(*net).copied()))
                .collect(),
            logarithmic: true,
            marks: &[],
        },
        Chart {
            title: "cross-entropies (dashed: ln 2, guessing)",
            lines: vec![
                adversary("discriminator, real", 3, |a| a.d_real),
                adversary("discriminator, generated", 4, |a| a.d_fake),
                line(run, "generator", 2, |r| Some(r.terms.get("adversarial")?.value)),
            ],
            logarithmic: false,
            marks: &[std::f64::consts::LN_2],
        },
        Chart {
            title: "discriminator's loss / generator's (dashed: off below 0.1, on above 0.5)",
            lines: vec![adversary("ratio", 3, |a| a.ratio)],
            logarithmic: true,
            marks: &[0.1, 0.5],
        },
        Chart {
            title: "share of images that the discriminator tells right (dashed: guessing)",
            lines: vec![
                adversary("real", 3, |a| a.d_accuracy_real),
                adversary("generated", 4, |a| a.d_accuracy_fake),
            ],
            logarithmic: false,
            marks: &[0.5],
        },
        Chart {
            title: "share of steps in which a network was updated",
            lines: vec![
                adversary("discriminator", 3, |a| a.d_share),
                adversary("generator", 2, |a| a.g_share),
            ],
            logarithmic: false,
            marks: &[],
        },
    ];
    let last = run.run.log.last();
    let measures = last.into_iter().flat_map(|record| record.measures.keys()).enumerate();
    let measures = measures.map(|(index, name)| {
        let lines = vec![line(run, name, 3 + index, |r| r.measures.get(name).copied())];
        Chart { title: name, lines, logarithmic: false, marks: &[] }.svg()
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

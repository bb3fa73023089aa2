//! Training: lengths, speeds and curves.

use std::collections::BTreeSet;
use std::f64::consts::LN_2;
use std::fmt::Write;

use crate::report::chart::{Chart, Line, escape};
use crate::report::run::Run;
use deepsim_run::log::{AdversaryRecord, Record, TermRecord};

/// One row per run: how long, how fast, and who was updated.
pub(super) fn overview<'r>(runs: impl Iterator<Item = &'r Run>) -> String {
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
        let mut others = (3..6).cycle();
        let one = |term: &String| {
            let colour = colour(term).or_else(|| others.next()).unwrap_or_default();
            line(run, term, colour, |r| Some(number(r.terms.get(term)?)))
        };
        run.terms().iter().map(one).collect()
    };
    let adversary = |name: &str, colour, number: fn(&AdversaryRecord) -> f64| {
        line(run, name, colour, |r| Some(number(r.adversary.as_ref()?)))
    };
    // Named, because a network has no gradient in steps in which it was not updated.
    let networks = ["generator", "discriminator", "comparator"].iter().enumerate();
    let gradients =
        networks.map(|(i, net)| line(run, net, 2 + i, |r| r.gradients.get(*net).copied()));
    let generator = line(run, "generator", 2, |r| Some(r.terms.get("adversarial")?.value));
    let hinge = run.has_hinge();
    let (losses, guessing): (_, &[f64]) = match hinge {
        true => ("hinge losses", &[]),
        false => ("cross-entropies (dashed: ln 2, guessing)", &[LN_2]),
    };
    let of_both = vec![
        adversary("discriminator, real", 3, |a| a.d_real),
        adversary("discriminator, generated", 4, |a| a.d_fake),
        generator,
    ];
    // Of hinges it says nothing, and decides nothing.
    let ratio = if hinge { Vec::new() } else { vec![adversary("ratio", 3, |a| a.ratio)] };
    let right = vec![
        adversary("real", 3, |a| a.d_accuracy_real),
        adversary("generated", 4, |a| a.d_accuracy_fake),
    ];
    let updated = vec![
        adversary("discriminator", 3, |a| a.d_share),
        adversary("generator", 2, |a| a.g_share),
    ];
    // Title, logarithmic axis, dashed lines, lines.
    let mut charts: Vec<(&str, bool, &[f64], Vec<Line>)> = vec![
        ("weighted terms of the loss", true, &[], of_terms(|term| term.weighted)),
        (
            "gradient norm at the network's output, per term",
            true,
            &[],
            of_terms(|term| term.grad_norm),
        ),
        ("gradient norm of all weights, per network", true, &[], gradients.collect()),
        (losses, false, guessing, of_both),
        (
            "discriminator's loss / generator's (dashed: off below 0.1, on above 0.5)",
            true,
            &[0.1, 0.5],
            ratio,
        ),
        (
            "share of images that the discriminator tells right (dashed: guessing)",
            false,
            &[0.5],
            right,
        ),
        ("share of steps in which a network was updated", false, &[], updated),
    ];
    // Some are measured from time to time.
    let measures: BTreeSet<&String> =
        run.run.log.iter().flat_map(|record| record.measures.keys()).collect();
    let measures = measures.into_iter().enumerate();
    charts.extend(measures.map(|(index, name)| {
        let number = line(run, name, 3 + index, |r| r.measures.get(name).copied());
        (name.as_str(), false, &[][..], vec![number])
    }));
    let draw =
        |(title, logarithmic, marks, lines)| Chart { title, lines, logarithmic, marks }.svg();
    let svg: String = charts.into_iter().map(draw).collect();
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

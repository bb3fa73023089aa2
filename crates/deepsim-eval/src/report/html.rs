//! The page.

use std::fmt::Write;

use base64::Engine;
use serde_json::Value;

use super::chart::{Line, chart, escape};
use super::run::Run;
use super::tables::{Claim, Target};
use super::{Figure, Report};
use crate::EvalError;

/// The whole page as one string, with styles and pictures inside.
pub(super) fn page(report: &Report) -> Result<String, EvalError> {
    let mut html = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <title>DeePSiM: reproduction report</title><style>{}</style></head><body><main>\
         <h1>Generating images with perceptual similarity metrics</h1>\
         <p class=\"lead\">Reproduction of Dosovitskiy &amp; Brox (2016), the autoencoder \
         experiment (v1, section 4.1).</p>",
        include_str!("style.css")
    );
    html += &banner(report);
    html += &summary(report);
    for target in &report.targets {
        let _ = write!(html, "<section><h2>{}</h2>", escape(&target.title));
        if target.target == "fig3" {
            match &report.figure {
                Some(figure) => html += &picture(figure)?,
                None => html += "<p class=\"missing\">missing: no run has pictures yet</p>",
            }
        }
        html += &claims(&target.claims);
        html += &table(target);
        html += "</section>";
    }
    html += "<section><h2>Training</h2>";
    for run in &report.runs {
        html += &curves(run);
    }
    html += "</section><section><h2>Plans</h2>";
    for run in &report.runs {
        let text = run.plan.as_ref().map_or("missing: plan.toml", |(text, _)| text);
        let _ = write!(
            html,
            "<details><summary>{}</summary><pre>{}</pre></details>",
            escape(&run.label),
            escape(text)
        );
    }
    html += "</section></main></body></html>\n";
    Ok(html)
}

fn banner(report: &Report) -> String {
    let mut text = String::new();
    if report.synthetic {
        text += "<p class=\"banner\"><strong>Procedural scenes, not photographs.</strong> The \
                 numbers below show that the pipeline works; they are not the paper's experiment \
                 and must not be compared with its numbers.</p>";
    } else if !report.comparable {
        text += "<p class=\"banner\"><strong>Not the paper's scale.</strong> Fewer steps or other \
                 photographs than the paper: compare directions, not numbers.</p>";
    }
    text += "<p class=\"caveat\">All numbers of the paper on this page are RECALLED: quoted from \
             memory and not yet checked against a copy of the paper. The directions are certain.</p>";
    if !report.warnings.is_empty() {
        text += "<div class=\"warnings\"><h2>Warnings</h2><ul>";
        for warning in &report.warnings {
            let _ = write!(text, "<li>{}</li>", escape(warning));
        }
        text += "</ul></div>";
    }
    text
}

fn summary(report: &Report) -> String {
    let plan = |key: &str| match &report.plan[key] {
        Value::Null => "not recorded".to_owned(),
        Value::String(text) => text.clone(),
        Value::Number(n) if key == "seconds" => {
            format!("{:.1} min (reused results not counted)", n.as_f64().unwrap_or(0.0) / 60.0)
        }
        other => other.to_string(),
    };
    let mut text = String::from("<dl class=\"summary\">");
    let entries = [
        ("data", report.dataset.clone()),
        ("scale", plan("scale")),
        ("device", plan("device")),
        ("threads", plan("threads")),
        ("seed", plan("seed")),
        ("time", plan("seconds")),
        ("commit", plan("git_commit")),
        ("command", plan("command")),
    ];
    for (name, value) in entries {
        let _ = write!(text, "<div><dt>{name}</dt><dd>{}</dd></div>", escape(&value));
    }
    text + "</dl>"
}

fn picture(figure: &Figure) -> Result<String, EvalError> {
    let mut text = String::from("<figure class=\"strips\">");
    for (label, strip) in &figure.rows {
        let png = base64::engine::general_purpose::STANDARD.encode(strip.upscale(2).to_png()?);
        let _ = write!(
            text,
            "<div><span>{0}</span><img alt=\"{0}\" src=\"data:image/png;base64,{png}\"></div>",
            escape(label)
        );
    }
    Ok(text + "</figure>")
}

fn claims(claims: &[Claim]) -> String {
    let mut text = String::from("<ul class=\"claims\">");
    for claim in claims {
        let (class, mark) = match claim.holds {
            Some(true) => ("yes", "as in the paper"),
            Some(false) => ("no", "not as in the paper"),
            None => ("unknown", "not known"),
        };
        let _ = write!(
            text,
            "<li class=\"{class}\"><b>{mark}</b> {}: {}</li>",
            escape(&claim.claim),
            escape(&claim.detail)
        );
    }
    text + "</ul>"
}

fn table(target: &Target) -> String {
    let number = |value: f64, spread: Option<f64>| match spread {
        Some(spread) => format!("{value:.2} ± {spread:.2}"),
        None => format!("{value:.2}"),
    };
    let mut text = String::from(
        "<div class=\"scroll\"><table><thead><tr><th>loss</th><th>measure</th><th>ours</th>\
         <th>paper</th><th>verdict</th><th>how</th></tr></thead><tbody>",
    );
    for row in &target.rows {
        let ours = row.value.map_or("missing".into(), |value| {
            format!("{} {}", number(value, row.spread), escape(&row.unit))
        });
        let paper = row.paper.as_ref().map_or(String::new(), |paper| {
            format!(
                "{} {}<br><small>{}</small>",
                number(paper.value, paper.spread),
                escape(&row.unit),
                escape(&paper.tag)
            )
        });
        let _ = write!(
            text,
            "<tr><th>{}</th><td>{}</td><td class=\"number\">{ours}</td><td class=\"number\">\
             {paper}</td><td>{}</td><td><small>{}</small></td></tr>",
            escape(&row.run),
            escape(&row.name),
            escape(&row.verdict),
            escape(&row.note)
        );
    }
    text + "</tbody></table></div>"
}

fn curves(run: &Run) -> String {
    let line =
        |name: &str, pointer: String| Line { name: name.into(), points: run.series(&pointer) };
    let of_terms = |what: &str| -> Vec<Line> {
        let terms = run.terms();
        terms.iter().map(|term| line(term, format!("/terms/{term}/{what}"))).collect()
    };
    let steps = run.steps().map_or("no log".to_owned(), |steps| format!("{steps} steps"));
    let time = run.seconds.map_or(String::new(), |s| format!(", {:.1} min", s / 60.0));
    let comparator = run.comparator().map_or(String::new(), |c| format!(", comparator: {c}"));
    let share = |flag: &str, who: &str| {
        run.share(flag).map_or(String::new(), |share| {
            format!(", {who} updated in {:.0} % of the logged steps", 100.0 * share)
        })
    };
    let mut text = format!(
        "<h3>{}</h3><p>{}</p><div class=\"charts\">",
        escape(&run.label),
        escape(&format!(
            "{steps}{time}{comparator}{}{}",
            share("train_d", "discriminator"),
            share("train_g", "generator")
        ))
    );
    text += &chart("weighted terms of the loss", &of_terms("weighted"), true);
    text += &chart("gradient norm at the image, per term", &of_terms("grad_norm"), true);
    let discriminator = [
        line("on real images", "/d_real".into()),
        line("on generated images", "/d_fake".into()),
        line("generator's (adversarial)", "/terms/adversarial/value".into()),
    ];
    text += &chart("cross-entropies", &discriminator, false);
    let balance = [line("ratio (D off below 0.1, on above 0.5)", "/ratio".into())];
    text += &chart("discriminator's loss / generator's", &balance, true);
    text + "</div>"
}

//! The page: one file, no scripts, nothing fetched.

mod tables;
mod training;

use std::collections::BTreeSet;
use std::fmt::Write;

use base64::Engine;
use deepsim_data::picture::Picture;
use deepsim_run::identity::Method;

use super::Report;
use super::chart::escape;
use super::claims::Claim;
use super::figures::{Figure, for_page};
use super::run::Run;
use crate::ReproduceError;

/// The whole page as one string, with styles and pictures inside.
pub(super) fn page(report: &Report) -> Result<String, ReproduceError> {
    let mut html = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <title>DeePSiM: reproduction report</title><style>{}</style></head><body><main>\
         <header><h1>Generating images with perceptual similarity metrics</h1>\
         <p>{ABOUT}</p><p class=\"soft\">{}</p></header>",
        include_str!("../style.css"),
        escape(&lead(report))
    );
    html += &hero(report)?;
    html += &findings(report);
    html += &banner(report);
    for target in &report.targets {
        let _ = write!(
            html,
            "<section id=\"{}\"><h2>{}</h2>",
            escape(target.target),
            escape(target.title)
        );
        for figure in &target.figures {
            html += &picture(figure)?;
        }
        if target.figures.is_empty() && target.pictured {
            html += "<p class=\"missing\">missing: no run has pictures yet</p>";
        }
        html += &tables::target(target);
        html += "</section>";
    }
    html += "<section id=\"training\"><h2>Training</h2>";
    html += &training::overview(report.trained());
    for run in report.trained() {
        html += &training::curves(run);
    }
    html += "</section>";
    html += &facts(report);
    html += "</main></body></html>\n";
    Ok(html)
}

/// The paper in two sentences, for those who have not read it.
const ABOUT: &str = "A generator that is trained with squared error draws the average of all plausible images, which is \
    blurry. DeePSiM compares images in the features of a network instead, and has a second network tell generated \
    images from real ones.";

/// Images of the first figure that are shown at the top of the page.
const SHOWN: usize = 6;

/// A few images of the first figure that has any, enlarged: the originals, then the baselines, then the paper's loss.
fn hero(report: &Report) -> Result<String, ReproduceError> {
    let figure = report.targets.iter().flat_map(|target| &target.figures).find(|f| f.tile > 0);
    let Some(figure) = figure else { return Ok(String::new()) };
    let baseline = |label: &str| {
        let run = report.runs.iter().find(|run| run.label == label);
        run.is_some_and(|run| matches!(run.method, Method::SquaredError | Method::AbsoluteError))
    };
    let (originals, generated) = figure.rows.split_at(1.min(figure.rows.len()));
    let (simple, ours): (Vec<_>, Vec<_>) = generated.iter().partition(|(label, _)| baseline(label));
    let mut text = String::from("<figure class=\"strips hero\">");
    for (label, strip) in originals.iter().chain(simple).chain(ours) {
        text +=
            &row(label, &figure.few(strip, SHOWN).upscale(if figure.tile > 128 { 1 } else { 2 }))?;
    }
    Ok(text + "<figcaption>Test images and what each generator makes of them.</figcaption></figure>")
}

/// A page with the curves of some runs alone.
pub(super) fn curves(runs: &[Run]) -> String {
    let charts: String = runs.iter().map(training::curves).collect();
    format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <title>DeePSiM: training</title><style>{}</style></head><body><main>\
         <header><h1>Training</h1></header>{}{charts}</main></body></html>\n",
        include_str!("../style.css"),
        training::overview(runs.iter())
    )
}

/// The sections of the paper that the page is about.
fn sections(report: &Report) -> String {
    let sections: BTreeSet<&str> = report.targets.iter().map(|target| target.section).collect();
    sections.into_iter().collect::<Vec<_>>().join(", ")
}

/// Summary of the runs in one line; the details are at the end of the page.
fn lead(report: &Report) -> String {
    let most = |begun: bool| {
        report.runs.iter().filter(|run| run.begun() == begun).filter_map(Run::steps).max()
    };
    let steps = match (most(false), most(true)) {
        (Some(steps), Some(more)) => {
            format!(" trained for {steps} steps, or for {more} from the weights of another run")
        }
        (Some(steps), None) | (None, Some(steps)) => format!(" trained for {steps} steps"),
        (None, None) => String::new(),
    };
    let runs = match report.trained().count() {
        1 => "1 run".to_owned(),
        n => format!("{n} runs"),
    };
    let time = match report.training_seconds() {
        0.0 => String::new(),
        seconds => format!(", {} in all", duration(seconds)),
    };
    let shipped = match report.runs.iter().any(|run| run.method == Method::Shipped) {
        true => {
            " Shipped: autoencoders that come with the project, trained for longer on other photographs."
        }
        false => "",
    };
    format!(
        "Reproduction of Dosovitskiy & Brox (2016), v1, section {}: {runs}{steps}{time}. Data: {}.{shipped}",
        sections(report),
        report.dataset
    )
}

fn banner(report: &Report) -> String {
    if report.differences.is_empty() {
        return String::new();
    }
    let (what, advice) = if report.synthetic {
        (
            "Procedural scenes, not photographs.",
            "The numbers below show that everything works; they are not the paper's experiment and \
             must not be compared with its numbers.",
        )
    } else {
        ("Not the paper's scale.", "Compare directions, not numbers.")
    };
    let differences = escape(&report.differences.join("; "));
    format!(
        "<p class=\"banner\"><strong>{what}</strong> {advice}<br><small>Differs: {differences}.</small></p>"
    )
}

/// Every claim of every target at a glance, then the warnings.
fn findings(report: &Report) -> String {
    let mut text = String::new();
    let claims: Vec<&Claim> = report.targets.iter().flat_map(|target| &target.claims).collect();
    if !claims.is_empty() {
        text +=
            "<section id=\"findings\"><h2>Does the paper's effect show?</h2><ul class=\"claims\">";
        for claim in claims {
            let (class, mark) = match claim.holds {
                Some(true) => ("yes", "✓"),
                Some(false) => ("no", "✗"),
                None => ("unknown", "?"),
            };
            let verdict = match claim.detail.starts_with("missing") {
                true => String::new(),
                false => format!("; {}", claim.verdict()),
            };
            let _ = write!(
                text,
                "<li class=\"{class}\"><b aria-label=\"{class}\">{mark}</b><span>{}<br>\
                 <small>{}{}</small></span></li>",
                escape(&claim.claim),
                escape(&claim.detail),
                escape(&verdict),
            );
        }
        text += "</ul></section>";
    }
    if !report.warnings.is_empty() {
        text += "<section class=\"warnings\"><h2>Warnings</h2><ul>";
        for warning in &report.warnings {
            let _ = write!(text, "<li>{}</li>", escape(warning));
        }
        text += "</ul></section>";
    }
    text
}

fn picture(figure: &Figure) -> Result<String, ReproduceError> {
    let mut text = String::from("<figure class=\"strips\">");
    for (label, strip) in &figure.rows {
        text += &row(label, &for_page(strip)?)?;
    }
    Ok(text + &format!("<figcaption>{}</figcaption></figure>", escape(figure.caption)))
}

/// A row of pictures with its label.
fn row(label: &str, shown: &Picture) -> Result<String, ReproduceError> {
    let png = base64::engine::general_purpose::STANDARD.encode(shown.to_png()?);
    Ok(format!(
        "<div><span>{0}</span><img alt=\"{0}\" style=\"max-width:{1}px\" \
         src=\"data:image/png;base64,{png}\"></div>",
        escape(label),
        shown.width
    ))
}

/// A duration as people read it.
fn duration(seconds: f64) -> String {
    match seconds / 3600.0 {
        hours if hours < 1.5 => format!("{:.1} minutes", 60.0 * hours),
        hours => format!("{hours:.1} hours"),
    }
}

fn cost(report: &Report) -> String {
    match (report.cost(), report.record.price_per_hour) {
        (Some(cost), Some(price)) => format!("{cost:.2}, at {price} for an hour of training"),
        _ => "not told: --price-per-hour of reproduce".into(),
    }
}

/// Facts about the runs: data, machine, command, time.
fn facts(report: &Report) -> String {
    let record = &report.record;
    let or = |text: Option<String>| text.unwrap_or_else(|| "not recorded".to_owned());
    let text = |text: &Option<String>| or(text.clone());
    let seconds = record
        .seconds
        .map(|seconds| format!("{:.1} min (reused results not counted)", seconds / 60.0));
    let device = format!(
        "{}, {}",
        text(&record.device),
        or(record.threads.map(|threads| threads.to_string()))
    );
    let training = duration(report.training_seconds());
    let entries = [
        ("data", report.dataset.clone()),
        ("command", text(&record.command)),
        ("scale", text(&record.scale)),
        ("machine", text(&record.machine)),
        ("device, threads", device),
        ("seed", or(record.seed.map(|seed| seed.to_string()))),
        ("training, all runs and comparators", training),
        ("cost", cost(report)),
        ("time of this command", or(seconds)),
        ("git commit", text(&record.git_commit)),
    ];
    let mut text = String::from("<section id=\"plan\"><h2>What was run</h2><dl class=\"facts\">");
    for (name, value) in entries {
        let _ = write!(text, "<dt>{name}</dt><dd>{}</dd>", escape(&value));
    }
    text += "</dl>";
    for run in report.trained() {
        let plan = run.run.plan_text.as_deref().unwrap_or("missing: plan.toml");
        let _ = write!(
            text,
            "<details><summary>plan of {}</summary><pre>{}</pre></details>",
            escape(&run.label),
            escape(plan)
        );
    }
    text + "</section><footer class=\"soft\"><p>All numbers of the paper on this page are RECALLED: \
            quoted from memory and not yet checked against a copy of the paper. Directions marked \
            as the paper's are certain.</p></footer>"
}

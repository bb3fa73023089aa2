//! Options of measures on the command line: flags of their own, and `--set MEASURE.KEY=VALUE`.

use anyhow::Result;
use clap::{Arg, ArgAction, ArgMatches, Command};
use deepsim_eval::EvalError;
use deepsim_eval::measure::{self, AnyMeasure, Kind, Opt, options};
use serde_json::Value;

use super::exit::Failure;

/// A flag, and the options that it sets, as (measure, key); help and value are those of the first.
type Flag = (&'static str, &'static [(&'static str, &'static str)]);

/// Options with a flag of their own. All others are set by `--set`.
const FLAGS: [Flag; 4] = [
    ("train-limit", &[("neighbours", "train_images"), ("preimages", "train_images")]),
    ("svm-draws", &[("svm", "draws")]),
    ("svm-input", &[("svm", "inputs")]),
    ("space", &[("error", "spaces"), ("samples", "spaces")]),
];

const SET: &str = "set";

/// Options that were given: those of flags as (measure, key, value), then those of `--set` as they were typed.
pub(crate) struct MeasureOptions {
    flags: Vec<(&'static str, &'static str, String)>,
    set: Vec<String>,
}

impl MeasureOptions {
    /// Refuses options that no measure has, values of a wrong type, and `--set` of a measure that is not among
    /// those that are `taken`.
    pub(crate) fn check(&self, taken: &[&Kind]) -> Result<()> {
        for set in &self.set {
            let (name, key, _) = parts(set).ok_or_else(|| {
                Failure::usage(format!("--set: expected MEASURE.KEY=VALUE, found {set}"))
            })?;
            let kind = measure::by_name(name)?;
            if !taken.iter().any(|taken| taken.name() == kind.name()) {
                let names: Vec<&str> = taken.iter().map(|kind| kind.name()).collect();
                let message = format!(
                    "--set {name}.{key}: expected an option of a measure that is taken ({})",
                    names.join(", ")
                );
                return Err(Failure::usage(message).into());
            }
        }
        for kind in measure::all() {
            self.measure(kind)?;
        }
        Ok(())
    }

    /// Makes a measure with its options.
    pub(crate) fn measure(&self, kind: &Kind) -> Result<Box<dyn AnyMeasure>, EvalError> {
        let flags = self.flags.iter().map(|(name, key, value)| (*name, *key, value.as_str()));
        let set = self.set.iter().filter_map(|set| parts(set));
        let own = flags.chain(set).filter(|(name, ..)| *name == kind.name());
        kind.with(&own.map(|(_, key, value)| (key, value)).collect::<Vec<_>>())
    }
}

/// `MEASURE.KEY=VALUE` in its parts.
fn parts(set: &str) -> Option<(&str, &str, &str)> {
    let (option, value) = set.split_once('=')?;
    let (measure, key) = option.split_once('.')?;
    Some((measure, key, value))
}

/// A line for each measure, and one below it for each of its options.
pub(crate) fn help() -> String {
    let mut text = String::new();
    let width = measure::all().iter().map(|kind| kind.name().len()).max().unwrap_or(0);
    for kind in measure::all() {
        text += &format!("\n  {:width$}  {}", kind.name(), kind.about());
        for opt in kind.options() {
            let (about, list) = about(kind, opt);
            let more = if list { ",..." } else { "" };
            let (name, key, value) = (kind.name(), opt.key, opt.value);
            text += &format!("\n  {:width$}    {name}.{key}={value}{more}: {about}", "");
        }
    }
    text
}

/// Text of an option with its default, and whether it is a list.
fn about(kind: &Kind, opt: &Opt) -> (String, bool) {
    let default = kind.defaults().ok().and_then(|mut defaults| defaults.remove(opt.key));
    let default = default.unwrap_or(Value::Null);
    let list = default.is_array();
    let shown = match &default {
        Value::Null => String::new(),
        value => options::written(value),
    };
    match shown.is_empty() {
        true => (opt.about.into(), list),
        false => (format!("{} [default: {shown}]", opt.about), list),
    }
}

/// The flag of a row of [`FLAGS`].
fn argument((flag, sets): &Flag) -> Option<Arg> {
    let (name, key) = sets.first()?;
    let kind = measure::by_name(name).ok()?;
    let opt = kind.options().iter().find(|opt| opt.key == *key)?;
    let (about, list) = about(kind, opt);
    let mut help = about;
    if let Some(first) = help.get(..1).map(str::to_uppercase) {
        help.replace_range(..1, &first);
    }
    let (action, more) = match list {
        true => (ArgAction::Append, "; may be repeated"),
        false => (ArgAction::Set, ""),
    };
    let help = match help.split_once(" [default") {
        Some((about, default)) => format!("{about}{more} [default{default}"),
        None => format!("{help}{more}"),
    };
    Some(Arg::new(*flag).long(*flag).value_name(opt.value).help(help).action(action))
}

impl clap::Args for MeasureOptions {
    fn augment_args(command: Command) -> Command {
        let set = Arg::new(SET).long(SET).value_name("MEASURE.KEY=VALUE").action(ArgAction::Append);
        let set =
            set.help("Set an option of a measure; a list is separated by commas; may be repeated");
        command.args(FLAGS.iter().filter_map(argument)).arg(set)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl clap::FromArgMatches for MeasureOptions {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let texts = |name: &str| matches.get_many::<String>(name).into_iter().flatten().cloned();
        let mut flags = Vec::new();
        for (flag, sets) in &FLAGS {
            for text in texts(flag) {
                flags.extend(sets.iter().map(|(measure, key)| (*measure, *key, text.clone())));
            }
        }
        Ok(Self { flags, set: texts(SET).collect() })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flag_sets_options_that_exist_and_are_of_one_type() {
        for (flag, sets) in &FLAGS {
            let default = |(name, key): &(&str, &str)| {
                let defaults = measure::by_name(name).and_then(Kind::defaults).expect(name);
                defaults.get(*key).expect(key).clone()
            };
            let defaults: Vec<Value> = sets.iter().map(default).collect();
            assert!(defaults.windows(2).all(|pair| pair[0] == pair[1]), "--{flag}: {defaults:?}");
            assert!(argument(&(flag, sets)).is_some(), "--{flag}");
        }
    }
}

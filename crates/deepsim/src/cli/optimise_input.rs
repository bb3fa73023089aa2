//! `deepsim optimise --generator`: descent in the input of a generator.

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::Result;
use candle_core::Device;
use deepsim_data::decode;
use deepsim_data::picture::Picture;
use deepsim_eval::features::{Bounds, Features, Origin, View, extract, photos};
use deepsim_eval::generate::check_folder;
use deepsim_eval::generator_input::report::RESERVED;
use deepsim_eval::generator_input::{Goal, Report, Settings, Start, Term, optimise, write};
use deepsim_eval::measure::Model;
use deepsim_eval::{EvalError, comparators};
use deepsim_nets::{Comparator, ComparatorKind};

use super::exit::{self, Failure};
use super::locate;
use super::optimise_options::Arguments;
use super::show;
use super::signals::Signals;

/// A tap with its network, and what is behind it.
#[derive(Clone, Debug, PartialEq)]
struct Place<T> {
    net: ComparatorKind,
    tap: String,
    value: T,
}

/// Parses `[NET:]TAP`.
fn place<T>(option: &str, text: &str, net: &ComparatorKind, value: T) -> Result<Place<T>> {
    let (net, tap) = match text.rsplit_once(':') {
        Some((name, tap)) => (name.parse()?, tap),
        None => (net.clone(), text),
    };
    if tap.is_empty() {
        return Err(Failure::usage(format!("{option}: expected [NET:]TAP, found `{text}`")).into());
    }
    Ok(Place { net, tap: tap.into(), value })
}

/// Parses `[NET:]TAP[=WEIGHT]`.
fn weighted(text: &str, net: &ComparatorKind) -> Result<Place<f64>> {
    let Some((tap, weight)) = text.rsplit_once('=') else { return place("--tap", text, net, 1.0) };
    let parsed = f64::from_str(weight).ok().filter(|weight| weight.is_finite() && *weight > 0.0);
    let weight = parsed.ok_or_else(|| {
        Failure::usage(format!("--tap {text}: expected a weight above 0, found `{weight}`"))
    })?;
    place("--tap", tap, net, weight)
}

/// Parses `[NET:]TAP:UNIT`.
fn unit(text: &str, net: &ComparatorKind) -> Result<Place<usize>> {
    let parsed = text.rsplit_once(':').and_then(|(tap, unit)| Some((tap, unit.parse().ok()?)));
    let (tap, unit) = parsed.ok_or_else(|| {
        Failure::usage(format!("--unit: expected [NET:]TAP:UNIT, e.g. fc8:281, found `{text}`"))
    })?;
    place("--unit", tap, net, unit)
}

/// Places of each network, in the order in which networks are named.
fn by_net<T>(places: Vec<Place<T>>) -> Vec<(ComparatorKind, Vec<Place<T>>)> {
    let mut nets: Vec<(ComparatorKind, Vec<Place<T>>)> = Vec::new();
    for place in places {
        match nets.iter_mut().find(|(net, _)| *net == place.net) {
            Some((_, all)) => all.push(place),
            None => nets.push((place.net.clone(), vec![place])),
        }
    }
    nets
}

/// Aim of the descent.
enum Aim {
    /// Features in files.
    Files(Vec<Features>),
    /// Photographs, and the part of them that has the size of the generator's images.
    Photos(Vec<PathBuf>, View),
}

impl Aim {
    fn read(targets: &[PathBuf], view: View) -> Result<Self> {
        let holds_features = |path: &PathBuf| {
            path.extension().is_some_and(|ending| ending == "npy" || ending == "safetensors")
        };
        let files = targets.iter().filter(|path| holds_features(path)).count();
        if files != 0 && files != targets.len() {
            let message = "--target: expected photographs or files of features, found both";
            return Err(Failure::usage(message).into());
        }
        Ok(match files {
            0 => Self::Photos(photos(targets)?, view),
            _ => Self::Files(
                targets.iter().map(|path| Features::read(path)).collect::<Result<_, _>>()?,
            ),
        })
    }

    /// Features at taps of a network, of photographs `batch` together.
    fn features(
        &self,
        net: &dyn Comparator,
        taps: &[String],
        batch: usize,
        device: &Device,
    ) -> Result<Cow<'_, Features>> {
        let files = match self {
            Self::Files(files) => files,
            Self::Photos(photos, view) => {
                return Ok(Cow::Owned(extract(net, taps, photos, *view, batch, device)?));
            }
        };
        let name = net.name();
        let refuse = |wanted, got| EvalError::Input { operation: "--target", wanted, got };
        let mut own =
            files.iter().filter(|file| file.origin.net.as_deref().is_none_or(|net| net == name));
        match (own.next(), own.next()) {
            (Some(file), None) => Ok(Cow::Borrowed(file)),
            (Some(_), Some(_)) => Err(refuse(
                format!("one file of features of {name}; a .safetensors file says whose they are"),
                "several".into(),
            )
            .into()),
            (None, _) => {
                let found: Vec<&str> =
                    files.iter().filter_map(|file| file.origin.net.as_deref()).collect();
                let got = format!("those of {}", found.join(", "));
                Err(refuse(format!("features of {name}"), got).into())
            }
        }
    }

    /// Photographs as the generator's images are cut, if they are at hand.
    fn originals(&self) -> Result<Vec<Picture>> {
        match self {
            Self::Files(_) => Ok(Vec::new()),
            Self::Photos(photos, view) => {
                photos.iter().map(|path| Ok(view.of(&decode::read_photo(path)?)?)).collect()
            }
        }
    }
}

/// Refuses files of networks without a tap.
fn all_used(files: &[Features], goals: &[Goal]) -> Result<()> {
    let nets = files.iter().filter_map(|file| file.origin.net.as_deref());
    let mut left = nets.filter(|net| goals.iter().all(|goal| goal.net.name() != *net));
    left.next().map_or(Ok(()), |net| {
        let message =
            format!("--target: expected features of the networks in --tap, found those of {net}");
        Err(Failure::usage(message).into())
    })
}

/// Optimises, writes pictures and numbers, and prints them; returns the exit code.
pub(crate) fn run(arguments: &Arguments, generator: &Path) -> Result<u8> {
    let options = &arguments.input;
    let random = arguments.random_weights;
    if options.target.is_empty() && options.unit.is_empty() {
        let message = "--generator: expected --target with --tap, or --unit, found neither";
        return Err(Failure::usage(message).into());
    }
    let settings = Settings {
        steps: arguments.iterations.unwrap_or(Settings::default().steps),
        optimiser: options.optimiser,
        rate: options.rate,
        l2: options.l2,
        restarts: options.restarts,
        seed: arguments.seed,
        batch: arguments.batch,
    };
    settings.check()?;
    let default = &arguments.net;
    let units = options.unit.iter().map(|text| unit(text, default)).collect::<Result<Vec<_>>>()?;
    let taps =
        arguments.tap.iter().map(|text| weighted(text, default)).collect::<Result<Vec<_>>>()?;
    if let Some(other) =
        units.iter().find(|place| (&place.net, &place.tap) != (&units[0].net, &units[0].tap))
    {
        let message =
            format!("--unit: expected units of one tap, found {} and {}", units[0].tap, other.tap);
        return Err(Failure::usage(message).into());
    }

    let (device, weights) = arguments.place.open_with_data(random)?;
    let weights = weights.as_deref();
    let model = Model::to_draw(&locate::generator(generator, weights)?, None, &device)?;
    let (side, (tap, shape)) = (model.side(), model.input()?);
    let open = |kind: &ComparatorKind, taps: &[String]| {
        comparators::open_to_taps("optimise", kind, taps, weights, random, &device)
    };
    let (mut goals, mut names, mut originals) = (Vec::new(), Vec::new(), Vec::new());
    if let Some(first) = units.first() {
        let net = open(&first.net, std::slice::from_ref(&first.tap))?;
        names = units.iter().map(|place| format!("{}-{}.png", place.tap, place.value)).collect();
        let all = units.iter().map(|place| place.value).collect();
        goals.push(Goal { net, terms: vec![Term::units(&first.tap, 1.0, all)?] });
    } else {
        let aim = Aim::read(&options.target, model.view())?;
        for (kind, places) in by_net(taps) {
            let taps: Vec<String> = places.iter().map(|place| place.tap.clone()).collect();
            let net = open(&kind, &taps)?;
            let features = aim.features(&*net, &taps, arguments.batch, &device)?;
            if names.is_empty() {
                names.clone_from(&features.origin.pictures);
            }
            let term = |place: &Place<f64>| {
                let target = features.at(&place.tap, &kind.shape(&place.tap, side, side)?)?;
                Ok(Term::features(&place.tap, place.value, &target.tensor)?)
            };
            let terms = places.iter().map(term).collect::<Result<Vec<_>>>()?;
            goals.push(Goal { net, terms });
        }
        if let Aim::Files(files) = &aim {
            all_used(files, &goals)?;
        }
        originals = aim.originals()?;
    }
    let input = options.start.as_deref().map(|path| Features::read(path)?.at(&tap, &shape));
    let bounds = options.bounds.as_deref();
    let start = Start {
        input: input.transpose()?.map(|fitted| fitted.tensor),
        bounds: bounds
            .map(|path| Bounds::read(path, &tap, &shape, options.deviations))
            .transpose()?,
    };

    let n = goals.iter().flat_map(|goal| &goal.terms).map(Term::len).next().unwrap_or(0);
    let origin =
        Origin { pictures: if names.len() == n { names } else { Vec::new() }, ..Origin::default() };
    let names = origin.file_names(n, &RESERVED);
    let out = &arguments.out;
    if out.exists() && !out.is_dir() {
        let message = format!("{}: expected a folder, found a file", out.display());
        return Err(Failure::usage(message).into());
    }
    check_folder(out, &names)?;

    let signals = Signals::new()?;
    tracing::info!(
        "optimising the input of the generator, {}; Ctrl-C writes the best so far",
        model.input_space()
    );
    let found = optimise(&model, (&shape, &goals), &start, &settings, &signals.stop)?;
    let report = Report { names, originals };
    let rows = write(&model, &goals, &found, &report, out)?;
    println!("{}", out.display());
    show::rows(&rows);
    let still = found.pictures.iter().flatten().filter(|one| one.found_at == (0, 0)).count();
    if still > 0 && settings.steps > 0 && !found.interrupted {
        tracing::warn!(
            "no step led to a better input than the first in {still} of {n} pictures: where a unit is off, or a step is too \
             large, try another --start, --restarts or --rate"
        );
    }
    if !found.interrupted {
        return Ok(exit::DONE);
    }
    let begun = found.pictures.iter().flatten().count();
    tracing::info!("interrupted: the best inputs so far are written, of {begun} of {n} pictures");
    Ok(exit::INTERRUPTED)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn taps_have_networks_and_weights_and_units_numbers() -> Result<()> {
        let (alexnet, squeezenet) = (ComparatorKind::alexnet(), ComparatorKind::squeezenet());
        let at = |net: &ComparatorKind, tap: &str, value: f64| Place {
            net: net.clone(),
            tap: tap.into(),
            value,
        };
        assert_eq!(weighted("CONV3", &alexnet)?, at(&alexnet, "CONV3", 1.0));
        assert_eq!(weighted("CONV5=0.5", &alexnet)?, at(&alexnet, "CONV5", 0.5));
        assert_eq!(weighted("squeezenet:FIRE9=2", &alexnet)?, at(&squeezenet, "FIRE9", 2.0));
        let found = unit("squeezenet:LOGITS:281", &alexnet)?;
        assert_eq!((found.net.name(), &*found.tap, found.value), ("squeezenet", "LOGITS", 281));
        assert_eq!(unit("fc8:7", &alexnet)?.value, 7);
        for wrong in ["CONV5=", "CONV5=0", "CONV5=-1", "CONV5=inf", "lenet:CONV1", "alexnet:", "=2"]
        {
            assert!(weighted(wrong, &alexnet).is_err(), "{wrong}");
        }
        for wrong in ["fc8", "fc8:", "fc8:-1", "fc8:cat", "lenet:fc8:1"] {
            assert!(unit(wrong, &alexnet).is_err(), "{wrong}");
        }
        Ok(())
    }

    #[test]
    fn taps_of_one_network_are_together() -> Result<()> {
        let alexnet = ComparatorKind::alexnet();
        let texts = ["CONV3", "squeezenet:FIRE9", "alexnet:CONV5"];
        let places =
            texts.map(|text| weighted(text, &alexnet)).into_iter().collect::<Result<Vec<_>>>()?;
        let nets = by_net(places);
        let counts: Vec<_> = nets.iter().map(|(net, all)| (net.name(), all.len())).collect();
        assert_eq!(counts, [("alexnet", 2), ("squeezenet", 1)]);
        Ok(())
    }
}

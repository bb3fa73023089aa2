//! The contract of a measure, and a row of the list of measures.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::options::{self, Opt};
use super::{Context, Row};
use crate::EvalError;

/// Something to measure on a generator; its fields are its options.
///
/// With `#[serde(default, deny_unknown_fields)]` on the type, options that are not given take the values of
/// [`Default`]. A measure without options is `struct Name {}`: a unit struct, `struct Name;`, is refused when it runs.
///
/// [`evaluate`](super::evaluate) takes a measure of your own program too; `deepsim eval` knows those in
/// [`all`](super::all).
///
/// ```
/// use deepsim_eval::EvalError;
/// use deepsim_eval::measure::{Context, Measure, Row};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Default, Serialize, Deserialize)]
/// #[serde(default, deny_unknown_fields)]
/// struct Brightness {}
///
/// impl Measure for Brightness {
///     const NAME: &'static str = "brightness";
///     const ABOUT: &'static str = "mean of the reconstructions' bytes";
///
///     fn rows(&self, context: &Context<'_>) -> Result<Vec<Row>, EvalError> {
///         let images = context.reconstructions()?;
///         let mut means = Vec::new();
///         for range in images.ranges() {
///             let (_, reconstructions) = images.images(range)?;
///             let size = 3 * images.side() * images.side();
///             let bytes = reconstructions.to_u8()?;
///             let mean = |image: &[u8]| image.iter().map(|x| f64::from(*x)).sum::<f64>() / size as f64;
///             means.extend(bytes.chunks_exact(size).map(mean));
///         }
///         Ok(vec![Row::mean("brightness", &means, "grey levels", "")])
///     }
/// }
/// ```
pub trait Measure: Default + Serialize + DeserializeOwned + Send + Sync + 'static {
    /// Name on the command line and of the file of results.
    const NAME: &'static str;
    /// One line on what it measures, for the help of programs: lower case, without a full stop.
    const ABOUT: &'static str;
    /// Texts of its options, one for each field.
    const OPTIONS: &'static [Opt] = &[];

    /// Measures.
    ///
    /// # Errors
    /// If data cannot be read, a network does not fit, or results cannot be written.
    fn rows(&self, context: &Context<'_>) -> Result<Vec<Row>, EvalError>;
}

/// A [`Measure`] whose type is not known.
pub trait AnyMeasure: Send + Sync {
    /// Returns [`Measure::NAME`].
    fn name(&self) -> &'static str;

    /// Returns the options by key.
    ///
    /// # Errors
    /// If they cannot be written as JSON.
    fn options(&self) -> Result<Map<String, Value>, EvalError>;

    /// Measures, as [`Measure::rows`].
    ///
    /// # Errors
    /// As [`Measure::rows`].
    fn take(&self, context: &Context<'_>) -> Result<Vec<Row>, EvalError>;
}

impl<M: Measure> AnyMeasure for M {
    fn name(&self) -> &'static str {
        M::NAME
    }

    fn options(&self) -> Result<Map<String, Value>, EvalError> {
        match serde_json::to_value(self) {
            Ok(Value::Object(options)) => Ok(options),
            Ok(other) => {
                Err(EvalError::option(M::NAME, "", "a struct with fields", other.to_string()))
            }
            Err(error) => Err(EvalError::option(M::NAME, "", "options", error.to_string())),
        }
    }

    fn take(&self, context: &Context<'_>) -> Result<Vec<Row>, EvalError> {
        self.rows(context)
    }
}

/// Reads a measure from its options.
type Build = fn(Map<String, Value>) -> serde_json::Result<Box<dyn AnyMeasure>>;

/// A row of [`all`](super::all): makes a measure from its options.
#[derive(Clone, Copy, Debug)]
pub struct Kind {
    name: &'static str,
    about: &'static str,
    options: &'static [Opt],
    build: Build,
}

impl Kind {
    /// The row of a measure.
    pub(super) const fn of<M: Measure>() -> Self {
        Self {
            name: M::NAME,
            about: M::ABOUT,
            options: M::OPTIONS,
            build: |options| Ok(Box::new(serde_json::from_value::<M>(Value::Object(options))?)),
        }
    }

    /// Returns [`Measure::NAME`].
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Returns [`Measure::ABOUT`].
    pub fn about(&self) -> &'static str {
        self.about
    }

    /// Returns [`Measure::OPTIONS`].
    pub fn options(&self) -> &'static [Opt] {
        self.options
    }

    /// Returns the default of every option, by key.
    ///
    /// # Errors
    /// If a default cannot be read or written.
    pub fn defaults(&self) -> Result<Map<String, Value>, EvalError> {
        self.with_values(Map::new())?.options()
    }

    /// Makes the measure from options that are written as text, `(key, value)`. A comma separates the
    /// elements of a list, and a list that is given several times has the elements of all.
    ///
    /// ```
    /// use deepsim_eval::measure;
    /// let svm = measure::by_name("svm")?;
    /// let options = svm.with(&[("draws", "3"), ("inputs", "code,pixels")])?.options()?;
    /// assert_eq!(serde_json::to_string(&options).ok().as_deref(),
    ///     Some(r#"{"draws":3,"inputs":["code","pixels"]}"#));
    /// let message = svm.with(&[("drwas", "3")]).err().map(|error| error.to_string());
    /// assert_eq!(message.as_deref(),
    ///     Some("svm.drwas: expected an option of svm (draws, inputs; nearest: draws), found drwas"));
    /// # Ok::<(), deepsim_eval::EvalError>(())
    /// ```
    ///
    /// # Errors
    /// [`EvalError::Option`] if it has no option of a key, or a value is not of its type.
    pub fn with(&self, options: &[(&str, &str)]) -> Result<Box<dyn AnyMeasure>, EvalError> {
        let (defaults, mut chosen) = (self.defaults()?, Map::new());
        for (key, text) in options {
            options::choose(&mut chosen, key, text, defaults.get(*key));
        }
        self.with_values(chosen)
    }

    /// Makes the measure from options as JSON values by key; others have their defaults.
    ///
    /// # Errors
    /// As [`Kind::with`].
    pub fn with_values(
        &self,
        options: Map<String, Value>,
    ) -> Result<Box<dyn AnyMeasure>, EvalError> {
        // One option more each time, so that the message names the one that is wrong.
        let mut taken = Map::new();
        let build = |taken: &Map<String, Value>, key: &str, found: String| {
            let opt = self.options.iter().find(|opt| opt.key == key);
            (self.build)(taken.clone()).map_err(|error| {
                let expected = options::expected(&error.to_string(), opt);
                EvalError::option(self.name, key, expected, found)
            })
        };
        let mut measure = build(&taken, "", "nothing".into())?;
        for (key, value) in options {
            if !self.options.iter().any(|opt| opt.key == key) {
                let expected = options::known_keys(self.name, self.options, &key);
                return Err(EvalError::option(self.name, &key, expected, key.clone()));
            }
            let found = options::written(&value);
            taken.insert(key.clone(), value);
            measure = build(&taken, &key, found)?;
        }
        Ok(measure)
    }
}

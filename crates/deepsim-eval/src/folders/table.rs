//! Numbers of pairs of pictures as a table: a row for each pair, a column for each measure.

use super::pairing::{Pair, Pairing};
use super::windows::Size;
use crate::EvalError;
use crate::compare::badness;
use crate::measure::Row;
use crate::metrics::statistics::{mean_and_spread, median};

/// One measure of all pairs.
#[derive(Clone, Debug, PartialEq)]
pub struct Column {
    /// Name of the measure.
    pub name: String,
    /// Unit, e.g. `%`.
    pub unit: String,
    /// Note for people on how it was computed.
    pub note: String,
    /// Value of each pair; `None` where it is not defined, or the pair could not be measured.
    pub values: Vec<Option<f64>>,
    /// Number of pairs that were measured and of which the value is not defined, with the first reason.
    pub undefined: Option<(usize, String)>,
}

/// Numbers of all pairs.
#[derive(Debug)]
pub struct PairTable {
    /// The pairs.
    pub pairing: Pairing,
    /// Height and width of each pair's pictures, or the reason why the pair could not be measured.
    pub sizes: Vec<Result<(usize, usize), String>>,
    /// The measures; none if no pair could be measured.
    pub columns: Vec<Column>,
    /// Number of pairs that could not be measured.
    pub failed: usize,
    /// First error of a named measure that needs larger pictures.
    pub too_small: Option<EvalError>,
}

/// Summary of a column.
#[derive(Clone, Debug, PartialEq)]
pub struct Summary<'a> {
    /// Number of pairs with a value.
    pub pairs: usize,
    /// Mean.
    pub mean: f64,
    /// Population standard deviation.
    pub spread: f64,
    /// Median.
    pub median: f64,
    /// The pair whose pictures are furthest apart, with its value.
    pub worst: (&'a Pair, f64),
}

impl PairTable {
    pub(super) fn new(pairing: Pairing) -> Self {
        let sizes = pairing.pairs.iter().map(|_| Err("not measured".into())).collect();
        Self { pairing, sizes, columns: Vec::new(), failed: 0, too_small: None }
    }

    /// Notes the reason why a pair could not be measured.
    pub(super) fn fail(&mut self, index: usize, failure: &EvalError) {
        self.sizes[index] = Err(failure.to_string());
    }

    /// Adds the rows of a pair.
    pub(super) fn add(&mut self, index: usize, size: Size, rows: &[Row]) {
        self.sizes[index] = Ok(size);
        if self.columns.is_empty() {
            let values = vec![None; self.sizes.len()];
            let column = |row: &Row| Column {
                name: row.name.clone(),
                unit: row.unit.clone(),
                note: String::new(),
                values: values.clone(),
                undefined: None,
            };
            self.columns = rows.iter().map(column).collect();
        }
        for (column, row) in self.columns.iter_mut().zip(rows) {
            column.values[index] = row.value;
            if row.value.is_none() {
                let (count, _) = column.undefined.get_or_insert_with(|| (0, row.note.clone()));
                *count += 1;
            } else if column.note.is_empty() {
                column.note.clone_from(&row.note);
            }
        }
    }

    /// Summary of a column; `None` without any value.
    pub fn summary(&self, column: &Column) -> Option<Summary<'_>> {
        let there = self.pairing.pairs.iter().zip(&column.values);
        let there = there.filter_map(|(pair, value)| Some((pair, (*value)?)));
        let there: Vec<(&Pair, f64)> = there.collect();
        let values: Vec<f64> = there.iter().map(|(_, value)| *value).collect();
        let further = |one: &(&Pair, f64), other: &(&Pair, f64)| {
            badness(&column.name, one.1).total_cmp(&badness(&column.name, other.1))
        };
        // The first of equal ones.
        let worst = there.into_iter().rev().max_by(further)?;
        let (mean, spread) = mean_and_spread(&values);
        Some(Summary { pairs: values.len(), mean, spread, median: median(&values), worst })
    }

    /// The table as CSV (RFC 4180): a line for each pair with the paths of its pictures, their size, the value of each
    /// measure, and the reason why the pair could not be measured. What is not defined is empty.
    pub fn to_csv(&self) -> String {
        let head = ["a", "b", "width", "height"].map(str::to_owned).into_iter();
        let names = self.columns.iter().map(|column| quoted(&column.name));
        let mut csv = line(head.chain(names).chain(["error".into()]));
        for (index, (pair, size)) in self.pairing.pairs.iter().zip(&self.sizes).enumerate() {
            let number = |value: Option<usize>| value.map_or(String::new(), |n| n.to_string());
            let (height, width) = match size {
                Ok((height, width)) => (Some(*height), Some(*width)),
                Err(_) => (None, None),
            };
            let head = [quoted(&pair.a), quoted(&pair.b), number(width), number(height)];
            let value =
                |column: &Column| column.values[index].map_or(String::new(), |v| v.to_string());
            let error = size.as_ref().err().map_or(String::new(), |reason| quoted(reason));
            csv += &line(head.into_iter().chain(self.columns.iter().map(value)).chain([error]));
        }
        csv
    }
}

fn line(fields: impl Iterator<Item = String>) -> String {
    fields.collect::<Vec<_>>().join(",") + "\n"
}

/// A field of CSV, in quotation marks where it needs them.
fn quoted(field: &str) -> String {
    match field.contains([',', '"', '\n', '\r']) {
        true => format!("\"{}\"", field.replace('"', "\"\"")),
        false => field.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(names: &[&str]) -> PairTable {
        let pair = |name: &&str| Pair { a: (*name).into(), b: (*name).into() };
        PairTable::new(Pairing {
            roots: ["a".into(), "b".into()],
            pairs: names.iter().map(pair).collect(),
            only_a: Vec::new(),
            only_b: Vec::new(),
        })
    }

    #[test]
    fn the_worst_pair_is_the_one_furthest_apart_by_each_measure() {
        let mut table = table(&["1.png", "2.png", "3.png", "4.png"]);
        for (index, error, ratio, power) in
            [(3, 9.0, 20.0, 30.0), (0, 1.0, 50.0, 150.0), (1, 9.0, 10.0, 101.0)]
        {
            let rows = [
                Row::new("root mean square error", error, "grey levels", ""),
                Row::new("peak signal-to-noise ratio", ratio, "dB", ""),
                Row::new("high-frequency power", power, "%", ""),
            ];
            table.add(index, (8, 8), &rows);
        }
        let worst: Vec<(&str, f64)> = (table.columns.iter())
            .filter_map(|column| table.summary(column))
            .map(|summary| (&*summary.worst.0.a, summary.worst.1))
            .collect();
        assert_eq!(worst, [("2.png", 9.0), ("2.png", 10.0), ("4.png", 30.0)]);
        let summary = table.summary(&table.columns[1]).expect("values");
        assert_eq!((summary.pairs, summary.median), (3, 20.0));
        assert!((summary.mean - 80.0 / 3.0).abs() < 1e-12);
        assert!((summary.spread - (2600.0f64 / 9.0).sqrt()).abs() < 1e-12);
    }

    #[test]
    fn csv_quotes_what_it_must_and_leaves_empty_what_is_not_defined() {
        let mut table = table(&["1.png", "a, \"b\".png", "3.png"]);
        let rows = |value: f64| {
            [Row::new("net, random weights", value, "%", "how"), Row::undefined("x", "", "why", "")]
        };
        table.add(1, (3, 4), &rows(0.25));
        table.add(2, (5, 4), &rows(f64::NAN));
        let failure = EvalError::input("compare", "a, b", "c");
        table.fail(0, &failure);
        assert_eq!(
            table.to_csv(),
            "a,b,width,height,\"net, random weights\",x,error\n\
             1.png,1.png,,,,,\"compare: expected a, b, found c\"\n\
             \"a, \"\"b\"\".png\",\"a, \"\"b\"\".png\",4,3,0.25,,\n\
             3.png,3.png,4,5,,,\n"
        );
        assert_eq!(table.columns[0].undefined, Some((1, "value NaN; how".into())));
        assert_eq!(table.columns[1].undefined, Some((2, "why".into())));
        assert_eq!(table.summary(&table.columns[1]), None);
    }
}

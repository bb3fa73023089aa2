//! `cargo xtask bench ops`

mod others;

use std::path::Path;

use anyhow::{Result, bail};
use serde_json::{Value, json};

use super::cost::{Cost, Kind, Layer};
use super::machine::Use;
use super::rounds::{self, Times};
use super::server::Server;
use super::statistics::Ratio;
use super::trainings::recipe;
use super::{Common, report, torch};
use crate::process::{Failure, say};
use crate::workspace;

/// Every convolution of the networks: forward, and both gradients. Other operations: forward and backward.
///
/// One thread; CPU time. The operation is timed alone, without bias and activation.
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// Only those with one of these in their name, e.g. D.conv2 or batch_norm [default: all]
    name: Vec<String>,
    #[command(flatten)]
    common: Common,
}

const PASSES: [&str; 3] = ["forward", "input", "weight"];
const ROUNDS: u16 = 7;
const PRODUCT: usize = 1536;

/// Convolution under its name in the tables.
#[derive(Clone, Debug, PartialEq)]
struct Op {
    name: String,
    layer: Layer,
    batch: usize,
    /// Passes in the autoencoder's step, in the order of [`PASSES`].
    needed: [bool; 3],
}

impl Op {
    /// True if it is this convolution of so many images, under any name.
    fn is(&self, batch: usize, layer: &Layer) -> bool {
        let name = self.layer.name.clone();
        let same = Layer { name, first: self.layer.first, ..layer.clone() };
        self.batch == batch && self.layer == same
    }

    fn request(&self, pass: &str) -> String {
        let Layer { kind, inputs, outputs, side, kernel, stride, padding, groups, .. } =
            &self.layer;
        let op = match kind {
            Kind::Conv | Kind::Linear => "conv2d",
            Kind::UpConv => "conv_transpose2d",
        };
        let batch = self.batch;
        format!(
            "{op} {pass} {batch} {inputs} {side} {side} {outputs} {kernel} {stride} {padding} {groups}"
        )
    }
}

/// The networks whose convolutions are timed.
struct Networks {
    /// Cost of the autoencoder's step.
    step: Cost,
    /// The same with all convolutions of the comparator.
    deeper: Cost,
    /// Cost of inverting FC6.
    inversion: Cost,
}

impl Networks {
    fn ask(server: &Path) -> Result<Self> {
        let ask = |name, sets: &[&str]| Cost::ask(server, &recipe(name), sets);
        Ok(Self {
            step: ask("autoencoder-alexnet-conv3", &[])?,
            deeper: ask("autoencoder-alexnet-conv3", &["feature.tap=CONV5"])?,
            inversion: ask("inversion-fc6", &[])?,
        })
    }

    /// Returns the convolutions; of equal ones the first.
    fn ops(&self) -> Result<Vec<Op>> {
        let mut all: Vec<Op> = Vec::new();
        let compared = &self.step.network("comparator")?.layers;
        let networks = [
            ("G", self.step.network("generator")?, 64),
            ("D", self.step.network("discriminator")?, 64),
            ("C", self.deeper.network("comparator")?, 64),
            ("FC6", self.inversion.network("generator")?, 4),
        ];
        for (network, of, batch) in networks {
            for layer in of.layers.iter().filter(|layer| layer.kind != Kind::Linear) {
                let needed = match network {
                    "G" => [true, !layer.first, true],
                    "D" => [true; 3],
                    "C" if compared.contains(layer) => [true, true, false],
                    _ => [false; 3],
                };
                let name = format!("{network}.{}", layer.name);
                if !all.iter().any(|op| op.is(batch, layer)) {
                    all.push(Op { name, layer: layer.clone(), batch, needed });
                }
            }
        }
        Ok(all)
    }
}

/// Compares, and prints a table.
pub(super) fn run(arguments: &Arguments) -> Result<()> {
    let common = &arguments.common;
    let target = workspace::target_dir()?;
    torch::build(&target, &[torch::OPS, torch::STEP], false)?;
    let mut ops = Networks::ask(&torch::path(&target, torch::STEP.1))?.ops()?;
    let mut others = others::ALL.to_vec();
    if !arguments.name.is_empty() {
        let wanted = |of: &str| arguments.name.iter().any(|name| of.contains(name.as_str()));
        ops.retain(|op| wanted(&op.name));
        others.retain(|other| wanted(other.name));
    }
    if ops.is_empty() && others.is_empty() {
        let names = arguments.name.join(" ");
        return Err(Failure::usage(format!("{names}: no operation has this in its name")));
    }
    let python = torch::interpreter(common.python.as_deref(), torch::Wants::Cpu, &target)?;
    let before = Use::before(common.save)?;
    let channels_last = |last: bool| {
        let mut command = torch::script(&python, "ops.py", 1);
        command.args(last.then_some("--channels-last"));
        command
    };
    let mut servers = [
        Server::start("ours", &mut torch::example(&target, "op_server", 1))?,
        Server::start("PyTorch, NCHW", &mut channels_last(false))?,
        Server::start("PyTorch, channels last", &mut channels_last(true))?,
    ];
    let rounds = usize::from(common.rounds.unwrap_or(ROUNDS));
    let counts = (ops.len(), others.len());
    say(&format!("== convolutions: {}, others: {}, rounds: {rounds}", counts.0, counts.1));
    let sgemm = sgemm(&mut servers[0], rounds)?;
    let mut measured = Vec::with_capacity(ops.len());
    for op in ops {
        let mut measure = |pass| {
            let request = op.request(pass);
            Pass::new(rounds::play(&mut servers, &[request.as_str(); 3], rounds, false)?)
        };
        let passes = [measure(PASSES[0])?, measure(PASSES[1])?, measure(PASSES[2])?];
        measured.push(Measured { op, passes });
    }
    let measure = |other| others::Measured::new(&mut servers, other, rounds);
    let others = others.into_iter().map(measure).collect::<Result<Vec<_>>>()?;
    print(&measured, sgemm);
    others::print(&others);
    let numbers = json!({
        "threads": 1,
        "rounds": rounds,
        "sgemm_gflop_per_s": sgemm,
        "convolutions": measured.iter().map(Measured::json).collect::<Vec<_>>(),
        "others": others.iter().map(others::Measured::json).collect::<Vec<_>>(),
    });
    report::finish("ops", common.save, before, &servers[1].facts["torch"], None, numbers)
}

/// GFLOP/s of a product of large matrices on one thread, the best of all rounds.
fn sgemm(server: &mut Server, rounds: usize) -> Result<f64> {
    let mut fastest = f64::INFINITY;
    for _ in 0..rounds {
        fastest = fastest.min(server.ask(&format!("sgemm {PRODUCT}"))?.cpu);
    }
    Ok(2.0 * (PRODUCT as f64).powi(3) / (fastest * 1e6))
}

/// One pass of a convolution: CPU milliseconds of ours, of PyTorch's NCHW and of its channels last.
#[derive(Clone, Copy)]
struct Pass {
    cpu: [f64; 3],
    /// Ours over each of the other two.
    ratios: [Ratio; 2],
}

impl Pass {
    fn new(times: Vec<Times>) -> Result<Self> {
        let [ours, nchw, last] = &times[..] else { bail!("expected the times of three servers") };
        Ok(Self {
            cpu: [
                rounds::median(&ours.cpu)?,
                rounds::median(&nchw.cpu)?,
                rounds::median(&last.cpu)?,
            ],
            ratios: [rounds::ratio(&ours.cpu, &nchw.cpu)?, rounds::ratio(&ours.cpu, &last.cpu)?],
        })
    }

    fn json(&self) -> Value {
        let [ours, nchw, last] = self.cpu;
        json!({
            "ours_cpu_ms": ours,
            "torch_cpu_ms": nchw,
            "torch_channels_last_cpu_ms": last,
            "ours_to_torch": report::ratio_json(self.ratios[0]),
            "ours_to_torch_channels_last": report::ratio_json(self.ratios[1]),
        })
    }

    /// Ours over the faster of the other two.
    fn to_best(self) -> Ratio {
        self.ratios[usize::from(self.cpu[2] < self.cpu[1])]
    }
}

/// Times of one convolution; passes in the order of [`PASSES`].
struct Measured {
    op: Op,
    passes: [Pass; 3],
}

impl Measured {
    /// GFLOP of one pass over the batch.
    fn gflop(&self) -> f64 {
        self.op.layer.flops * self.op.batch as f64 / 1e9
    }

    fn row(&self, sgemm: f64) -> Vec<String> {
        let mut row = vec![self.op.name.clone(), format!("{:.1}", self.op.layer.flops / 1e6)];
        row.extend(self.passes.iter().map(|pass| {
            let [ours, nchw, last] = pass.cpu;
            let share = 100.0 * self.gflop() / ours * 1e3 / sgemm;
            let ratio = pass.to_best().median;
            format!("{nchw:.2} / {last:.2} / **{ours:.2}** ({ratio:.2}; {share:.0} %)")
        }));
        row
    }

    fn json(&self) -> Value {
        let passes: serde_json::Map<_, _> = PASSES
            .iter()
            .zip(&self.passes)
            .map(|(name, pass)| {
                let mut value = pass.json();
                value["ours_gflop_per_s"] = json!(self.gflop() / pass.cpu[0] * 1e3);
                ((*name).to_owned(), value)
            })
            .collect();
        json!({
            "name": self.op.name,
            "batch": self.op.batch,
            "mflop_per_image": self.op.layer.flops / 1e6,
            "needed_by_autoencoder": self.op.needed,
            "passes": passes,
        })
    }
}

fn print(measured: &[Measured], sgemm: f64) {
    if measured.is_empty() {
        return;
    }
    let mut rows: Vec<_> = measured.iter().map(|one| one.row(sgemm)).collect();
    rows.push(sums(measured));
    let header = ["convolution", "MFLOP/image", "forward", "gradient to input", "to weights"];
    say(&report::table(&header, &rows));
    say(&format!(
        "CPU ms on one thread: PyTorch NCHW / PyTorch channels last / ours (ours to the faster of \
         the two; share of sgemm's {sgemm:.0} GFLOP/s). The sum is of what the autoencoder's step \
         needs."
    ));
}

/// Sums of each pass over the convolutions whose pass the autoencoder's step makes.
fn sums(measured: &[Measured]) -> Vec<String> {
    let mut row = vec!["sum".to_owned(), String::new()];
    row.extend((0..PASSES.len()).map(|at| {
        let needed = measured.iter().filter(|one| one.op.needed[at]);
        let mut sum = [0.0; 3];
        for one in needed {
            for (sum, cpu) in sum.iter_mut().zip(one.passes[at].cpu) {
                *sum += cpu;
            }
        }
        let [ours, nchw, last] = sum;
        if ours == 0.0 {
            return String::new();
        }
        format!("{nchw:.1} / {last:.1} / **{ours:.1}** ({:.2})", ours / nchw.min(last))
    }));
    row
}

#[cfg(test)]
mod tests {
    use super::super::cost;
    use super::*;

    fn ops() -> Result<Vec<Op>> {
        let [step, deeper, inversion] = [cost::example(), cost::example(), cost::example()];
        Networks { step, deeper, inversion }.ops()
    }

    #[test]
    fn every_convolution_is_there_once() -> Result<()> {
        let ops = ops()?;
        // Fully connected layers are no convolutions; of equal ones the first is there, for each batch.
        let names: Vec<_> = ops.iter().map(|op| &op.name[..]).collect();
        let inversion = ["FC6.encoder.c1", "FC6.decoder.u1"];
        assert_eq!(names, [&["G.encoder.c1", "G.decoder.u1", "D.conv1"][..], &inversion].concat());
        let needed: Vec<_> = ops.iter().map(|op| op.needed).collect();
        assert_eq!(needed[..3], [[true, false, true], [true; 3], [true; 3]]);
        assert_eq!(ops[1].request("weight"), "conv_transpose2d weight 64 128 8 8 64 4 2 1 1");
        Ok(())
    }

    #[test]
    fn ours_is_compared_with_the_faster_of_the_others() -> Result<()> {
        let times = |cpu: f64| Times { wall: vec![cpu; 3], cpu: vec![cpu; 3] };
        let pass = Pass::new(vec![times(3.0), times(6.0), times(4.0)])?;
        assert_eq!(pass.to_best().median, 0.75);
        let op = ops()?.remove(0);
        let passes = [pass; 3];
        let measured = [Measured { op, passes }];
        // The gradient to the images is not needed, and not in the sum.
        let forward = "6.0 / 4.0 / **3.0** (0.75)";
        assert_eq!(sums(&measured), ["sum", "", forward, "", forward]);
        assert!(Pass::new(vec![times(1.0)]).is_err());
        Ok(())
    }
}

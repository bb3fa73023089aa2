//! `cargo xtask bench ops`

use anyhow::{Result, bail};
use serde_json::{Value, json};

use super::nets::{self, Kind, Layer};
use super::rounds::{self, Times};
use super::server::Server;
use super::statistics::Ratio;
use super::{Common, report, torch};
use crate::process::{Failure, say};
use crate::workspace;

/// Every convolution of the networks: forward, and both gradients.
///
/// One thread; CPU time. What is timed is the operation alone, without bias and activation.
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// Only convolutions with one of these in their name, e.g. D.conv2 [default: all]
    name: Vec<String>,
    #[command(flatten)]
    common: Common,
}

const PASSES: [&str; 3] = ["forward", "input", "weight"];
const ROUNDS: u16 = 7;
const PRODUCT: usize = 1536;

/// A convolution under the name it has in the tables.
#[derive(Clone, Debug, PartialEq)]
struct Op {
    name: String,
    layer: Layer,
    batch: usize,
    /// Which of [`PASSES`] the autoencoder's step makes.
    needed: [bool; 3],
}

impl Op {
    fn request(&self, pass: &str) -> String {
        let Layer { kind, inputs, outputs, side, kernel, stride, padding, groups, .. } = self.layer;
        let op = match kind {
            Kind::Conv => "conv2d",
            Kind::UpConv => "conv_transpose2d",
        };
        let batch = self.batch;
        format!(
            "{op} {pass} {batch} {inputs} {side} {side} {outputs} {kernel} {stride} {padding} {groups}"
        )
    }
}

/// All convolutions, of equal ones the first.
fn ops() -> Vec<Op> {
    let mut all: Vec<Op> = Vec::new();
    let discriminator = nets::discriminator(64, 2, 256);
    let alexnet = nets::alexnet(64);
    let networks: [(&str, &[Layer], usize); 4] = [
        ("G", &nets::AUTOENCODER, 64),
        ("D", &discriminator, 64),
        ("C", &alexnet, 64),
        ("FC6", &nets::FC6_GENERATOR, 4),
    ];
    for (network, layers, batch) in networks {
        for (at, &layer) in layers.iter().enumerate().filter(|(_, layer)| layer.kernel > 1) {
            let needed = match network {
                "G" => [true, at > 0, true],
                "D" => [true; 3],
                "C" => [at < 3, at < 3, false],
                _ => [false; 3],
            };
            let name = format!("{network}.{}", layer.name);
            let same = |op: &&Op| op.batch == batch && op.layer.same_shape(&layer);
            if all.iter().find(same).is_none() {
                all.push(Op { name, layer, batch, needed });
            }
        }
    }
    all
}

/// Compares, and prints a table.
pub(super) fn run(arguments: &Arguments) -> Result<()> {
    let mut ops = ops();
    if !arguments.name.is_empty() {
        ops.retain(|op| arguments.name.iter().any(|name| op.name.contains(name.as_str())));
    }
    if ops.is_empty() {
        let names = arguments.name.join(" ");
        return Err(Failure::usage(format!("{names}: no convolution has this in its name")));
    }
    let common = &arguments.common;
    let target = workspace::target_dir()?;
    let python = torch::interpreter(common.python.as_deref(), torch::Wants::Cpu, &target)?;
    torch::build(&target, &[torch::OPS], false)?;
    let load = report::load();
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
    say(&format!("== convolutions: {}, rounds: {rounds}", ops.len()));
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
    print(&measured, sgemm);
    let numbers = json!({
        "threads": 1,
        "rounds": rounds,
        "sgemm_gflop_per_s": sgemm,
        "convolutions": measured.iter().map(Measured::json).collect::<Vec<_>>(),
    });
    report::finish("ops", common.save, load, &servers[1].facts["torch"], None, numbers)
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
        let [ours, nchw, last] = &times[..] else { bail!("wanted the times of three servers") };
        Ok(Self {
            cpu: [
                rounds::median(&ours.cpu)?,
                rounds::median(&nchw.cpu)?,
                rounds::median(&last.cpu)?,
            ],
            ratios: [rounds::ratio(&ours.cpu, &nchw.cpu)?, rounds::ratio(&ours.cpu, &last.cpu)?],
        })
    }

    /// Ours over the faster of the other two.
    fn to_best(self) -> Ratio {
        self.ratios[usize::from(self.cpu[2] < self.cpu[1])]
    }
}

/// What came out for one convolution; passes in the order of [`PASSES`].
struct Measured {
    op: Op,
    passes: [Pass; 3],
}

impl Measured {
    /// GFLOP of one pass over the batch.
    fn gflop(&self) -> f64 {
        self.op.layer.flops() * self.op.batch as f64 / 1e9
    }

    fn row(&self, sgemm: f64) -> Vec<String> {
        let mut row = vec![self.op.name.clone(), format!("{:.1}", self.op.layer.flops() / 1e6)];
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
                let [ours, nchw, last] = pass.cpu;
                let value = json!({
                    "ours_cpu_ms": ours,
                    "torch_cpu_ms": nchw,
                    "torch_channels_last_cpu_ms": last,
                    "ours_gflop_per_s": self.gflop() / ours * 1e3,
                    "ours_to_torch": report::ratio_json(pass.ratios[0]),
                    "ours_to_torch_channels_last": report::ratio_json(pass.ratios[1]),
                });
                ((*name).to_owned(), value)
            })
            .collect();
        json!({
            "name": self.op.name,
            "batch": self.op.batch,
            "mflop_per_image": self.op.layer.flops() / 1e6,
            "needed_by_autoencoder": self.op.needed,
            "passes": passes,
        })
    }
}

fn print(measured: &[Measured], sgemm: f64) {
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
    use super::*;

    #[test]
    fn every_convolution_is_there_once() {
        let ops = ops();
        let count = |net: &str| ops.iter().filter(|op| op.name.starts_with(net)).count();
        // Fully connected layers are no convolutions.
        assert_eq!([count("G."), count("D."), count("C."), count("FC6.")], [14, 5, 5, 9]);
        for (at, op) in ops.iter().enumerate() {
            let same = |other: &Op| op.batch == other.batch && op.layer.same_shape(&other.layer);
            assert!(!ops[at + 1..].iter().any(same), "{} is there twice", op.name);
        }
        let up = ops.iter().find(|op| op.name == "G.decoder.u1").expect("it is in the table");
        assert_eq!(up.request("weight"), "conv_transpose2d weight 64 128 8 8 64 4 2 1 1");
    }

    #[test]
    fn ours_is_compared_with_the_faster_of_the_others() -> Result<()> {
        let times = |cpu: f64| Times { wall: vec![cpu; 3], cpu: vec![cpu; 3] };
        let pass = Pass::new(vec![times(3.0), times(6.0), times(4.0)])?;
        assert_eq!(pass.to_best().median, 0.75);
        let op = ops().remove(0);
        let passes = [pass; 3];
        let measured = [Measured { op, passes }];
        // The gradient to the images is not needed, and not in the sum.
        let forward = "6.0 / 4.0 / **3.0** (0.75)";
        assert_eq!(sums(&measured), ["sum", "", forward, "", forward]);
        assert!(Pass::new(vec![times(1.0)]).is_err());
        Ok(())
    }
}

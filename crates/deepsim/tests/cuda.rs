//! Training by two processes, each with a GPU of its own, started as `torchrun` does it. Without two GPUs the test says so and passes.
#![cfg(all(feature = "cli", feature = "nccl"))]

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use candle_core::cuda_backend::cudarc::driver::CudaContext;
use serde_json::Value;

use deepsim_run::files::{CHECKPOINT, GENERATOR, LOG};

/// All terms, with dropout; the paper's networks on a few small crops.
const RECIPE: &str = include_str!("../../../tests/fixtures/tiny.toml");

/// The third step is recorded, the fourth launched as a graph, and the fifth looked at.
fn recipe() -> String {
    RECIPE
        .replace("steps = 4", "steps = 5\naverage = 0.9")
        .replace("weight = 100.0", "weight = 100.0\nbalance = \"off\"")
}

fn program(folder: &Path, out: &str, more: &[&str]) -> Command {
    let mut program = Command::new(env!("CARGO_BIN_EXE_deepsim"));
    program.current_dir(folder).args(["train", "recipe.toml", "--out", out, "--device", "cuda"]);
    program.args(more).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    program
}

/// Starts the program as two processes.
fn start(folder: &Path, out: &str, patience: u64, more: &[&str]) -> [Child; 2] {
    // After it one is free, if nobody takes it meanwhile.
    let free = TcpListener::bind(("0.0.0.0", 0)).and_then(|listener| listener.local_addr());
    let port = free.expect("a free port").port() - 1;
    [0, 1].map(|rank: u8| {
        let mut program = program(folder, out, more);
        let rank = rank.to_string();
        program.env("WORLD_SIZE", "2").env("RANK", &rank).env("LOCAL_RANK", &rank);
        program.env("MASTER_ADDR", "127.0.0.1").env("MASTER_PORT", port.to_string());
        program.env("DEEPSIM_PATIENCE", patience.to_string());
        program.spawn().expect("deepsim starts")
    })
}

fn ended(child: Child) -> (Output, String) {
    let output = child.wait_with_output().expect("deepsim ends");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    (output, said)
}

/// Trains with two processes; the generator.
fn train(folder: &Path, out: &str, more: &[&str]) -> Vec<u8> {
    for child in start(folder, out, 600, more) {
        let (output, said) = ended(child);
        assert!(output.status.success(), "{more:?}: {said}");
        assert!(!said.contains("not recorded"), "{said}");
    }
    generator(folder, out)
}

fn generator(folder: &Path, out: &str) -> Vec<u8> {
    std::fs::read(folder.join(out).join(GENERATOR)).expect("a generator")
}

/// All numbers of a run's log, but those of time.
fn logged(folder: &Path, out: &str) -> Vec<f64> {
    fn numbers(value: &Value, to: &mut Vec<f64>) {
        match value {
            Value::Number(number) => to.extend(number.as_f64()),
            Value::Array(all) => all.iter().for_each(|value| numbers(value, to)),
            Value::Object(all) => {
                let timed = |key: &String| matches!(key.as_str(), "seconds" | "items_per_s");
                all.iter().filter(|(key, _)| !timed(key)).for_each(|(_, v)| numbers(v, to));
            }
            _ => {}
        }
    }
    let text = std::fs::read_to_string(folder.join(out).join(LOG)).expect("a log");
    let mut all = Vec::new();
    for line in text.lines() {
        numbers(&serde_json::from_str(line).expect("JSON"), &mut all);
    }
    all
}

#[test]
#[expect(clippy::print_stderr, reason = "the reason for passing without a test")]
fn two_processes_make_the_run_of_one_with_two_parts_and_one_that_is_lost_is_noticed() {
    let gpus = CudaContext::device_count().unwrap_or(0);
    if gpus < 2 {
        eprintln!("not tested, expected two GPUs, found {gpus}");
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    std::fs::write(folder.join("recipe.toml"), recipe()).expect("the recipe is written");

    let graphs = train(folder, "graphs", &[]);
    let plain = train(folder, "plain", &["--without-graphs"]);
    assert!(graphs == plain, "graphs make other weights");

    let alone = program(folder, "one", &["--set", "micro_batch=1"]).spawn();
    let (output, said) = ended(alone.expect("deepsim starts"));
    assert!(output.status.success(), "{said}");
    assert!(generator(folder, "one") == plain, "one process with two parts makes other weights");

    // Losses, norms and shares are those of the whole batch.
    let (by_one, by_two) = (logged(folder, "one"), logged(folder, "plain"));
    assert!(by_one.len() > 5 * 10 && by_one.len() == by_two.len());
    for (i, (one, two)) in by_one.iter().zip(&by_two).enumerate() {
        assert!((one - two).abs() <= 1e-5 * one.abs(), "number {i} of the log: {one}, {two}");
    }
    assert_eq!(logged(folder, "graphs"), by_two);

    // Longer than a step takes on an emulator.
    let [first, mut second] = start(folder, "lost", 60, &[]);
    let checkpoint: PathBuf = ["lost", "checkpoints", "step-0000002", CHECKPOINT].iter().collect();
    while !folder.join(&checkpoint).exists() {
        std::thread::sleep(Duration::from_millis(50));
        let ended = second.try_wait().expect("the process is seen");
        assert!(ended.is_none(), "{ended:?}: {}", self::ended(first).1);
    }
    second.kill().expect("a process can be killed");
    second.wait().expect("it ends");
    let (output, said) = ended(first);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("no answer from another process") || said.contains("NCCL"), "{said}");
    assert!(train(folder, "lost", &["--resume"]) == plain, "what was resumed is another run");
}

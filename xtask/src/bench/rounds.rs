//! Rounds over all servers in turn, so that anything that slows the machine slows all of them.

use std::time::Duration;

use anyhow::{Context, Result};

use super::server::{Milliseconds, Server};
use super::statistics::{self, Ratio};

/// Pause in which the threads of the last server fall asleep.
const PAUSE: Duration = Duration::from_millis(20);

/// Times of one contestant, one for each round.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Times {
    /// Wall milliseconds.
    pub(super) wall: Vec<f64>,
    /// CPU milliseconds.
    pub(super) cpu: Vec<f64>,
}

impl Times {
    fn push(&mut self, time: Milliseconds) {
        self.wall.push(time.wall);
        self.cpu.push(time.cpu);
    }
}

/// Lets every server do its request `rounds` times in turn, after one untimed run. Each round
/// starts with another server.
pub(super) fn play(
    servers: &mut [Server],
    requests: &[&str],
    rounds: usize,
    pause: bool,
) -> Result<Vec<Times>> {
    let mut times = vec![Times::default(); servers.len()];
    for (server, request) in servers.iter_mut().zip(requests) {
        server.ask(request)?;
    }
    for round in 0..rounds {
        for turn in 0..servers.len() {
            let at = (round + turn) % servers.len();
            if pause {
                std::thread::sleep(PAUSE);
            }
            times[at].push(servers[at].ask(requests[at])?);
        }
    }
    Ok(times)
}

/// Median of the times of all rounds.
pub(super) fn median(times: &[f64]) -> Result<f64> {
    statistics::median(times).context("no rounds were played")
}

/// Ratio of the times of all rounds.
pub(super) fn ratio(ours: &[f64], theirs: &[f64]) -> Result<Ratio> {
    statistics::ratio(ours, theirs).context("no rounds were played")
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn everyone_is_asked_in_every_round_and_once_before() -> Result<()> {
        let counting = "echo 'ready {}'; i=0; while read x; do i=$((i+1)); echo $i $x; done";
        let start = || Server::start("counter", Command::new("sh").args(["-c", counting]));
        let mut servers = [start()?, start()?];
        let times = play(&mut servers, &["5", "6"], 3, false)?;
        let wall = vec![2.0, 3.0, 4.0];
        assert_eq!(times[0], Times { wall: wall.clone(), cpu: vec![5.0; 3] });
        assert_eq!(times[1], Times { wall, cpu: vec![6.0; 3] });
        assert_eq!(median(&times[0].wall)?, 3.0);
        Ok(())
    }
}

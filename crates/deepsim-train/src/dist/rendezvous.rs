//! Broadcast of a message from the first process over TCP, before the group exists.

use std::collections::BTreeSet;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

/// Address at which the first process listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Address {
    host: String,
    port: u16,
}

/// Greeting by which the ranks recognise each other.
const GREETING: [u8; 8] = *b"deepsim1";
/// A number of a process, and how many there are.
const NUMBERS: usize = 8;
/// Longest wait for a greeting.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// Between two tries.
const PAUSE: Duration = Duration::from_millis(20);

impl Address {
    /// Reads `MASTER_ADDR` and `MASTER_PORT`, and takes the next port, because torchrun listens at that one.
    /// None if there are no such variables.
    ///
    /// # Errors
    /// If the port is not one.
    pub(super) fn find(variable: impl Fn(&str) -> Option<String>) -> Result<Option<Self>, String> {
        let (Some(host), Some(port)) = (variable("MASTER_ADDR"), variable("MASTER_PORT")) else {
            return Ok(None);
        };
        let next = port.trim().parse::<u16>().ok().and_then(|port| port.checked_add(1));
        let port =
            next.ok_or_else(|| format!("MASTER_PORT: expected a port below 65535, found {port}"))?;
        Ok(Some(Self { host: host.trim().to_owned(), port }))
    }

    /// Tells all other processes `message`; waits until they all have it.
    ///
    /// # Errors
    /// If nobody can listen here, or a process does not come.
    pub(super) fn tell(
        &self,
        size: usize,
        message: &[u8],
        patience: Duration,
    ) -> Result<(), String> {
        let failed = |error: io::Error| format!("listening at port {}: {error}", self.port);
        // Listens at all addresses, because the others may know this machine by another name.
        let listener = TcpListener::bind(("::", self.port));
        let listener = listener.or_else(|_| TcpListener::bind(("0.0.0.0", self.port)));
        let listener = listener.map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        let (mut missing, start) = ((1..size).collect::<BTreeSet<_>>(), Instant::now());
        while !missing.is_empty() {
            match listener.accept() {
                Ok((stream, _)) => {
                    // A rank that fails here connects again.
                    if let Ok(rank) = answer(stream, size, message) {
                        missing.remove(&rank);
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    if start.elapsed() > patience {
                        let waited = patience.as_secs();
                        return Err(format!(
                            "of {size} processes, {missing:?} did not connect to port {} within {waited} s",
                            self.port
                        ));
                    }
                    std::thread::sleep(PAUSE);
                }
                Err(error) => return Err(failed(error)),
            }
        }
        Ok(())
    }

    /// Receives the message of the first process as process `rank`.
    ///
    /// # Errors
    /// If there is none.
    pub(super) fn ask<const N: usize>(
        &self,
        (rank, size): (usize, usize),
        patience: Duration,
    ) -> Result<[u8; N], String> {
        let start = Instant::now();
        loop {
            match self.try_to_ask(rank, size, patience) {
                Ok(message) => return Ok(message),
                Err(error) if start.elapsed() > patience => {
                    let Self { host, port } = self;
                    let waited = patience.as_secs();
                    return Err(format!(
                        "no answer from process 0 at {host}:{port} within {waited} s: {error}"
                    ));
                }
                // The first process may not listen yet.
                Err(_) => std::thread::sleep(PAUSE),
            }
        }
    }

    fn try_to_ask<const N: usize>(
        &self,
        rank: usize,
        size: usize,
        patience: Duration,
    ) -> io::Result<[u8; N]> {
        let mut last = io::Error::from(ErrorKind::AddrNotAvailable);
        for address in (self.host.as_str(), self.port).to_socket_addrs()? {
            match TcpStream::connect_timeout(&address, HANDSHAKE_TIMEOUT) {
                // A free port of this machine can be given to the very socket that looks for it.
                Ok(stream) if stream.local_addr().ok() == stream.peer_addr().ok() => {}
                Ok(mut stream) => {
                    stream.set_read_timeout(Some(patience.max(PAUSE)))?;
                    stream.write_all(&greeting(rank, size))?;
                    let mut message = [0; N];
                    stream.read_exact(&mut message)?;
                    return Ok(message);
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }
}

fn greeting(rank: usize, size: usize) -> [u8; GREETING.len() + NUMBERS] {
    let mut all = [0; GREETING.len() + NUMBERS];
    let (words, numbers) = all.split_at_mut(GREETING.len());
    words.copy_from_slice(&GREETING);
    numbers[..4].copy_from_slice(&(rank as u32).to_le_bytes());
    numbers[4..].copy_from_slice(&(size as u32).to_le_bytes());
    all
}

/// Answers one of `size` processes; its number.
fn answer(mut stream: TcpStream, size: usize, message: &[u8]) -> io::Result<usize> {
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(HANDSHAKE_TIMEOUT))?;
    stream.set_write_timeout(Some(HANDSHAKE_TIMEOUT))?;
    let mut said = [0; GREETING.len() + NUMBERS];
    stream.read_exact(&mut said)?;
    let of_us = (1..size).find(|rank| said == greeting(*rank, size));
    let rank = of_us.ok_or_else(|| io::Error::from(ErrorKind::InvalidData))?;
    stream.write_all(message)?;
    Ok(rank)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(20);

    /// A place at a port that is free.
    fn place() -> io::Result<Address> {
        let port = TcpListener::bind(("0.0.0.0", 0))?.local_addr()?.port();
        Ok(Address { host: "127.0.0.1".into(), port })
    }

    #[test]
    fn all_are_told_and_strangers_are_not() -> io::Result<()> {
        let place = place()?;
        let message: [u8; 128] = std::array::from_fn(|i| i as u8);
        std::thread::scope(|scope| {
            let others = [2, 1].map(|rank| {
                let place = place.clone();
                scope.spawn(move || place.ask::<128>((rank, 3), PATIENCE))
            });
            let stranger = place.clone();
            let stranger =
                scope.spawn(move || stranger.ask::<128>((1, 2), Duration::from_millis(50)));
            assert_eq!(place.tell(3, &message, PATIENCE), Ok(()));
            for other in others {
                assert_eq!(other.join().expect("no panic"), Ok(message));
            }
            let refused = stranger.join().expect("no panic").expect_err("one of another job");
            assert!(refused.contains("no answer from process 0 at 127.0.0.1:"), "{refused}");
        });
        Ok(())
    }

    #[test]
    fn who_does_not_come_is_named() -> io::Result<()> {
        let place = place()?;
        let told = place.tell(3, &[0], Duration::from_millis(30)).expect_err("nobody comes");
        assert!(told.contains("of 3 processes, {1, 2} did not connect to port"), "{told}");
        let asked = place.ask::<1>((1, 3), Duration::from_millis(30)).expect_err("nobody is there");
        assert!(asked.contains("no answer from process 0"), "{asked}");
        Ok(())
    }

    #[test]
    fn the_place_is_beside_that_of_the_launcher() {
        let with = |port: Option<&str>| {
            Address::find(|name| match name {
                "MASTER_ADDR" => Some("node7".to_owned()),
                "MASTER_PORT" => port.map(str::to_owned),
                _ => None,
            })
        };
        assert_eq!(with(None), Ok(None));
        assert_eq!(with(Some(" 29500")), Ok(Some(Address { host: "node7".into(), port: 29501 })));
        for bad in ["65535", "", "-1", "port"] {
            assert!(with(Some(bad)).is_err_and(|said| said.contains("MASTER_PORT")), "{bad}");
        }
    }
}

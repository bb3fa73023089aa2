//! HTTP server on 127.0.0.1 with scripted answers, mostly faulty ones.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// Request of a client.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    /// The path, with its slash.
    pub(crate) path: String,
    /// Headers, names in small letters.
    pub(crate) headers: BTreeMap<String, String>,
}

impl Request {
    /// A header.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    /// The first byte of `Range: bytes=N-`.
    pub(crate) fn from(&self) -> Option<usize> {
        self.header("range")?.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok()
    }
}

/// Answer of the server.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Vec<u8>,
    /// Bytes of the body to send at a time, and the pause after each piece.
    pub(crate) pieces: (usize, Duration),
    /// Time for which the connection stays open after the body.
    pub(crate) hold: Duration,
}

impl Reply {
    /// A reply without a body.
    pub(crate) fn status(status: u16) -> Self {
        let pieces = (usize::MAX, Duration::ZERO);
        let headers = vec![("Content-Length", "0".to_owned())];
        Self { status, headers, body: Vec::new(), pieces, hold: Duration::ZERO }
    }

    /// A whole body, with nothing but its length.
    pub(crate) fn body(bytes: &[u8]) -> Self {
        Self { body: bytes.to_vec(), ..Self::status(200) }.with("Content-Length", bytes.len())
    }

    /// Answers as a correct server does: with the whole file, or from a byte on if the client's
    /// `If-Range` is still the file's tag.
    pub(crate) fn file(request: &Request, bytes: &[u8], etag: &str) -> Self {
        match request.from() {
            Some(from) if request.header("if-range") == Some(etag) => {
                let range = format!("bytes {from}-{}/{}", bytes.len() - 1, bytes.len());
                let rest = Self::body(&bytes[from..]);
                Self { status: 206, ..rest }.with("Content-Range", range).with("ETag", etag)
            }
            _ => Self::body(bytes).with("ETag", etag),
        }
    }

    /// The same with a header, in place of one of that name.
    pub(crate) fn with(mut self, name: &'static str, value: impl ToString) -> Self {
        self.headers.retain(|(there, _)| *there != name);
        self.headers.push((name, value.to_string()));
        self
    }

    /// The same without a header.
    pub(crate) fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(there, _)| *there != name);
        self
    }

    /// The same with only the first bytes of the body; the headers still promise all.
    pub(crate) fn cut(mut self, bytes: usize) -> Self {
        self.body.truncate(bytes);
        self
    }

    /// The same with the body in chunks, and without a length.
    pub(crate) fn chunked(self) -> Self {
        let mut body = Vec::new();
        for chunk in self.body.chunks(10_000) {
            body.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
            body.extend_from_slice(chunk);
            body.extend_from_slice(b"\r\n");
        }
        body.extend_from_slice(b"0\r\n\r\n");
        Self { body, ..self }.without("Content-Length").with("Transfer-Encoding", "chunked")
    }

    fn send(&self, stream: &mut TcpStream) -> std::io::Result<()> {
        let mut head = format!("HTTP/1.1 {} Whatever\r\nConnection: close\r\n", self.status);
        for (name, value) in &self.headers {
            head += &format!("{name}: {value}\r\n");
        }
        stream.write_all(format!("{head}\r\n").as_bytes())?;
        let (size, pause) = self.pieces;
        for piece in self.body.chunks(size) {
            stream.write_all(piece)?;
            stream.flush()?;
            thread::sleep(pause);
        }
        thread::sleep(self.hold);
        Ok(())
    }
}

/// A running server; it ends when dropped.
pub(crate) struct Server {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<Request>>>,
    ended: Arc<AtomicBool>,
}

impl Server {
    /// Answers each request with what `answer` makes of its number, from 0, and itself.
    pub(crate) fn start(answer: impl Fn(usize, &Request) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        let requests = Arc::new(Mutex::new(Vec::new()));
        let ended = Arc::new(AtomicBool::new(false));
        let server = Self { address, requests: requests.clone(), ended: ended.clone() };
        let answer = Arc::new(answer);
        thread::spawn(move || {
            for stream in listener.incoming() {
                if ended.load(Ordering::Relaxed) {
                    break;
                }
                let (answer, requests) = (answer.clone(), requests.clone());
                let Ok(mut stream) = stream else { continue };
                thread::spawn(move || {
                    let Some(request) = read(&stream) else { return };
                    let number = {
                        let mut requests = requests.lock().expect("the list of requests");
                        requests.push(request.clone());
                        requests.len() - 1
                    };
                    // A client that has seen enough closes the connection.
                    let _ = answer(number, &request).send(&mut stream);
                });
            }
        });
        server
    }

    /// Serves one file without faults.
    pub(crate) fn of(bytes: &[u8]) -> Self {
        let bytes = bytes.to_vec();
        Self::start(move |_, request| Reply::file(request, &bytes, "\"1\""))
    }

    /// The address of a path.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}/{path}", self.address)
    }

    /// Returns the requests so far.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.requests.lock().expect("the list of requests").clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        // Wakes the thread that waits for a connection.
        let _ = TcpStream::connect(self.address);
    }
}

fn read(stream: &TcpStream) -> Option<Request> {
    let mut lines = BufReader::new(stream).lines();
    let first = lines.next()?.ok()?;
    let path = first.split(' ').nth(1)?.to_owned();
    let mut headers = BTreeMap::new();
    for line in lines {
        let line = line.ok()?;
        let Some((name, value)) = line.split_once(':') else { break };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    Some(Request { path, headers })
}

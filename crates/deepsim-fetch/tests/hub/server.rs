//! Fake of the parts of the hub that its client uses: listings, links to a store, and the store.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use sha1::Sha1;
use sha2::{Digest, Sha256};

pub(crate) const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// Fault of the server, for requests that contain a text.
#[derive(Clone, Copy)]
pub(crate) enum Fault {
    /// Another status, with a message of the hub's kind.
    Status(u16),
    /// The connection ends in the middle of the body.
    Drop,
    /// Other bytes, as many.
    WrongBytes,
    /// Fewer bytes, and the header says so.
    Short,
}

#[derive(Default)]
struct State {
    files: BTreeMap<String, Vec<u8>>,
    /// Text of the requests, their fault, and how often it still happens.
    faults: Mutex<Vec<(&'static str, Fault, usize)>>,
    /// First line and authorization.
    requests: Mutex<Vec<(String, String)>>,
    stop: AtomicBool,
}

pub(crate) struct Server {
    address: SocketAddr,
    state: Arc<State>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    pub(crate) fn start(files: &[(&str, Vec<u8>)]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let files = files.iter().map(|(name, bytes)| (name.to_string(), bytes.clone()));
        let state = Arc::new(State { files: files.collect(), ..State::default() });
        let shared = state.clone();
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if shared.stop.load(Ordering::Relaxed) {
                    return;
                }
                let state = shared.clone();
                // A client that goes away is no concern of the hub's.
                std::thread::spawn(move || stream.and_then(|stream| answer(&state, stream)));
            }
        });
        Self { address, state, thread: Some(thread) }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The next `times` requests that contain `place` go wrong.
    pub(crate) fn fault(&self, place: &'static str, fault: Fault, times: usize) {
        self.state.faults.lock().expect("no panic").push((place, fault, times));
    }

    /// Counts the requests that contained `text` in their first line.
    pub(crate) fn count(&self, text: &str) -> usize {
        self.requests(|(line, _)| line.contains(text))
    }

    /// Counts those of them that carried a token.
    pub(crate) fn count_with_token(&self, text: &str) -> usize {
        self.requests(|(line, token)| line.contains(text) && token == "Bearer a-secret")
    }

    fn requests(&self, wanted: impl Fn(&&(String, String)) -> bool) -> usize {
        self.state.requests.lock().expect("no panic").iter().filter(wanted).count()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.state.stop.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(self.address);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

fn answer(state: &State, mut stream: TcpStream) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let request = lines.next().transpose()?.unwrap_or_default();
    let mut token = String::new();
    for line in lines {
        let line = line?;
        if line.is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_once(": ")
            && name.eq_ignore_ascii_case("authorization")
        {
            token = value.into();
        }
    }
    let host = stream.local_addr()?;
    let mut words = request.split(' ');
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let path = target.split('?').next().unwrap_or_default();
    let fault = fault(state, &format!("{method} {path}"));
    state.requests.lock().expect("no panic").push((request.clone(), token));
    let (mut status, mut headers, mut body) = (200, String::new(), Vec::new());
    if let Some(Fault::Status(wrong)) = fault {
        (status, body) = (wrong, br#"{"error": "the hub has its reasons"}"#.to_vec());
    } else if let Some((_, rest)) = path.split_once("/revision/") {
        assert!(!rest.contains('/'), "a revision is one part of the path");
        body = format!(r#"{{"id": "a/b", "sha": "{COMMIT}"}}"#).into_bytes();
    } else if path.contains("/tree/") {
        let entries: Vec<_> = state.files.iter().map(|(name, bytes)| entry(name, bytes)).collect();
        body = serde_json::to_vec(&entries)?;
    } else if let Some((_, name)) = path.split_once(&format!("/resolve/{COMMIT}/"))
        && let Some(bytes) = state.files.get(name)
    {
        status = 302;
        headers = format!(
            "Location: http://{host}/store/{name}\r\nX-Repo-Commit: {COMMIT}\r\n\
             X-Linked-Size: {}\r\nX-Linked-ETag: \"{}\"\r\nETag: \"of the link\"\r\n",
            bytes.len(),
            sha256(bytes)
        );
    } else if let Some(bytes) = path.strip_prefix("/store/").and_then(|n| state.files.get(n)) {
        body = bytes.clone();
        headers = "ETag: \"of the store\"\r\n".into();
    } else {
        (status, body) = (404, b"{\"error\": \"nothing here\"}".to_vec());
    }
    let mut length = body.len();
    match fault {
        Some(Fault::Drop) => body.truncate(length / 2),
        Some(Fault::WrongBytes) => body[length / 2] ^= 1,
        Some(Fault::Short) => {
            length /= 2;
            body.truncate(length);
        }
        Some(Fault::Status(_)) | None => {}
    }
    write!(
        stream,
        "HTTP/1.1 {status} -\r\nContent-Length: {length}\r\nConnection: close\r\n{headers}\r\n"
    )?;
    if method != "HEAD" {
        stream.write_all(&body)?;
    }
    Ok(())
}

fn fault(state: &State, request: &str) -> Option<Fault> {
    let mut faults = state.faults.lock().expect("no panic");
    let (_, fault, times) =
        faults.iter_mut().find(|(place, _, times)| *times > 0 && request.contains(place))?;
    *times -= 1;
    Some(*fault)
}

/// A file in the listing of a commit: those that end in `.parquet` as LFS pointers.
fn entry(name: &str, bytes: &[u8]) -> serde_json::Value {
    let sha256 = sha256(bytes);
    let size = bytes.len();
    let pointer =
        format!("version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {size}\n");
    let large = name.ends_with(".parquet") && !name.contains("small");
    let blob = if large { pointer.as_bytes() } else { bytes };
    let oid = Sha1::digest([format!("blob {}\0", blob.len()).as_bytes(), blob].concat());
    let oid: String = oid.iter().map(|byte| format!("{byte:02x}")).collect();
    let mut entry = serde_json::json!({ "type": "file", "oid": oid, "size": size, "path": name });
    if large {
        entry["lfs"] =
            serde_json::json!({ "oid": sha256, "size": size, "pointerSize": pointer.len() });
    }
    entry
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

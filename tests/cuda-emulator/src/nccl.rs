//! NCCL's all-reduce over the GPUs of several processes, by sockets through the first process.
//!
//! As with NCCL, a process waits indefinitely for one that is lost.

use std::cell::RefCell;
use std::collections::HashMap;
use std::ffi::{c_char, c_int};
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::counts::{self, count};
use crate::device::{Device, Stream, device, fail, stream};

/// `ncclUniqueId`: here the address at which the first process listens, as a text that ends with a zero.
#[repr(C)]
#[derive(Clone, Copy)]
struct Id([c_char; 128]);

const OK: c_int = 0;
const SYSTEM_ERROR: c_int = 2;
const INVALID_ARGUMENT: c_int = 4;

/// Sockets to the others: in the first process to all of them, by rank, in the others to the first.
type Sockets = Arc<Mutex<Vec<TcpStream>>>;

#[derive(Default)]
struct State {
    listeners: HashMap<String, TcpListener>,
    groups: HashMap<usize, (bool, Sockets)>,
}

fn state() -> MutexGuard<'static, State> {
    static STATE: LazyLock<Mutex<State>> = LazyLock::new(Mutex::default);
    STATE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Requested all-reduce.
struct Sum {
    from: usize,
    to: usize,
    len: usize,
    double: bool,
    first: bool,
    sockets: Sockets,
    stream: Stream,
}

/// Header that a process sends before the values of a sum: 1 if the sum is part of a graph, which
/// must be the same in all processes, and its length.
type Heading = [u8; 9];

thread_local! {
    /// Depth of nested groups on this thread, and the sums that wait for their end.
    static GROUP: RefCell<(u32, Vec<Sum>)> = const { RefCell::new((0, Vec::new())) };
}

#[unsafe(no_mangle)]
unsafe extern "C" fn ncclGetUniqueId(out: *mut Id) -> c_int {
    let bound = TcpListener::bind(("127.0.0.1", 0))
        .and_then(|listener| Ok((listener.local_addr()?.to_string(), listener)));
    let Ok((address, listener)) = bound else { return SYSTEM_ERROR };
    let mut id = Id([0; 128]);
    for (to, from) in id.0.iter_mut().zip(address.bytes()) {
        *to = from as c_char;
    }
    state().listeners.insert(address, listener);
    // SAFETY: the caller's pointer, as in all functions here.
    unsafe { *out = id };
    OK
}

#[unsafe(no_mangle)]
unsafe extern "C" fn ncclCommInitRank(out: *mut usize, size: c_int, id: Id, rank: c_int) -> c_int {
    if !(0..size).contains(&rank) {
        return INVALID_ARGUMENT;
    }
    let address: String =
        id.0.iter().take_while(|byte| **byte != 0).map(|byte| *byte as u8 as char).collect();
    let met = match rank {
        0 => match state().listeners.remove(&address) {
            Some(listener) => wait_for_all(&listener, size),
            None => return INVALID_ARGUMENT,
        },
        _ => TcpStream::connect(&address).and_then(|mut socket| {
            socket.write_all(&rank.to_le_bytes())?;
            socket.set_nodelay(true)?;
            Ok(vec![socket])
        }),
    };
    let Ok(sockets) = met else { return SYSTEM_ERROR };
    let handle = device().new_handle();
    state().groups.insert(handle, (rank == 0, Arc::new(Mutex::new(sockets))));
    unsafe { *out = handle };
    OK
}

/// The sockets to all others, by rank.
fn wait_for_all(listener: &TcpListener, size: c_int) -> io::Result<Vec<TcpStream>> {
    let mut others: Vec<(c_int, TcpStream)> = Vec::new();
    while others.len() + 1 < size as usize {
        let (mut socket, _) = listener.accept()?;
        let mut rank = [0; 4];
        socket.read_exact(&mut rank)?;
        socket.set_nodelay(true)?;
        others.push((c_int::from_le_bytes(rank), socket));
    }
    others.sort_by_key(|(rank, _)| *rank);
    Ok(others.into_iter().map(|(_, socket)| socket).collect())
}

#[unsafe(no_mangle)]
extern "C" fn ncclCommAbort(group: usize) -> c_int {
    match state().groups.remove(&group) {
        Some(_) => OK,
        None => INVALID_ARGUMENT,
    }
}

/// Finishes the requested sums.
#[unsafe(no_mangle)]
extern "C" fn ncclCommDestroy(group: usize) -> c_int {
    device().run_all();
    ncclCommAbort(group)
}

#[unsafe(no_mangle)]
extern "C" fn ncclGroupStart() -> c_int {
    GROUP.with_borrow_mut(|(depth, _)| *depth += 1);
    OK
}

#[unsafe(no_mangle)]
extern "C" fn ncclGroupEnd() -> c_int {
    let ended = GROUP.with_borrow_mut(|(depth, sums)| {
        *depth = depth.checked_sub(1)?;
        Some(if *depth == 0 { std::mem::take(sums) } else { Vec::new() })
    });
    let Some(sums) = ended else { return INVALID_ARGUMENT };
    if !sums.is_empty() {
        enqueue(sums);
    }
    OK
}

#[unsafe(no_mangle)]
extern "C" fn ncclAllReduce(
    from: usize,
    to: usize,
    len: usize,
    kind: c_int,
    operation: c_int,
    group: usize,
    handle: usize,
) -> c_int {
    const FLOAT32: c_int = 7;
    const FLOAT64: c_int = 8;
    if operation != 0 || ![FLOAT32, FLOAT64].contains(&kind) {
        fail("NCCL: expected a sum of f32 or f64");
    }
    let Some((first, sockets)) = state().groups.get(&group).cloned() else {
        return INVALID_ARGUMENT;
    };
    let stream = stream(handle);
    let sum = Sum { from, to, len, double: kind == FLOAT64, first, sockets, stream };
    let alone = GROUP.with_borrow_mut(|(depth, sums)| match depth {
        0 => Some(sum),
        _ => {
            sums.push(sum);
            None
        }
    });
    if let Some(sum) = alone {
        enqueue(vec![sum]);
    }
    OK
}

/// One launch for the sums of a group, in their order.
fn enqueue(sums: Vec<Sum>) {
    count(&counts::LIBRARY);
    let Some(stream) = sums.first().map(|sum| sum.stream) else { return };
    if sums.iter().any(|sum| sum.stream != stream) {
        fail("NCCL: expected one stream for a group");
    }
    let mut device = device();
    let captured = device.captures(stream);
    device.enqueue(stream, move |device| {
        for sum in &sums {
            let mut heading = [u8::from(captured); size_of::<Heading>()];
            heading[1..].copy_from_slice(&(sum.len as u64).to_le_bytes());
            let all = (sum, heading, &*device);
            match sum.double {
                true => all_reduce::<8, f64>(all, f64::to_le_bytes, f64::from_le_bytes),
                false => all_reduce::<4, f32>(all, f32::to_le_bytes, f32::from_le_bytes),
            }
        }
    });
}

fn all_reduce<const N: usize, T: Copy + std::ops::Add<Output = T>>(
    (sum, heading, device): (&Sum, Heading, &Device),
    bytes: fn(T) -> [u8; N],
    value: fn([u8; N]) -> T,
) {
    const WHAT: &str = "NCCL";
    let mut values: Vec<T> = device.values(WHAT, sum.from, sum.len);
    device.check(WHAT, sum.to, sum.len * N);
    let mut sockets = sum.sockets.lock().unwrap_or_else(PoisonError::into_inner);
    let mut exchange = || -> io::Result<()> {
        let all = |values: &[T]| values.iter().flat_map(|x| bytes(*x)).collect::<Vec<u8>>();
        let mut buffer = vec![0; sum.len * N];
        // Headers are exchanged first, because the values of a process that disagrees may never
        // come.
        for socket in sockets.iter_mut() {
            socket.write_all(&heading)?;
        }
        for socket in sockets.iter_mut() {
            let mut other = heading;
            socket.read_exact(&mut other)?;
            if other != heading {
                fail("NCCL: another process makes another sum, or makes it in a graph, or not");
            }
        }
        let read = |buffer: &[u8]| -> Vec<T> {
            buffer.chunks_exact(N).filter_map(|b| Some(value(b.try_into().ok()?))).collect()
        };
        if sum.first {
            for socket in sockets.iter_mut() {
                socket.read_exact(&mut buffer)?;
                for (value, other) in values.iter_mut().zip(read(&buffer)) {
                    *value = *value + other;
                }
            }
        }
        let own = all(&values);
        for socket in sockets.iter_mut() {
            socket.write_all(&own)?;
        }
        if !sum.first {
            for socket in sockets.iter_mut() {
                socket.read_exact(&mut buffer)?;
            }
            values = read(&buffer);
        }
        Ok(())
    };
    if exchange().is_err() {
        // A process is lost.
        loop {
            std::thread::sleep(Duration::from_secs(1));
        }
    }
    device.set_values(WHAT, sum.to, &values);
}

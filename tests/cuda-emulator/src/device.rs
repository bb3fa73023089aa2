//! The single device: memory, streams, events and graphs.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::thread::{self, ThreadId};

use crate::counts;
use crate::ptx::Module;

/// The driver's answers that are used here, `CUresult`.
pub(crate) const OK: i32 = 0;
pub(crate) const INVALID_VALUE: i32 = 1;
pub(crate) const INVALID_PTX: i32 = 218;
pub(crate) const NOT_FOUND: i32 = 500;
pub(crate) const CAPTURE_UNSUPPORTED: i32 = 900;
pub(crate) const CAPTURE_INVALIDATED: i32 = 901;

/// Work item of a stream.
pub(crate) type Work = Arc<dyn Fn(&mut Device) + Send + Sync>;

enum Item {
    Work(Work),
    /// Waits until another stream has done this many items.
    Wait(Stream, u64),
}

/// A stream: the driver's number for it, and the thread for the stream that each thread has.
pub(crate) type Stream = (usize, Option<ThreadId>);

#[derive(Default)]
struct Queue {
    items: VecDeque<Item>,
    /// Number of items since the stream was made.
    enqueued: u64,
    done: u64,
    capture: Option<Capture>,
}

struct Capture {
    graph: Graph,
    spoilt: bool,
    /// Thread that must not do what cannot be part of a graph; every thread if `None`.
    by: Option<ThreadId>,
}

impl Capture {
    fn binds(&self) -> bool {
        self.by.is_none_or(|by| by == thread::current().id())
    }
}

/// Work of a graph, done at each launch.
#[derive(Clone, Default)]
pub(crate) struct Graph {
    work: Vec<Work>,
    allocations: Vec<usize>,
}

pub(crate) struct Allocation {
    memory: Vec<u64>,
    bytes: usize,
    /// False once freed. Memory of a graph can come back.
    live: bool,
    of_graph: bool,
}

#[derive(Default)]
pub(crate) struct Device {
    allocations: BTreeMap<usize, Allocation>,
    streams: HashMap<Stream, Queue>,
    events: HashMap<usize, (Stream, u64)>,
    /// Page-locked memory: start, with its length in bytes.
    pub(crate) pinned: BTreeMap<usize, Vec<u64>>,
    pub(crate) modules: HashMap<usize, Module>,
    pub(crate) graphs: HashMap<usize, Graph>,
    pub(crate) functions: HashMap<usize, (usize, String)>,
    last: usize,
}

/// The device, for one caller at a time.
pub(crate) fn device() -> MutexGuard<'static, Device> {
    static ONLY: LazyLock<Mutex<Device>> = LazyLock::new(Mutex::default);
    ONLY.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The stream that a handle names: 2 is one for each thread.
pub(crate) fn stream(handle: usize) -> Stream {
    (handle, (handle == 2).then(|| thread::current().id()))
}

/// Ends the program, because the call is an error that a GPU might not report.
pub(crate) fn fail(reason: &str) -> ! {
    eprintln!("CUDA emulator: {reason}");
    std::process::abort()
}

impl Device {
    /// Returns a number for a handle; never one that the driver gives a meaning.
    pub(crate) fn new_handle(&mut self) -> usize {
        self.last += 1;
        0x1000 + self.last
    }

    /// Allocates memory full of NaN. A spoilt capture gets none.
    pub(crate) fn allocate(&mut self, bytes: usize, on: Option<Stream>) -> Result<usize, i32> {
        counts::count(&counts::ALLOCATIONS);
        if bytes == 0 {
            return Err(INVALID_VALUE);
        }
        on.map_or(Ok(()), |stream| self.unspoilt(stream))?;
        let memory = vec![u64::MAX; bytes.div_ceil(8).max(1)];
        let address = memory.as_ptr() as usize;
        let capture = on.and_then(|stream| self.queue(stream).capture.as_mut());
        let of_graph = capture.is_some();
        if let Some(capture) = capture {
            capture.graph.allocations.push(address);
            capture.graph.work.push(Arc::new(move |device| device.allocate_again(address)));
        }
        let allocation = Allocation { memory, bytes, live: !of_graph, of_graph };
        self.allocations.insert(address, allocation);
        Ok(address)
    }

    /// Refuses every call for a stream whose capture is spoilt.
    pub(crate) fn unspoilt(&mut self, stream: Stream) -> Result<(), i32> {
        match &self.queue(stream).capture {
            Some(capture) if capture.spoilt => Err(CAPTURE_INVALIDATED),
            _ => Ok(()),
        }
    }

    /// An allocation as part of a graph.
    fn allocate_again(&mut self, address: usize) {
        let Some(allocation) = self.allocations.get_mut(&address) else {
            fail("a graph outlived its memory")
        };
        if allocation.live {
            fail("a graph is launched again before its memory was freed");
        }
        allocation.live = true;
        allocation.memory.fill(u64::MAX);
    }

    pub(crate) fn free(&mut self, address: usize) {
        match self.allocations.get_mut(&address) {
            Some(allocation) if !allocation.live => fail("memory is freed twice"),
            Some(allocation) if allocation.of_graph => allocation.live = false,
            Some(_) => drop(self.allocations.remove(&address)),
            None => fail("what is freed was not allocated"),
        }
    }

    /// Frees memory once the stream has come this far.
    pub(crate) fn free_later(&mut self, address: usize, stream: Stream) -> Result<(), i32> {
        self.unspoilt(stream)?;
        let of_graph = self.allocations.get(&address).is_some_and(|found| found.of_graph);
        if self.captures(stream) && !of_graph {
            // A graph can free its own memory alone.
            return self.refuse_in_capture();
        }
        self.enqueue(stream, move |device| device.free(address));
        Ok(())
    }

    /// Returns start and end of all memory that is in use.
    pub(crate) fn memory(&self) -> Vec<(usize, usize)> {
        let live = self.allocations.iter().filter(|(_, allocation)| allocation.live);
        live.map(|(&start, allocation)| (start, start + allocation.bytes)).collect()
    }

    /// Fails unless all these bytes are in use.
    pub(crate) fn check(&self, what: &str, address: usize, bytes: usize) {
        let found = self.allocations.range(..=address).next_back();
        let within = found.is_some_and(|(start, allocation)| {
            allocation.live && address + bytes <= start + allocation.bytes
        });
        if bytes > 0 && !within {
            fail(&format!("{what}: {bytes} bytes at {address:#x} are not in use"));
        }
    }

    /// Numbers in the device's memory.
    pub(crate) fn values<T: Copy>(&self, what: &str, address: usize, len: usize) -> Vec<T> {
        self.check(what, address, len * size_of::<T>());
        // SAFETY: the memory is there, as was checked, and nobody else uses it under the lock.
        unsafe { std::slice::from_raw_parts(address as *const T, len) }.to_vec()
    }

    pub(crate) fn set_values<T: Copy>(&self, what: &str, address: usize, values: &[T]) {
        self.check(what, address, size_of_val(values));
        // SAFETY: as above.
        unsafe { std::ptr::copy(values.as_ptr(), address as *mut T, values.len()) };
    }

    fn queue(&mut self, stream: Stream) -> &mut Queue {
        self.streams.entry(stream).or_default()
    }

    pub(crate) fn captures(&mut self, stream: Stream) -> bool {
        self.queue(stream).capture.is_some()
    }

    /// Adds work to a stream, to be done later.
    pub(crate) fn enqueue(
        &mut self,
        stream: Stream,
        work: impl Fn(&mut Self) + Send + Sync + 'static,
    ) {
        let queue = self.queue(stream);
        if let Some(capture) = &mut queue.capture {
            capture.graph.work.push(Arc::new(work));
            return;
        }
        queue.items.push_back(Item::Work(Arc::new(work)));
        queue.enqueued += 1;
        if stream.0 < 2 {
            // The legacy default stream waits for every stream, and every stream for it.
            self.run_all();
        }
    }

    /// Spoils the captures that bind this thread, because the call is forbidden during a capture.
    pub(crate) fn refuse_in_capture(&mut self) -> Result<(), i32> {
        let mut result = Ok(());
        for queue in self.streams.values_mut() {
            if let Some(capture) = queue.capture.as_mut().filter(|capture| capture.binds()) {
                capture.spoilt = true;
                result = Err(CAPTURE_UNSUPPORTED);
            }
        }
        result
    }

    /// Runs a stream until it has done this many items.
    fn run(&mut self, stream: Stream, until: u64) {
        loop {
            let queue = self.queue(stream);
            if queue.done >= until {
                return;
            }
            let Some(item) = queue.items.pop_front() else { return };
            queue.done += 1;
            match item {
                Item::Work(work) => work(self),
                Item::Wait(other, until) => self.run(other, until),
            }
        }
    }

    pub(crate) fn synchronise(&mut self, stream: Stream) {
        let all = self.queue(stream).enqueued;
        self.run(stream, all);
    }

    pub(crate) fn run_all(&mut self) {
        let streams: Vec<Stream> = self.streams.keys().copied().collect();
        for stream in streams {
            self.synchronise(stream);
        }
    }

    pub(crate) fn record(&mut self, event: usize, stream: Stream) -> Result<(), i32> {
        if self.captures(stream) {
            return self.refuse_in_capture();
        }
        let done = self.queue(stream).enqueued;
        self.events.insert(event, (stream, done));
        Ok(())
    }

    pub(crate) fn wait(&mut self, stream: Stream, event: usize) -> Result<(), i32> {
        if self.captures(stream) {
            return self.refuse_in_capture();
        }
        // An event that was never recorded counts as complete.
        if let Some(&(other, until)) = self.events.get(&event) {
            let queue = self.queue(stream);
            queue.items.push_back(Item::Wait(other, until));
            queue.enqueued += 1;
        }
        Ok(())
    }

    pub(crate) fn synchronise_event(&mut self, event: usize) {
        if let Some(&(stream, until)) = self.events.get(&event) {
            self.run(stream, until);
        }
    }

    pub(crate) fn is_over(&mut self, event: usize) -> bool {
        match self.events.get(&event) {
            Some(&(stream, until)) => self.queue(stream).done >= until,
            None => true,
        }
    }

    pub(crate) fn forget_event(&mut self, event: usize) {
        self.events.remove(&event);
    }

    /// Begins to capture the work of a stream; binds this thread alone, or all.
    pub(crate) fn begin_capture(&mut self, stream: Stream, all: bool) -> Result<(), i32> {
        if stream.0 < 2 || self.captures(stream) {
            return Err(CAPTURE_UNSUPPORTED);
        }
        let by = (!all).then(|| thread::current().id());
        let graph = Graph::default();
        self.queue(stream).capture = Some(Capture { graph, spoilt: false, by });
        Ok(())
    }

    /// The graph's handle.
    pub(crate) fn end_capture(&mut self, stream: Stream) -> Result<usize, i32> {
        let Some(capture) = self.queue(stream).capture.take() else { return Err(INVALID_VALUE) };
        if capture.spoilt {
            return Err(CAPTURE_INVALIDATED);
        }
        let handle = self.new_handle();
        self.graphs.insert(handle, capture.graph);
        Ok(handle)
    }

    pub(crate) fn launch_graph(&mut self, handle: usize, stream: Stream) -> Result<(), i32> {
        let Some(graph) = self.graphs.get(&handle).cloned() else { return Err(INVALID_VALUE) };
        self.enqueue(stream, move |device| {
            for work in &graph.work {
                work(device);
            }
        });
        Ok(())
    }
}

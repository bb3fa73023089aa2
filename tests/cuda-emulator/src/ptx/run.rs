//! A launch: blocks, threads, barriers, shuffles.

use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::thread;

use super::kernel::{Access, Bit, DYNAMIC, Kernel, Op, Register, Space, Special};
use super::value::{Type, extend, f32_bits, f32_of, f64_of, masked};

const WARP: usize = 32;

/// Blocks, threads, parameters and memory of a launch.
pub(crate) struct Launch<'a> {
    pub(crate) blocks: [usize; 3],
    pub(crate) threads: [usize; 3],
    pub(crate) shared: usize,
    /// The parameters, side by side as the kernel has them.
    pub(crate) parameters: &'a [u64],
    /// Start and end of the device's memory that is in use, in order.
    pub(crate) memory: &'a [(usize, usize)],
}

/// Runs every thread of a launch.
pub(crate) fn run(kernel: &Kernel, launch: &Launch<'_>) {
    let count = launch.blocks.iter().product();
    let next = AtomicUsize::new(0);
    let work = || {
        let mut block = Block::new(kernel, launch);
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            if index >= count {
                break;
            }
            block.run(index);
        }
    };
    let processors = thread::available_parallelism().map_or(1, usize::from).min(count);
    if processors < 2 {
        return work();
    }
    thread::scope(|scope| {
        for _ in 0..processors {
            scope.spawn(work);
        }
    });
}

/// Reason why a thread stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stop {
    /// Not started, or released to continue.
    Ready,
    Barrier,
    Shuffle,
    Exit,
}

struct Thread {
    registers: Vec<u64>,
    local: Vec<u64>,
    at: usize,
    stop: Stop,
    /// The last piece of memory that was accessed.
    piece: (usize, usize),
}

/// Runner of one block at a time; reuses the memory for its threads.
struct Block<'a> {
    kernel: &'a Kernel,
    launch: &'a Launch<'a>,
    shared: Vec<u64>,
    threads: Vec<Thread>,
}

impl<'a> Block<'a> {
    fn new(kernel: &'a Kernel, launch: &'a Launch<'a>) -> Self {
        let count: usize = launch.threads.iter().product();
        let kept = if kernel.synchronises { count } else { 1 };
        let dynamic = if launch.shared > 0 { DYNAMIC + launch.shared } else { 0 };
        let thread = || Thread {
            registers: kernel.registers.clone(),
            local: vec![0; kernel.local.div_ceil(8)],
            at: 0,
            stop: Stop::Ready,
            piece: (0, 0),
        };
        Self {
            kernel,
            launch,
            shared: vec![0; kernel.shared.max(dynamic).div_ceil(8)],
            threads: (0..kept).map(|_| thread()).collect(),
        }
    }

    fn run(&mut self, index: usize) {
        let count: usize = self.launch.threads.iter().product();
        // Overwrites what an earlier block left, so that a kernel cannot rely on it.
        self.shared.fill(u64::MAX);
        if !self.kernel.synchronises {
            for number in 0..count {
                self.start(0, index, number);
                self.advance(0);
            }
            return;
        }
        for number in 0..count {
            self.start(number, index, number);
        }
        loop {
            for number in 0..count {
                if self.threads[number].stop == Stop::Ready {
                    self.advance(number);
                }
            }
            if self.shuffle() {
                continue;
            }
            // No thread waits for a shuffle, so the remaining ones are at the barrier.
            let mut waiting = false;
            for thread in &mut self.threads {
                if thread.stop == Stop::Barrier {
                    thread.stop = Stop::Ready;
                    waiting = true;
                }
            }
            if !waiting {
                return;
            }
        }
    }

    fn start(&mut self, slot: usize, block: usize, number: usize) {
        let position = |index: usize, sizes: [usize; 3]| {
            [index % sizes[0], index / sizes[0] % sizes[1], index / sizes[0] / sizes[1]]
        };
        let (launch, kernel) = (self.launch, self.kernel);
        let (block, at) = (position(block, launch.blocks), position(number, launch.threads));
        let thread = &mut self.threads[slot];
        thread.registers.copy_from_slice(&kernel.registers);
        thread.local.fill(u64::MAX);
        (thread.at, thread.stop) = (0, Stop::Ready);
        for &(register, special) in &kernel.specials {
            thread.registers[register as usize] = match special {
                Special::Thread(axis) => at[axis],
                Special::ThreadsOfBlock(axis) => launch.threads[axis],
                Special::Block(axis) => block[axis],
                Special::Blocks(axis) => launch.blocks[axis],
                Special::Lane => number % WARP,
            } as u64;
        }
    }

    /// Exchanges values in the warps whose threads wait for it.
    fn shuffle(&mut self) -> bool {
        let mut any = false;
        for warp in self.threads.chunks_mut(WARP) {
            let Some(at) = warp.iter().find(|t| t.stop == Stop::Shuffle).map(|t| t.at) else {
                continue;
            };
            let Op::Shuffle(result, value, mask) = self.kernel.instructions[at].op else {
                continue;
            };
            any = true;
            let values: Vec<u64> = warp.iter().map(|t| t.registers[value as usize]).collect();
            for (lane, thread) in warp.iter_mut().enumerate() {
                if thread.stop != Stop::Shuffle || thread.at != at {
                    continue;
                }
                let from = lane ^ thread.registers[mask as usize] as usize;
                thread.registers[result as usize] =
                    values.get(from).copied().unwrap_or(values[lane]);
                thread.at += 1;
                thread.stop = Stop::Ready;
            }
        }
        any
    }

    /// Runs a thread until it stops.
    fn advance(&mut self, number: usize) {
        let (kernel, launch) = (self.kernel, self.launch);
        let shared = self.shared.as_mut_ptr() as usize;
        let thread = &mut self.threads[number];
        let local = thread.local.as_mut_ptr() as usize;
        let memory = Memory { kernel, launch, shared, local, shared_len: self.shared.len() * 8 };
        let (r, mut at) = (&mut thread.registers, thread.at);
        thread.stop = loop {
            let instruction = &kernel.instructions[at];
            if let Some((predicate, wanted)) = instruction.guard
                && (r[predicate as usize] != 0) != wanted
            {
                at += 1;
                continue;
            }
            at += 1;
            match &instruction.op {
                Op::Compute(f, d, [a, b, c]) => {
                    r[*d as usize] = f(r[*a as usize], r[*b as usize], r[*c as usize]);
                }
                Op::Compare(comparison, ty, d, [a, b, c], bit) => {
                    let holds = comparison.holds(r[*a as usize], r[*b as usize], *ty);
                    let holds = u64::from(holds);
                    r[*d as usize] = match bit {
                        Bit::None => holds,
                        Bit::And => holds & r[*c as usize],
                        Bit::Or => holds | r[*c as usize],
                        Bit::Xor => holds ^ r[*c as usize],
                    };
                }
                Op::Load(access) => memory.load(access, r, &mut thread.piece),
                Op::Store(access) => memory.store(access, r, &mut thread.piece),
                Op::Branch(target) => at = *target,
                Op::Convert(conversion, d, a) => r[*d as usize] = conversion.apply(r[*a as usize]),
                Op::Add(access, d) => r[*d as usize] = memory.add(access, r, &mut thread.piece),
                Op::Address(space, back, d, a) => {
                    let base = if *space == Space::Shared { shared } else { local } as u64;
                    let a = r[*a as usize];
                    r[*d as usize] =
                        if *back { a.wrapping_sub(base) } else { a.wrapping_add(base) };
                }
                Op::Unpack(to, from, bits) => {
                    let value = r[*from as usize];
                    for (i, to) in to.iter().enumerate() {
                        r[*to as usize] = masked(value >> (*bits * i as u32), *bits);
                    }
                }
                Op::Pack(to, from, bits) => {
                    let parts = from.iter().enumerate();
                    r[*to as usize] = parts.fold(0, |all, (i, from)| {
                        all | masked(r[*from as usize], *bits) << (*bits * i as u32)
                    });
                }
                Op::Barrier => break Stop::Barrier,
                Op::Shuffle(..) => {
                    // Execution continues behind the shuffle once the values are there.
                    at -= 1;
                    break Stop::Shuffle;
                }
                Op::Exit => break Stop::Exit,
                Op::Unknown(text) => fail(kernel, &format!("does not know `{text}`")),
            }
        };
        thread.at = at;
    }
}

/// Ends the program, because the memory of a real GPU cannot be trusted after an error either.
fn fail(kernel: &Kernel, reason: &str) -> ! {
    eprintln!("CUDA emulator: kernel {} {reason}", kernel.name);
    std::process::abort()
}

/// Memory that a thread can reach.
struct Memory<'a> {
    kernel: &'a Kernel,
    launch: &'a Launch<'a>,
    shared: usize,
    shared_len: usize,
    local: usize,
}

impl Memory<'_> {
    /// The address of an access, which has to lie in memory that is in use.
    #[inline]
    fn address(&self, access: &Access, r: &[u64], piece: &mut (usize, usize)) -> usize {
        let offset = r[access.base as usize].wrapping_add(access.offset as u64) as usize;
        let bytes = access.ty.bytes() * access.values.len();
        let within = |len: usize, base: usize| {
            if offset + bytes > len {
                self.outside(access, offset, bytes);
            }
            base + offset
        };
        match access.space {
            Space::Shared => within(self.shared_len, self.shared),
            Space::Local => within(self.kernel.local, self.local),
            Space::Parameter => {
                within(self.launch.parameters.len() * 8, self.launch.parameters.as_ptr() as usize)
            }
            Space::Generic => {
                if offset < piece.0 || offset + bytes > piece.1 {
                    *piece = self.piece(offset);
                    if offset < piece.0 || offset + bytes > piece.1 {
                        self.outside(access, offset, bytes);
                    }
                }
                offset
            }
        }
    }

    fn outside(&self, access: &Access, offset: usize, bytes: usize) -> ! {
        let space = access.space;
        fail(self.kernel, &format!("accesses {bytes} bytes at {offset:#x} ({space:?}): not in use"))
    }

    /// The piece of memory that an address lies in.
    #[cold]
    fn piece(&self, address: usize) -> (usize, usize) {
        let (shared, local) = (self.shared, self.local);
        if (shared..shared + self.shared_len).contains(&address) {
            return (shared, shared + self.shared_len);
        }
        if (local..local + self.kernel.local).contains(&address) {
            return (local, local + self.kernel.local);
        }
        let global = |&&(start, end): &&(usize, usize)| (start..end).contains(&address);
        if let Some(&piece) = self.kernel.globals.iter().find(global) {
            return piece;
        }
        let after = self.launch.memory.partition_point(|&(start, _)| start <= address);
        let piece = after.checked_sub(1).map(|at| self.launch.memory[at]);
        piece.unwrap_or((0, 0))
    }

    fn load(&self, access: &Access, r: &mut [u64], piece: &mut (usize, usize)) {
        let address = self.address(access, r, piece);
        for (i, &to) in access.values.iter().enumerate() {
            let bytes = access.ty.bytes();
            let at = address + i * bytes;
            // SAFETY: `address` found the bytes to lie in memory that is in use.
            let value = unsafe {
                match bytes {
                    1 => u64::from((at as *const u8).read()),
                    2 => u64::from((at as *const u16).read_unaligned()),
                    4 => u64::from((at as *const u32).read_unaligned()),
                    _ => (at as *const u64).read_unaligned(),
                }
            };
            r[to as usize] = match access.ty {
                // A register may be wider than what is loaded.
                Type::Signed(bits @ (8 | 16)) => masked(extend(value, bits) as u64, 32),
                _ => value,
            };
        }
    }

    fn store(&self, access: &Access, r: &[u64], piece: &mut (usize, usize)) {
        let address = self.address(access, r, piece);
        for (i, &from) in access.values.iter().enumerate() {
            let bytes = access.ty.bytes();
            let (at, value) = (address + i * bytes, r[from as usize]);
            // SAFETY: as for a load.
            unsafe {
                match bytes {
                    1 => (at as *mut u8).write(value as u8),
                    2 => (at as *mut u16).write_unaligned(value as u16),
                    4 => (at as *mut u32).write_unaligned(value as u32),
                    _ => (at as *mut u64).write_unaligned(value),
                }
            }
        }
    }

    fn add(&self, access: &Access, r: &[u64], piece: &mut (usize, usize)) -> u64 {
        let address = self.address(access, r, piece);
        let value = r[first(access)];
        let sum = |old: u64| match access.ty {
            Type::F32 => f32_bits(f32_of(old) + f32_of(value)),
            Type::F64 => (f64_of(old) + f64_of(value)).to_bits(),
            _ => old.wrapping_add(value),
        };
        if access.ty.bytes() == 4 {
            // SAFETY: as for a load; threads of other blocks use atomics too.
            let cell = unsafe { AtomicU32::from_ptr(address as *mut u32) };
            let step = |old: u32| Some(sum(u64::from(old)) as u32);
            match cell.fetch_update(Ordering::SeqCst, Ordering::SeqCst, step) {
                Ok(old) | Err(old) => u64::from(old),
            }
        } else {
            // SAFETY: as above.
            let cell = unsafe { AtomicU64::from_ptr(address as *mut u64) };
            match cell.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |old| Some(sum(old))) {
                Ok(old) | Err(old) => old,
            }
        }
    }
}

fn first(access: &Access) -> usize {
    access.values.first().map_or(0, |&first: &Register| first as usize)
}

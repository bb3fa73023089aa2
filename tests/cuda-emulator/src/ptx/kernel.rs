//! A kernel as instructions.

use super::value::{Comparison, Compute, Conversion, Type};

/// A register's number.
pub(super) type Register = u32;

/// Origin of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Space {
    /// The machine's own address.
    Generic,
    Shared,
    Local,
    Parameter,
}

/// A value in memory, or several side by side.
#[derive(Clone, Debug)]
pub(super) struct Access {
    pub(super) space: Space,
    pub(super) ty: Type,
    pub(super) base: Register,
    pub(super) offset: i64,
    pub(super) values: Vec<Register>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bit {
    And,
    Or,
    Xor,
    None,
}

#[derive(Clone, Debug)]
pub(super) enum Op {
    Compute(Compute, Register, [Register; 3]),
    Convert(Conversion, Register, Register),
    /// Compares, and combines with a predicate.
    Compare(Comparison, Type, Register, [Register; 3], Bit),
    Load(Access),
    Store(Access),
    /// Adds to memory and returns the old value.
    Add(Access, Register),
    /// Converts an address of one space to a generic one, or back.
    Address(Space, bool, Register, Register),
    Unpack(Vec<Register>, Register, u32),
    Pack(Register, Vec<Register>, u32),
    /// `(result, value, lane mask)` of `shfl.sync.bfly`.
    Shuffle(Register, Register, Register),
    Branch(usize),
    Barrier,
    Exit,
    /// Unknown instruction; stops the program only if it is reached.
    Unknown(String),
}

#[derive(Clone, Debug)]
pub(super) struct Instruction {
    pub(super) op: Op,
    /// Runs only if the predicate has this value.
    pub(super) guard: Option<(Register, bool)>,
}

/// Initial value of a special register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Special {
    Thread(usize),
    ThreadsOfBlock(usize),
    Block(usize),
    Blocks(usize),
    Lane,
}

/// Address of the shared memory whose size a launch gives.
pub(super) const DYNAMIC: usize = 1 << 16;

/// A kernel that can be run.
#[derive(Debug)]
pub(crate) struct Kernel {
    pub(super) name: String,
    pub(super) instructions: Vec<Instruction>,
    /// Registers as a thread starts: constants, and zeros.
    pub(super) registers: Vec<u64>,
    pub(super) specials: Vec<(Register, Special)>,
    pub(super) shared: usize,
    pub(super) local: usize,
    /// Offset and size of each parameter.
    pub(crate) parameters: Vec<(usize, usize)>,
    pub(super) synchronises: bool,
    /// Start and end of the module's arrays.
    pub(super) globals: Vec<(usize, usize)>,
}

//! A kernel's text to instructions.

use std::collections::HashMap;

use super::globals::{Globals, range};
use super::kernel::{Access, Bit, DYNAMIC, Instruction, Kernel, Op, Register, Space};
use super::text::{array, constant, space, special, split};
use super::value::{Comparison, Conversion, Rounding, Type, compute};

struct Parser<'a> {
    globals: &'a Globals,
    kernel: Kernel,
    /// Names in scopes, the innermost last.
    names: Vec<HashMap<String, Register>>,
    constants: HashMap<u64, Register>,
    /// Offsets of arrays in shared and local memory, and of parameters.
    offsets: HashMap<String, (Space, usize)>,
    labels: HashMap<String, usize>,
    branches: Vec<(usize, String)>,
}

/// The kernel whose name the text starts with.
pub(super) fn kernel(text: &str, globals: &Globals) -> Result<Kernel, String> {
    let (header, body) = text.split_once('{').ok_or("a kernel without a body")?;
    let (name, parameters) = header.split_once('(').unwrap_or((header, ""));
    let mut parser = Parser {
        globals,
        kernel: Kernel {
            name: name.trim().to_owned(),
            instructions: Vec::new(),
            registers: Vec::new(),
            specials: Vec::new(),
            shared: 0,
            local: 0,
            parameters: Vec::new(),
            synchronises: false,
            globals: globals.memory.values().map(|memory| range(memory)).collect(),
        },
        names: vec![HashMap::new()],
        constants: HashMap::new(),
        offsets: HashMap::new(),
        labels: HashMap::new(),
        branches: Vec::new(),
    };
    parser.parameters(parameters.split(')').next().unwrap_or_default());
    for declaration in &globals.shared {
        if array(declaration).is_some_and(|(name, _)| body.contains(&name)) {
            parser.declare_array(declaration, Space::Shared);
        }
    }
    parser.body(body)?;
    parser.finish()
}

impl Parser<'_> {
    fn parameters(&mut self, list: &str) {
        let mut offset = 0usize;
        for parameter in list.split(',') {
            let Some((name, size)) = array(parameter.trim()) else { continue };
            let align = match parameter.split_once(".align ") {
                Some((_, rest)) => {
                    let digits = rest.split_whitespace().next().unwrap_or("1");
                    digits.parse().unwrap_or(1)
                }
                None => size.max(1),
            };
            offset = offset.next_multiple_of(align);
            self.kernel.parameters.push((offset, size));
            self.offsets.insert(name, (Space::Parameter, offset));
            offset += size;
        }
    }

    fn declare_array(&mut self, declaration: &str, space: Space) {
        let Some((name, size)) = array(declaration) else { return };
        if declaration.starts_with(".extern") {
            self.offsets.insert(name, (space, DYNAMIC));
            return;
        }
        let end =
            if space == Space::Shared { &mut self.kernel.shared } else { &mut self.kernel.local };
        let offset = end.next_multiple_of(16);
        *end = offset + size;
        self.offsets.insert(name, (space, offset));
    }

    /// Statements up to the brace that ends the kernel.
    fn body(&mut self, body: &str) -> Result<(), String> {
        let mut rest = body.trim_start();
        loop {
            if rest.is_empty() {
                return Err(format!("{}: no end", self.kernel.name));
            }
            if let Some(inner) = rest.strip_prefix('{') {
                self.names.push(HashMap::new());
                rest = inner.trim_start();
                continue;
            }
            if let Some(after) = rest.strip_prefix('}') {
                self.names.pop();
                if self.names.is_empty() {
                    return Ok(());
                }
                rest = after.trim_start();
                continue;
            }
            // A label ends with a colon before anything that an instruction could have.
            let word = rest.find(|c: char| c.is_whitespace() || c == ':' || c == ';');
            if let Some(at) = word
                && rest[at..].starts_with(':')
            {
                self.labels.insert(rest[..at].to_owned(), self.kernel.instructions.len());
                rest = rest[at + 1..].trim_start();
                continue;
            }
            let end = rest.find(';').ok_or_else(|| format!("{}: no `;`", self.kernel.name))?;
            let statement = rest[..end].trim();
            rest = rest[end + 1..].trim_start();
            self.statement(statement);
        }
    }

    fn statement(&mut self, statement: &str) {
        let statement = statement.split_whitespace().collect::<Vec<_>>().join(" ");
        if statement.is_empty() {
            return;
        }
        if let Some(list) = statement.strip_prefix(".reg") {
            return self.declare_registers(list);
        }
        if statement.starts_with(".shared") {
            return self.declare_array(&statement, Space::Shared);
        }
        if statement.starts_with(".local") {
            return self.declare_array(&statement, Space::Local);
        }
        if statement.starts_with('.') {
            return;
        }
        let (guard, text) = match statement.strip_prefix('@') {
            None => (None, statement.as_str()),
            Some(rest) => {
                let (predicate, text) = rest.split_once(' ').unwrap_or((rest, ""));
                let (wanted, name) = match predicate.strip_prefix('!') {
                    Some(name) => (false, name),
                    None => (true, predicate),
                };
                (Some((self.register(name), wanted)), text)
            }
        };
        let op = self.op(text).unwrap_or_else(|| Op::Unknown(text.to_owned()));
        self.kernel.synchronises |= matches!(op, Op::Barrier | Op::Shuffle(..));
        self.kernel.instructions.push(Instruction { op, guard });
    }

    /// `.b32 %r<6>` or `.b16 low, high`.
    fn declare_registers(&mut self, list: &str) {
        let list = list.trim().split_once(' ').map_or("", |(_, names)| names);
        for name in list.split(',') {
            let name = name.trim();
            if let Some((stem, count)) = name.split_once('<') {
                let count: usize = count.trim_end_matches('>').parse().unwrap_or(0);
                for i in 0..count {
                    self.new_name(format!("{stem}{i}"));
                }
            } else {
                self.new_name(name.to_owned());
            }
        }
    }

    fn new_register(&mut self, value: u64) -> Register {
        self.kernel.registers.push(value);
        self.kernel.registers.len() as Register - 1
    }

    fn new_name(&mut self, name: String) -> Register {
        let register = self.new_register(0);
        if let Some(scope) = self.names.last_mut() {
            scope.insert(name, register);
        }
        register
    }

    fn constant(&mut self, value: u64) -> Register {
        if let Some(&register) = self.constants.get(&value) {
            return register;
        }
        let register = self.new_register(value);
        self.constants.insert(value, register);
        register
    }

    /// The register of an operand: a name, a number, or an address.
    fn register(&mut self, operand: &str) -> Register {
        let operand = operand.trim();
        if let Some(&register) = self.names.iter().rev().find_map(|scope| scope.get(operand)) {
            return register;
        }
        if let Some(special) = special(operand) {
            let register = self.new_register(0);
            self.kernel.specials.push((register, special));
            // The same in every scope.
            self.names[0].insert(operand.to_owned(), register);
            return register;
        }
        match operand {
            "_" => return self.new_register(0),
            "WARP_SZ" => return self.constant(32),
            _ => {}
        }
        if let Some(&(_, offset)) = self.offsets.get(operand) {
            return self.constant(offset as u64);
        }
        if let Some(memory) = self.globals.memory.get(operand) {
            return self.constant(memory.as_ptr() as u64);
        }
        match constant(operand) {
            Some(value) => self.constant(value),
            None => self.new_name(operand.to_owned()),
        }
    }

    /// Registers between braces, or one.
    fn list(&mut self, operand: &str) -> Vec<Register> {
        let operand = operand.trim().trim_start_matches('{').trim_end_matches('}');
        operand.split(',').map(|name| self.register(name)).collect()
    }

    fn access(&mut self, space: Space, ty: Type, address: &str, values: &str) -> Access {
        let address = address.trim().trim_start_matches('[').trim_end_matches(']');
        let (base, offset) = match address.rsplit_once('+') {
            Some((base, offset)) => (base, constant(offset).unwrap_or(0) as i64),
            None => (address, 0),
        };
        let base = self.register(base);
        Access { space, ty, base, offset, values: self.list(values) }
    }

    fn op(&mut self, text: &str) -> Option<Op> {
        let (name, operands) = text.split_once(' ').unwrap_or((text, ""));
        let operands = split(operands);
        let operands: Vec<&str> = operands.iter().map(String::as_str).collect();
        let parts: Vec<&str> = name.split('.').collect();
        let last = parts.last().copied().unwrap_or_default();
        match parts[0] {
            "ret" | "exit" => return Some(Op::Exit),
            "bra" => {
                self.branches.push((self.kernel.instructions.len(), operands.first()?.to_string()));
                return Some(Op::Branch(0));
            }
            "bar" | "barrier" => return Some(Op::Barrier),
            "membar" | "fence" => {
                return Some(Op::Compute(|a, _, _| a, self.new_register(0), [0; 3]));
            }
            "ld" | "ldu" | "st" => {
                let space = space(&parts);
                let ty = Type::parse(last)?;
                let load = parts[0] != "st";
                let (values, address) = if load { (0, 1) } else { (1, 0) };
                let access = self.access(space, ty, operands.get(address)?, operands.get(values)?);
                return Some(if load { Op::Load(access) } else { Op::Store(access) });
            }
            "atom" | "red" if parts.contains(&"add") => {
                let (space, ty) = (space(&parts), Type::parse(last)?);
                let (result, first) = if parts[0] == "atom" { (operands[0], 1) } else { ("_", 0) };
                let result = self.register(result);
                let access = self.access(space, ty, operands.get(first)?, operands.get(first + 1)?);
                return Some(Op::Add(access, result));
            }
            "cvta" if name.contains("shared") || name.contains("local") => {
                let to = if name.contains("shared") { Space::Shared } else { Space::Local };
                let back = parts.get(1) == Some(&"to");
                let (d, a) = (self.register(operands[0]), self.register(operands.get(1)?));
                return Some(Op::Address(to, back, d, a));
            }
            "shfl" if parts.contains(&"bfly") => {
                let result = operands[0].split('|').next()?;
                let (result, value) = (self.register(result), self.register(operands.get(1)?));
                return Some(Op::Shuffle(result, value, self.register(operands.get(2)?)));
            }
            "setp" => return self.compare(&parts, &operands),
            "cvt" => return self.convert(&parts, &operands),
            "mov" if operands.first()?.starts_with('{') => {
                let bits = Type::parse(last)?.bytes() as u32 * 8;
                let (to, from) = (self.list(operands[0]), self.register(operands.get(1)?));
                let bits = bits / to.len() as u32;
                return Some(Op::Unpack(to, from, bits));
            }
            "mov" if operands.get(1)?.starts_with('{') => {
                let bits = Type::parse(last)?.bytes() as u32 * 8;
                let (to, from) = (self.register(operands[0]), self.list(operands[1]));
                let bits = bits / from.len() as u32;
                return Some(Op::Pack(to, from, bits));
            }
            _ => {}
        }
        let plain = parts.iter().filter(|part| !matches!(**part, "rn" | "ftz" | "approx" | "full"));
        let plain = plain.copied().collect::<Vec<_>>().join(".");
        let function = compute(&plain)?;
        let mut registers = [0; 4];
        for (register, operand) in registers.iter_mut().zip(&operands) {
            *register = self.register(operand);
        }
        let [d, a, b, c] = registers;
        Some(Op::Compute(function, d, [a, b, c]))
    }

    /// `setp.lt.and.s32 p, a, b, q`
    fn compare(&mut self, parts: &[&str], operands: &[&str]) -> Option<Op> {
        let comparison = Comparison::parse(parts.get(1)?)?;
        let bit = match parts.get(2) {
            Some(&"and") => Bit::And,
            Some(&"or") => Bit::Or,
            Some(&"xor") => Bit::Xor,
            _ => Bit::None,
        };
        let ty = Type::parse(parts.last()?)?;
        if operands.first()?.contains('|') {
            return None;
        }
        let mut registers = [0; 4];
        for (register, operand) in registers.iter_mut().zip(operands) {
            *register = self.register(operand);
        }
        let [d, a, b, c] = registers;
        Some(Op::Compare(comparison, ty, d, [a, b, c], bit))
    }

    /// `cvt.rzi.s32.f32 d, a`
    fn convert(&mut self, parts: &[&str], operands: &[&str]) -> Option<Op> {
        let types: Vec<Type> = parts.iter().filter_map(|part| Type::parse(part)).collect();
        let &[to, from] = &types[..] else { return None };
        let mut whole = parts.iter().find_map(|part| match *part {
            "rni" => Some(Rounding::Nearest),
            "rzi" => Some(Rounding::Zero),
            "rmi" => Some(Rounding::Down),
            "rpi" => Some(Rounding::Up),
            _ => None,
        });
        let float = |ty| !matches!(ty, Type::Signed(_) | Type::Unsigned(_));
        if parts.iter().any(|part| matches!(*part, "rz" | "rm" | "rp")) && float(to) {
            return None;
        }
        if float(from) && !float(to) && whole.is_none() {
            whole = Some(Rounding::Zero);
        }
        let conversion = Conversion { to, from, whole, saturate: parts.contains(&"sat") };
        let (to, from) = (self.register(operands[0]), self.register(operands.get(1)?));
        Some(Op::Convert(conversion, to, from))
    }

    fn finish(mut self) -> Result<Kernel, String> {
        for (at, label) in self.branches {
            let target = *self
                .labels
                .get(&label)
                .ok_or_else(|| format!("{}: no label {label}", self.kernel.name))?;
            self.kernel.instructions[at].op = Op::Branch(target);
        }
        let end = Instruction { op: Op::Exit, guard: None };
        self.kernel.instructions.push(end);
        Ok(self.kernel)
    }
}

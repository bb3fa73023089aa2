//! Arithmetic of single PTX instructions.
//!
//! A register is 64 bits wide and holds narrower values with zeros above them.

/// A function of up to three operands.
pub(super) type Compute = fn(u64, u64, u64) -> u64;

/// Types of PTX, with how a register is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Type {
    Signed(u32),
    Unsigned(u32),
    F16,
    Bf16,
    F32,
    F64,
    Predicate,
}

impl Type {
    pub(super) fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "pred" => Self::Predicate,
            "f16" => Self::F16,
            "bf16" => Self::Bf16,
            "f32" => Self::F32,
            "f64" => Self::F64,
            _ => {
                let (kind, bits) = name.split_at_checked(1)?;
                let bits = bits.parse().ok()?;
                match kind {
                    "s" => Self::Signed(bits),
                    "u" | "b" => Self::Unsigned(bits),
                    _ => return None,
                }
            }
        })
    }

    pub(super) fn bytes(self) -> usize {
        match self {
            Self::Signed(bits) | Self::Unsigned(bits) => bits as usize / 8,
            Self::F16 | Self::Bf16 => 2,
            Self::F32 => 4,
            Self::F64 => 8,
            Self::Predicate => 1,
        }
    }
}

/// Rounding of a conversion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rounding {
    Nearest,
    Zero,
    Down,
    Up,
}

/// A conversion between types.
#[derive(Clone, Copy, Debug)]
pub(super) struct Conversion {
    pub(super) to: Type,
    pub(super) from: Type,
    /// To a whole number.
    pub(super) whole: Option<Rounding>,
    pub(super) saturate: bool,
}

impl Conversion {
    pub(super) fn apply(self, x: u64) -> u64 {
        match (self.from, self.to) {
            (Type::Signed(bits), to) => Self::of_int(extend(x, bits), false, to),
            (Type::Unsigned(bits), to) => Self::of_int(masked(x, bits) as i64, true, to),
            (from, to) => self.of_float(float(x, from), to),
        }
    }

    fn of_int(x: i64, unsigned: bool, to: Type) -> u64 {
        match to {
            Type::Signed(bits) | Type::Unsigned(bits) => masked(x as u64, bits),
            Type::F32 if unsigned => f32_bits(x as u64 as f32),
            Type::F32 => f32_bits(x as f32),
            Type::F64 if unsigned => (x as u64 as f64).to_bits(),
            Type::F64 => (x as f64).to_bits(),
            Type::F16 | Type::Bf16 => narrow(x as f32, to),
            Type::Predicate => u64::from(x != 0),
        }
    }

    fn of_float(self, x: f64, to: Type) -> u64 {
        let mut x = match self.whole {
            None => x,
            Some(Rounding::Nearest) => x.round_ties_even(),
            Some(Rounding::Zero) => x.trunc(),
            Some(Rounding::Down) => x.floor(),
            Some(Rounding::Up) => x.ceil(),
        };
        if self.saturate {
            x = if x.is_nan() { 0.0 } else { x.clamp(0.0, 1.0) };
        }
        match to {
            // Out of range gives the nearest, as `as` does.
            Type::Signed(8) => masked(x as i8 as u64, 8),
            Type::Signed(16) => masked(x as i16 as u64, 16),
            Type::Signed(32) => masked(x as i32 as u64, 32),
            Type::Signed(_) => x as i64 as u64,
            Type::Unsigned(8) => u64::from(x as u8),
            Type::Unsigned(16) => u64::from(x as u16),
            Type::Unsigned(32) => u64::from(x as u32),
            Type::Unsigned(_) => x as u64,
            Type::F32 => f32_bits(x as f32),
            Type::F64 => x.to_bits(),
            Type::F16 | Type::Bf16 => narrow(x as f32, to),
            Type::Predicate => u64::from(x != 0.0),
        }
    }
}

pub(super) fn f32_of(x: u64) -> f32 {
    f32::from_bits(x as u32)
}

pub(super) fn f64_of(x: u64) -> f64 {
    f64::from_bits(x)
}

pub(super) fn f32_bits(x: f32) -> u64 {
    u64::from(x.to_bits())
}

/// The lowest bits.
pub(super) fn masked(x: u64, bits: u32) -> u64 {
    if bits >= 64 { x } else { x & ((1 << bits) - 1) }
}

/// Sign extension of the lowest bits.
pub(super) fn extend(x: u64, bits: u32) -> i64 {
    let shift = 64 - bits.min(64);
    (x << shift) as i64 >> shift
}

fn float(x: u64, ty: Type) -> f64 {
    match ty {
        Type::F32 => f64::from(f32_of(x)),
        Type::F64 => f64_of(x),
        Type::Bf16 => f64::from(f32::from_bits((x as u32) << 16)),
        Type::F16 => f64::from(half(x as u16)),
        _ => x as f64,
    }
}

fn half(x: u16) -> f32 {
    let sign = if x & 0x8000 == 0 { 1.0 } else { -1.0 };
    let (exponent, fraction) = (i32::from(x >> 10 & 31), f32::from(x & 0x3ff));
    match exponent {
        0 => sign * fraction * 2f32.powi(-24),
        31 if fraction == 0.0 => sign * f32::INFINITY,
        31 => f32::NAN,
        _ => sign * (1024.0 + fraction) * 2f32.powi(exponent - 25),
    }
}

/// Rounds to a 16-bit type, ties to even.
fn narrow(x: f32, to: Type) -> u64 {
    let bits = x.to_bits();
    if to == Type::Bf16 {
        if x.is_nan() {
            return 0x7fff;
        }
        return u64::from((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
    }
    let sign = u64::from(bits >> 16 & 0x8000);
    let magnitude = x.abs();
    if x.is_nan() {
        return 0x7fff;
    }
    if magnitude >= 65520.0 {
        return sign | 0x7c00;
    }
    if magnitude < 2f32.powi(-14) {
        return sign | (magnitude * 2f32.powi(24)).round_ties_even() as u64;
    }
    let bits = magnitude.to_bits();
    let rounded = (bits + 0xfff + (bits >> 13 & 1)) >> 13;
    sign | u64::from(rounded - (112 << 10))
}

/// A comparison by its name in PTX.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Comparison {
    less: bool,
    equal: bool,
    greater: bool,
    /// Result if an operand is NaN.
    unordered: bool,
}

impl Comparison {
    pub(super) fn parse(name: &str) -> Option<Self> {
        let (less, equal, greater, unordered) = match name {
            "eq" => (false, true, false, false),
            // For whole numbers. For floating-point numbers a NaN is not "ne".
            "ne" => (true, false, true, false),
            "lt" | "lo" => (true, false, false, false),
            "le" | "ls" => (true, true, false, false),
            "gt" | "hi" => (false, false, true, false),
            "ge" | "hs" => (false, true, true, false),
            "equ" => (false, true, false, true),
            "neu" => (true, false, true, true),
            "ltu" => (true, false, false, true),
            "leu" => (true, true, false, true),
            "gtu" => (false, false, true, true),
            "geu" => (false, true, true, true),
            "num" => (true, true, true, false),
            "nan" => (false, false, false, true),
            _ => return None,
        };
        Some(Self { less, equal, greater, unordered })
    }

    pub(super) fn holds(self, a: u64, b: u64, ty: Type) -> bool {
        let order = match ty {
            Type::Signed(bits) => Some(extend(a, bits).cmp(&extend(b, bits))),
            Type::Unsigned(bits) => Some(masked(a, bits).cmp(&masked(b, bits))),
            Type::F32 => f32_of(a).partial_cmp(&f32_of(b)),
            _ => float(a, ty).partial_cmp(&float(b, ty)),
        };
        match order {
            Some(std::cmp::Ordering::Less) => self.less,
            Some(std::cmp::Ordering::Equal) => self.equal,
            Some(std::cmp::Ordering::Greater) => self.greater,
            None => self.unordered,
        }
    }
}

/// The function of an instruction whose name has no rounding, `ftz` or `approx` left.
pub(super) fn compute(name: &str) -> Option<Compute> {
    /// Defines an operation on 32-bit whole numbers.
    macro_rules! u {
        (|$a:ident, $b:ident, $c:ident| $e:expr) => {
            |a, b, c| {
                let ($a, $b, $c) = (a as u32, b as u32, c as u32);
                let _ = ($a, $b, $c);
                u64::from(($e) as u32)
            }
        };
    }
    macro_rules! s {
        (|$a:ident, $b:ident, $c:ident| $e:expr) => {
            |a, b, c| {
                let ($a, $b, $c) = (a as i32, b as i32, c as i32);
                let _ = ($a, $b, $c);
                u64::from(($e) as u32)
            }
        };
    }
    macro_rules! h {
        (|$a:ident, $b:ident| $e:expr) => {
            |a, b, _| {
                let ($a, $b) = (a as u16, b as u16);
                let _ = ($a, $b);
                u64::from(($e) as u16)
            }
        };
    }
    macro_rules! l {
        (|$a:ident, $b:ident, $c:ident| $e:expr) => {
            |$a: u64, $b: u64, $c: u64| {
                let _ = ($a, $b, $c);
                ($e) as u64
            }
        };
    }
    macro_rules! f {
        (|$a:ident, $b:ident, $c:ident| $e:expr) => {
            |a, b, c| {
                let ($a, $b, $c) = (f32_of(a), f32_of(b), f32_of(c));
                let _ = ($a, $b, $c);
                f32_bits($e)
            }
        };
    }
    macro_rules! d {
        (|$a:ident, $b:ident, $c:ident| $e:expr) => {
            |a, b, c| {
                let ($a, $b, $c) = (f64_of(a), f64_of(b), f64_of(c));
                let _ = ($a, $b, $c);
                f64::to_bits($e)
            }
        };
    }
    Some(match name {
        "mov.b16" | "mov.u16" | "mov.b32" | "mov.u32" | "mov.s32" | "mov.f32" | "mov.b64"
        | "mov.u64" | "mov.s64" | "mov.f64" | "mov.pred" | "cvta.to.global.u64"
        | "cvta.global.u64" | "cvta.to.const.u64" | "cvta.const.u64" => |a, _, _| a,
        "selp.b16" | "selp.u16" | "selp.s16" | "selp.b32" | "selp.u32" | "selp.s32"
        | "selp.f32" | "selp.b64" | "selp.u64" | "selp.s64" | "selp.f64" => {
            |a, b, p| if p != 0 { a } else { b }
        }
        "and.pred" => |a, b, _| a & b,
        "or.pred" => |a, b, _| a | b,
        "xor.pred" => |a, b, _| a ^ b,
        "not.pred" => |a, _, _| a ^ 1,

        "add.s16" | "add.u16" => h!(|a, b| a.wrapping_add(b)),
        "sub.s16" | "sub.u16" => h!(|a, b| a.wrapping_sub(b)),
        "mul.lo.s16" | "mul.lo.u16" => h!(|a, b| a.wrapping_mul(b)),
        "and.b16" => h!(|a, b| a & b),
        "or.b16" => h!(|a, b| a | b),
        "xor.b16" => h!(|a, b| a ^ b),
        "not.b16" => h!(|a, b| !a),
        "shl.b16" => |a, b, _| if b as u32 > 15 { 0 } else { masked(a << b, 16) },
        "shr.u16" | "shr.b16" => |a, b, _| if b as u32 > 15 { 0 } else { masked(a, 16) >> b },
        "shr.s16" => |a, b, _| masked((extend(a, 16) >> (b as u32).min(15)) as u64, 16),
        "min.u16" => h!(|a, b| a.min(b)),
        "max.u16" => h!(|a, b| a.max(b)),
        "mul.wide.u16" => |a, b, _| masked(a, 16) * masked(b, 16),
        "mul.wide.s16" => |a, b, _| masked((extend(a, 16) * extend(b, 16)) as u64, 32),

        "add.s32" | "add.u32" => u!(|a, b, c| a.wrapping_add(b)),
        "sub.s32" | "sub.u32" => u!(|a, b, c| a.wrapping_sub(b)),
        "mul.lo.s32" | "mul.lo.u32" => u!(|a, b, c| a.wrapping_mul(b)),
        "mad.lo.s32" | "mad.lo.u32" => u!(|a, b, c| a.wrapping_mul(b).wrapping_add(c)),
        "mul.hi.u32" => u!(|a, b, c| (u64::from(a) * u64::from(b)) >> 32),
        "mul.hi.s32" => s!(|a, b, c| (i64::from(a) * i64::from(b)) >> 32),
        // Division by zero gives all ones, and its rest is the dividend.
        "div.u32" => u!(|a, b, c| a.checked_div(b).unwrap_or(u32::MAX)),
        "rem.u32" => u!(|a, b, c| a.checked_rem(b).unwrap_or(a)),
        "div.s32" => s!(|a, b, c| if b == 0 { -1 } else { a.wrapping_div(b) }),
        "rem.s32" => s!(|a, b, c| if b == 0 { a } else { a.wrapping_rem(b) }),
        "min.u32" => u!(|a, b, c| a.min(b)),
        "max.u32" => u!(|a, b, c| a.max(b)),
        "min.s32" => s!(|a, b, c| a.min(b)),
        "max.s32" => s!(|a, b, c| a.max(b)),
        "abs.s32" => s!(|a, b, c| a.wrapping_abs()),
        "neg.s32" => s!(|a, b, c| a.wrapping_neg()),
        "and.b32" => u!(|a, b, c| a & b),
        "or.b32" => u!(|a, b, c| a | b),
        "xor.b32" => u!(|a, b, c| a ^ b),
        "not.b32" => u!(|a, b, c| !a),
        "shl.b32" => u!(|a, b, c| if b > 31 { 0 } else { a << b }),
        "shr.u32" | "shr.b32" => u!(|a, b, c| if b > 31 { 0 } else { a >> b }),
        "shr.s32" => |a, b, _| u64::from((a as i32 >> (b as u32).min(31)) as u32),
        "popc.b32" => u!(|a, b, c| a.count_ones()),
        "clz.b32" => u!(|a, b, c| a.leading_zeros()),
        "brev.b32" => u!(|a, b, c| a.reverse_bits()),
        "bfe.u32" => u!(|a, b, c| if b > 31 { 0 } else { masked(u64::from(a >> b), c.min(32)) }),
        "shf.l.wrap.b32" => u!(|a, b, c| (u64::from(b) << 32 | u64::from(a)) << (c & 31) >> 32),
        "shf.r.wrap.b32" => u!(|a, b, c| (u64::from(b) << 32 | u64::from(a)) >> (c & 31)),
        "prmt.b32" => u!(|a, b, c| {
            let bytes = u64::from(b) << 32 | u64::from(a);
            (0..4).fold(0u32, |sum, i| {
                let pick = c >> (4 * i);
                let byte = (bytes >> (8 * (pick & 7))) as u8;
                let byte = if pick & 8 == 0 { byte } else { ((byte as i8) >> 7) as u8 };
                sum | u32::from(byte) << (8 * i)
            })
        }),

        "mul.wide.u32" => |a, b, _| masked(a, 32) * masked(b, 32),
        "mul.wide.s32" => |a, b, _| (extend(a, 32) * extend(b, 32)) as u64,
        "mad.wide.u32" => |a, b, c| (masked(a, 32) * masked(b, 32)).wrapping_add(c),
        "mad.wide.s32" => |a, b, c| ((extend(a, 32) * extend(b, 32)) as u64).wrapping_add(c),
        "add.s64" | "add.u64" => l!(|a, b, c| a.wrapping_add(b)),
        "sub.s64" | "sub.u64" => l!(|a, b, c| a.wrapping_sub(b)),
        "mul.lo.s64" | "mul.lo.u64" => l!(|a, b, c| a.wrapping_mul(b)),
        "mad.lo.s64" | "mad.lo.u64" => l!(|a, b, c| a.wrapping_mul(b).wrapping_add(c)),
        "mul.hi.u64" => l!(|a, b, c| (u128::from(a) * u128::from(b)) >> 64),
        "mul.hi.s64" => l!(|a, b, c| (i128::from(a as i64) * i128::from(b as i64)) >> 64),
        "div.u64" => l!(|a, b, c| a.checked_div(b).unwrap_or(u64::MAX)),
        "rem.u64" => l!(|a, b, c| a.checked_rem(b).unwrap_or(a)),
        "div.s64" => l!(|a, b, c| if b == 0 { -1i64 } else { (a as i64).wrapping_div(b as i64) }),
        "rem.s64" => {
            l!(|a, b, c| if b == 0 { a as i64 } else { (a as i64).wrapping_rem(b as i64) })
        }
        "min.u64" => l!(|a, b, c| a.min(b)),
        "max.u64" => l!(|a, b, c| a.max(b)),
        "min.s64" => l!(|a, b, c| (a as i64).min(b as i64)),
        "max.s64" => l!(|a, b, c| (a as i64).max(b as i64)),
        "neg.s64" => l!(|a, b, c| (a as i64).wrapping_neg()),
        "abs.s64" => l!(|a, b, c| (a as i64).wrapping_abs()),
        "and.b64" => l!(|a, b, c| a & b),
        "or.b64" => l!(|a, b, c| a | b),
        "xor.b64" => l!(|a, b, c| a ^ b),
        "not.b64" => l!(|a, b, c| !a),
        "shl.b64" => l!(|a, b, c| if b as u32 > 63 { 0 } else { a << (b as u32) }),
        "shr.u64" | "shr.b64" => l!(|a, b, c| if b as u32 > 63 { 0 } else { a >> (b as u32) }),
        "shr.s64" => l!(|a, b, c| a as i64 >> (b as u32).min(63)),
        "popc.b64" => l!(|a, b, c| a.count_ones()),
        "clz.b64" => l!(|a, b, c| a.leading_zeros()),

        "add.f32" => f!(|a, b, c| a + b),
        "sub.f32" => f!(|a, b, c| a - b),
        "mul.f32" => f!(|a, b, c| a * b),
        "div.f32" => f!(|a, b, c| a / b),
        "fma.f32" | "mad.f32" => f!(|a, b, c| a.mul_add(b, c)),
        "min.f32" => f!(|a, b, c| a.min(b)),
        "max.f32" => f!(|a, b, c| a.max(b)),
        "min.NaN.f32" => f!(|a, b, c| if a.is_nan() || b.is_nan() { f32::NAN } else { a.min(b) }),
        "max.NaN.f32" => f!(|a, b, c| if a.is_nan() || b.is_nan() { f32::NAN } else { a.max(b) }),
        "abs.f32" => f!(|a, b, c| a.abs()),
        "neg.f32" => f!(|a, b, c| -a),
        "sqrt.f32" => f!(|a, b, c| a.sqrt()),
        "rsqrt.f32" => f!(|a, b, c| 1.0 / a.sqrt()),
        "rcp.f32" => f!(|a, b, c| 1.0 / a),
        "ex2.f32" => f!(|a, b, c| a.exp2()),
        "lg2.f32" => f!(|a, b, c| a.log2()),
        "sin.f32" => f!(|a, b, c| a.sin()),
        "cos.f32" => f!(|a, b, c| a.cos()),
        "tanh.f32" => f!(|a, b, c| a.tanh()),
        "copysign.f32" => f!(|a, b, c| b.copysign(a)),
        "add.sat.f32" => f!(|a, b, c| (a + b).clamp(0.0, 1.0)),
        "mul.sat.f32" => f!(|a, b, c| (a * b).clamp(0.0, 1.0)),
        "fma.sat.f32" => f!(|a, b, c| a.mul_add(b, c).clamp(0.0, 1.0)),
        // Towards minus infinity, as part of a range reduction whose argument is a whole number.
        "fma.rm.f32" => f!(|a, b, c| {
            let exact = f64::from(a).mul_add(f64::from(b), f64::from(c));
            let near = exact as f32;
            if f64::from(near) > exact { near.next_down() } else { near }
        }),

        "add.f64" => d!(|a, b, c| a + b),
        "sub.f64" => d!(|a, b, c| a - b),
        "mul.f64" => d!(|a, b, c| a * b),
        "div.f64" => d!(|a, b, c| a / b),
        "fma.f64" => d!(|a, b, c| a.mul_add(b, c)),
        "min.f64" => d!(|a, b, c| a.min(b)),
        "max.f64" => d!(|a, b, c| a.max(b)),
        "abs.f64" => d!(|a, b, c| a.abs()),
        "neg.f64" => d!(|a, b, c| -a),
        "sqrt.f64" => d!(|a, b, c| a.sqrt()),
        "rsqrt.f64" => d!(|a, b, c| 1.0 / a.sqrt()),
        "rcp.f64" => d!(|a, b, c| 1.0 / a),
        "copysign.f64" => d!(|a, b, c| b.copysign(a)),
        _ => return None,
    })
}

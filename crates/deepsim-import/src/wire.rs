//! Outermost fields of a protobuf message, read without its schema: kinds of messages are told
//! apart by the numbers and types of their fields, whose order is free.

/// Types of fields on the wire.
pub(crate) const VARINT: u8 = 0;
pub(crate) const FIXED64: u8 = 1;
pub(crate) const BYTES: u8 = 2;
pub(crate) const FIXED32: u8 = 5;

/// Types, each with the numbers of the fields that may have it.
pub(crate) type Fields = &'static [(u8, &'static [u64])];

/// A pass over the fields of a message.
pub(crate) struct Message<'a> {
    rest: &'a [u8],
    /// The field in which the bytes end, if they end in one.
    pub(crate) cut: Option<u64>,
    /// True if something is no field.
    broken: bool,
}

impl<'a> Message<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, cut: None, broken: false }
    }

    /// The content of the first field of this number that holds bytes.
    pub(crate) fn bytes(bytes: &'a [u8], number: u64) -> Option<&'a [u8]> {
        Self::new(bytes).find(|(found, wire, _)| (*found, *wire) == (number, BYTES)).map(|f| f.2)
    }

    fn varint(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self.rest.split_first()?;
            self.rest = rest;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        self.broken = true;
        None
    }
}

impl<'a> Iterator for Message<'a> {
    type Item = (u64, u8, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        if self.broken || self.cut.is_some() || self.rest.is_empty() {
            return None;
        }
        let tag = self.varint();
        let (number, wire) = (tag.unwrap_or(0) >> 3, (tag.unwrap_or(0) & 7) as u8);
        let begin = self.rest;
        let length = match wire {
            _ if tag.is_none() || number == 0 => None,
            VARINT => self.varint().map(|_| begin.len() - self.rest.len()),
            FIXED64 => Some(8),
            FIXED32 => Some(4),
            BYTES => self.varint().map(|length| usize::try_from(length).unwrap_or(usize::MAX)),
            _ => None,
        };
        let begin = if wire == VARINT { begin } else { self.rest };
        match length.and_then(|length| begin.split_at_checked(length)) {
            Some((content, rest)) => {
                self.rest = rest;
                Some((number, wire, content))
            }
            None => {
                let known = matches!(wire, VARINT | FIXED64 | BYTES | FIXED32) && number > 0;
                self.cut = (!self.broken && (known || tag.is_none())).then_some(number);
                self.broken |= self.cut.is_none();
                None
            }
        }
    }
}

/// True if bytes are a message of these fields, perhaps cut off, with at least one of `needed`.
/// Fields of other numbers are allowed if `open`: forks have added some.
pub(crate) fn is(bytes: &[u8], fields: Fields, needed: &[u64], open: bool) -> bool {
    let mut message = Message::new(bytes);
    let mut found = false;
    for (number, wire, _) in message.by_ref() {
        let mut types = fields.iter().filter(|(_, numbers)| numbers.contains(&number)).peekable();
        let allowed = if types.peek().is_none() { open } else { types.any(|(t, _)| *t == wire) };
        if !allowed {
            return false;
        }
        found |= needed.contains(&number);
    }
    found |= message.cut.is_some_and(|number| needed.contains(&number));
    found && !message.broken
}

/// The sentence for a message that ends in the middle of a field.
pub(crate) fn cut(bytes: &[u8]) -> Option<String> {
    let mut message = Message::new(bytes);
    message.by_ref().for_each(drop);
    let missing = "the file ends in the middle of a field, as if its download had stopped";
    message.cut.map(|number| format!("{missing} (field {number} of the message)"))
}

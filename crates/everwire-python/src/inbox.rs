//! Received messages that wait for the application, and when reading has to stop for them.

use std::collections::VecDeque;

use everwire_reactor::memory::Charge;
use pyo3::prelude::*;
use pyo3::types::PyString;
use pyo3::{PyTraverseError, PyVisit};

use crate::text;

/// What a message takes beside its content: the object's header and its place here.
const OVERHEAD: usize = 56 + size_of::<Entry>();

/// A received message, or a part of one.
pub struct Entry {
    pub object: Py<PyAny>,
    /// Bytes of its payload.
    pub size: usize,
    /// Bytes of memory that it takes while it waits.
    memory: usize,
    /// Whether the message is complete with it.
    pub fin: bool,
    /// Whether it is one of several parts.
    pub is_part: bool,
}

impl Entry {
    /// An entry for `str` or `bytes` made of `size` bytes of payload.
    pub fn new(object: Bound<'_, PyAny>, size: usize, fin: bool, is_part: bool) -> Self {
        let content = object.cast::<PyString>().map_or(size, text::memory);
        Entry { object: object.unbind(), size, memory: OVERHEAD + content, fin, is_part }
    }
}

/// How much may wait before reading stops, and from where on it goes on.
#[derive(Clone, Copy)]
pub struct Marks {
    pub high: usize,
    pub low: usize,
    pub bytes: usize,
}

impl Marks {
    /// No bound.
    pub const NONE: Marks = Marks { high: usize::MAX, low: 0, bytes: usize::MAX };
}

/// What became of an entry.
pub enum Pushed {
    /// It waits.
    Kept,
    /// It waits, and reading is to stop.
    Full,
    /// Nobody will ever take it.
    Dropped(Entry),
}

/// The queue of one connection.
pub struct Inbox {
    entries: VecDeque<Entry>,
    bytes: usize,
    memory: usize,
    charge: Charge,
    marks: Marks,
    /// Reading has stopped.
    is_full: bool,
    /// The rest of a message that nobody reads in parts any more is dropped.
    is_skipping: bool,
}

impl Inbox {
    pub fn new(marks: Marks) -> Self {
        Inbox {
            entries: VecDeque::new(),
            bytes: 0,
            memory: 0,
            charge: Charge::default(),
            marks,
            is_full: false,
            is_skipping: false,
        }
    }

    /// Bytes of memory that what waits takes.
    pub fn memory(&self) -> usize {
        self.memory
    }

    pub fn set_marks(&mut self, marks: Marks) {
        self.marks = marks;
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Whether reading has stopped, or should have.
    pub fn is_full(&self) -> bool {
        self.is_full
    }

    /// Whether more waits than `count` messages, or than the marks allow in bytes.
    pub fn is_beyond(&self, count: usize) -> bool {
        self.entries.len() >= count.max(self.marks.high) || self.bytes >= self.marks.bytes
    }

    /// Whether a part is the rest of a message that was given up; the last part ends that.
    pub fn skips(&mut self, is_part: bool, fin: bool) -> bool {
        let skips = self.is_skipping && is_part;
        if skips {
            self.is_skipping = !fin;
        }
        skips
    }

    /// Queues an entry. Once we said goodbye (not `is_open`), what does not fit is in the way of the peer's answer.
    pub fn push(&mut self, entry: Entry, is_open: bool) -> Pushed {
        if !is_open && self.is_above() {
            return Pushed::Dropped(entry);
        }
        self.count(&entry);
        self.entries.push_back(entry);
        if is_open && !self.is_full && self.is_above() {
            self.is_full = true;
            return Pushed::Full;
        }
        Pushed::Kept
    }

    /// Takes the first entry, and whether reading is to go on now.
    pub fn pop(&mut self) -> Option<(Entry, bool)> {
        let entry = self.entries.pop_front()?;
        self.bytes -= entry.size;
        self.memory -= entry.memory;
        self.charge.follow(self.memory);
        let is_low = self.entries.len() <= self.marks.low && self.bytes <= self.marks.bytes / 4;
        let resumes = self.is_full && is_low;
        if resumes {
            self.is_full = false;
        }
        Some((entry, resumes))
    }

    /// Whether the first entry is a part of a message.
    pub fn begins_with_part(&self) -> bool {
        self.entries.front().is_some_and(|entry| entry.is_part)
    }

    /// Takes the parts of the first message that came so far, and whether reading is to go on now: it is if parts are missing.
    pub fn pop_parts(&mut self) -> (Vec<Entry>, bool) {
        let was_full = self.is_full;
        let mut parts = Vec::new();
        while self.begins_with_part() && !parts.last().is_some_and(|part: &Entry| part.fin) {
            parts.extend(self.pop().map(|(part, _)| part));
        }
        if !parts.last().is_some_and(|part| part.fin) {
            self.is_full = false;
        }
        (parts, was_full && !self.is_full)
    }

    /// Puts back what was taken too early.
    pub fn put_back(&mut self, entry: Entry) {
        self.count(&entry);
        self.entries.push_front(entry);
    }

    /// Gives up the message whose parts are being read: those that wait come out, those to come will be skipped.
    /// Also whether reading is to go on now.
    pub fn skip_parts(&mut self) -> (Vec<Entry>, bool) {
        let was_full = self.is_full;
        let mut given_up = Vec::new();
        self.is_skipping = true;
        while self.is_skipping && self.begins_with_part() {
            if let Some((entry, _)) = self.pop() {
                self.is_skipping = !entry.fin;
                given_up.push(entry);
            }
        }
        (given_up, was_full && !self.is_full)
    }

    /// Everything that waits.
    pub fn take_all(&mut self) -> VecDeque<Entry> {
        (self.bytes, self.memory) = (0, 0);
        self.charge.set(0);
        std::mem::take(&mut self.entries)
    }

    pub fn traverse(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.entries.iter().try_for_each(|entry| visit.call(&entry.object))
    }

    fn count(&mut self, entry: &Entry) {
        self.bytes += entry.size;
        self.memory += entry.memory;
        self.charge.follow(self.memory);
    }

    fn is_above(&self) -> bool {
        self.entries.len() >= self.marks.high || self.bytes >= self.marks.bytes
    }
}

//! A table of values under generation-checked ids: a stale id finds nothing, never its successor.

/// The name of one value in a [`Slots`]: its place, and how often that place had been given away before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Id {
    index: u32,
    generation: u32,
}

impl Id {
    /// The id as one integer, as pollers carry it.
    pub fn to_bits(self) -> u64 {
        u64::from(self.generation) << 32 | u64::from(self.index)
    }

    /// The id that [`Id::to_bits`] made `bits` of.
    pub fn from_bits(bits: u64) -> Self {
        Id { index: bits as u32, generation: (bits >> 32) as u32 }
    }

    /// The place in the table, for tables kept beside this one.
    pub fn index(self) -> usize {
        self.index as usize
    }
}

struct Slot<T> {
    generation: u32,
    value: Option<T>,
}

/// Values under ids; freed places are used again, the most recently freed first.
pub struct Slots<T> {
    slots: Vec<Slot<T>>,
    free: Vec<u32>,
}

impl<T> Default for Slots<T> {
    fn default() -> Self {
        Slots { slots: Vec::new(), free: Vec::new() }
    }
}

impl<T> Slots<T> {
    /// How many values the table holds.
    pub fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Whether the table holds no value.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The value of `id`, unless it was removed.
    pub fn get(&self, id: Id) -> Option<&T> {
        let slot = self.slots.get(id.index())?;
        if slot.generation == id.generation { slot.value.as_ref() } else { None }
    }

    /// The value of `id` to change, unless it was removed.
    pub fn get_mut(&mut self, id: Id) -> Option<&mut T> {
        let slot = self.slots.get_mut(id.index())?;
        if slot.generation == id.generation { slot.value.as_mut() } else { None }
    }

    /// Every id and value, in the order of their places.
    pub fn iter(&self) -> impl Iterator<Item = (Id, &T)> {
        self.slots.iter().enumerate().filter_map(|(index, slot)| {
            let id = Id { index: index as u32, generation: slot.generation };
            slot.value.as_ref().map(|value| (id, value))
        })
    }

    /// Keeps what `make` makes of its id, which stays good until [`Slots::remove`].
    pub fn insert_with(&mut self, make: impl FnOnce(Id) -> T) -> Id {
        match self.free.pop() {
            Some(index) => {
                let slot = &mut self.slots[index as usize];
                let id = Id { index, generation: slot.generation };
                slot.value = Some(make(id));
                id
            }
            None => {
                let id = Id { index: self.slots.len() as u32, generation: 0 };
                self.slots.push(Slot { generation: 0, value: Some(make(id)) });
                id
            }
        }
    }

    /// Keeps `value`.
    pub fn insert(&mut self, value: T) -> Id {
        self.insert_with(|_| value)
    }

    /// Takes the value of `id` out; the id finds nothing from now on.
    pub fn remove(&mut self, id: Id) -> Option<T> {
        let slot = self.slots.get_mut(id.index())?;
        if slot.generation != id.generation {
            return None;
        }
        let value = slot.value.take()?;
        slot.generation = slot.generation.wrapping_add(1) & GENERATIONS;
        self.free.push(id.index);
        Some(value)
    }
}

/// Generations leave the top bit of [`Id::to_bits`] free: the poller marks listeners with it.
const GENERATIONS: u32 = 0x7fff_ffff;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_removed_id_finds_nothing_even_after_its_place_is_taken_again() {
        let mut slots = Slots::default();
        let old = slots.insert("old");
        assert_eq!(slots.remove(old), Some("old"));
        let new = slots.insert("new");
        assert_eq!(old.index(), new.index());
        assert_eq!(slots.get(old), None);
        assert_eq!(slots.remove(old), None);
        assert_eq!(slots.get(new), Some(&"new"));
        assert_eq!(slots.len(), 1);
    }

    #[test]
    fn an_id_survives_its_bits() {
        let mut slots = Slots::default();
        let first = slots.insert(1);
        slots.remove(first);
        let id = slots.insert(2);
        assert_eq!(Id::from_bits(id.to_bits()), id);
        assert_eq!(slots.iter().collect::<Vec<_>>(), [(id, &2)]);
    }
}

//! Storage that the caller lends: a row of records that may grow.
//!
//! The core allocates nothing. Who uses a structure decides where its records lie: the host heap
//! lends reserved address space, the device heap a growing vector, a test an array.

/// The storage has no place for another record; nothing has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

/// A row of records that one structure uses alone.
pub trait Store<T> {
    /// Returns the records, in the order in which they were pushed.
    fn records(&self) -> &[T];

    /// Returns the records to change them.
    fn records_mut(&mut self) -> &mut [T];

    /// Appends a record.
    ///
    /// # Errors
    ///
    /// [`Full`] when there is no more storage; nothing has changed.
    fn push(&mut self, record: T) -> Result<(), Full>;
}

/// A store in a slice of fixed length, such as reserved address space whose pages are touched
/// only when a record is written.
#[derive(Debug)]
pub struct Lent<'a, T> {
    records: &'a mut [T],
    len: usize,
}

impl<'a, T> Lent<'a, T> {
    /// Takes the slice as an empty store; what it holds is overwritten record by record.
    #[must_use]
    pub const fn new(records: &'a mut [T]) -> Self {
        Self { records, len: 0 }
    }
}

impl<T> Store<T> for Lent<'_, T> {
    fn records(&self) -> &[T] {
        &self.records[..self.len]
    }

    fn records_mut(&mut self) -> &mut [T] {
        &mut self.records[..self.len]
    }

    fn push(&mut self, record: T) -> Result<(), Full> {
        *self.records.get_mut(self.len).ok_or(Full)? = record;
        self.len += 1;
        Ok(())
    }
}

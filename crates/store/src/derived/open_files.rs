//! How many queue files may be open at the same time: there can be far more queues than a process may
//! have files. A queue that gets no permit opens its file for each use.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

/// Well below the limits that services have, and enough for queues in constant use.
const MAX: usize = 1024;

/// Counts the queue files that are kept open.
#[derive(Debug, Clone, Default)]
pub(crate) struct OpenFiles(Arc<AtomicUsize>);

impl OpenFiles {
    /// May one more file be kept open? Dropping the permit says that it was closed.
    pub(crate) fn permit(&self) -> Option<Permit> {
        let more = |open: usize| (open < MAX).then_some(open + 1);
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok()?;
        Some(Permit(self.clone()))
    }
}

/// Leave to keep a file open.
#[derive(Debug)]
pub(crate) struct Permit(OpenFiles);

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_only_so_many_permits() {
        let files = OpenFiles::default();
        let mut permits: Vec<_> = (0..MAX).map(|_| files.permit().unwrap()).collect();
        assert!(files.permit().is_none());
        permits.pop();
        assert!(files.permit().is_some());
    }
}

//! The content-addressed store: derivations, realisations, the lock file, garbage collection.

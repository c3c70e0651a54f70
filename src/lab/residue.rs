//! What a lab may leave behind.

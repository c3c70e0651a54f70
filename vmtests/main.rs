//! The scenarios that need a lab.

fn main() {}

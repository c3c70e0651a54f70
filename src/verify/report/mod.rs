//! Evidence for people and for other tools: a page with a timeline, and JUnit.

mod junit;
mod lanes;
mod page;
mod svg;

pub(super) use page::write;

#[cfg(test)]
mod tests;

//! The command line: one file a subcommand. The only place that prints.
//!
//! [`args`] says what can be asked, [`failure`] what can go wrong and how the process ends, [`show`] how
//! events look, [`context`] what every command shares. The commands call the library and decide nothing.

pub mod args;
pub mod context;
pub mod failure;
pub mod interrupt;
pub mod run;
pub mod show;

mod backup;
mod completions;
mod doctor;
mod down;
mod etcd;
mod exec;
mod init;
mod kubeconfig;
mod kubectl;
mod lab;
mod lock;
mod logs;
mod node;
mod plan;
mod replace;
mod restore;
mod rollback;
mod schema;
mod ssh;
mod status;
mod store;
mod up;
mod verify;

//! `regent`, the program. Everything is in the library.

use std::process::ExitCode;

use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    regent::machine::complete_path();
    // Fails only when a provider is installed already, and then there is one.
    let _ = rustls::crypto::ring::default_provider().install_default();
    tracing_subscriber::fmt()
        .with_env_filter(
            EnvFilter::builder()
                .with_env_var("REGENT_LOG")
                .from_env_lossy(),
        )
        .with_writer(std::io::stderr)
        .init();
    regent::cli::run::run(std::env::args_os())
}

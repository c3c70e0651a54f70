//! `regent`, the program. Everything is in the library.

use tracing_subscriber::EnvFilter;

fn main() {
    regent::machine::set_umask();
    regent::program::complete_path();
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
    let code = regent::cli::run::run(std::env::args_os());
    // A process that has done its work ends, whatever a library still waits for.
    regent::cli::interrupt::leave(code)
}

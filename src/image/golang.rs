//! Binaries from Go modules: first fetched and checked, then built without network.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

use camino::Utf8Path;
use serde::Deserialize;

use super::embedded;
use super::lock::LockedGo;
use crate::program;
use crate::store::{
    Build, BuildError, Builder, Derivation, Encoding, FileError, Lane, Sandboxed, Tool, at,
};

/// The oldest Go tried, Debian 12's. To it a toolchain is a module as any other.
const GO: Tool = Tool {
    program: "go",
    oldest_go: Some((1, 19)),
    mend: "sudo ./setup",
};

/// The Go toolchain itself, so that the machine's Go has no part in what is built.
#[derive(Debug)]
pub(super) struct GoToolchain(pub LockedGo);

/// What `go mod download -json` says.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Downloaded {
    dir: String,
    sum: String,
}

impl Builder for GoToolchain {
    fn encode(&self, encoding: &mut Encoding) {
        encoding
            .text("go-toolchain/1")
            .text(&self.0.version)
            .text(&self.0.sum);
    }

    fn tools(&self) -> &'static [Tool] {
        const { &[GO] }
    }

    fn build(&self, build: &Build<'_>) -> Result<(), BuildError> {
        let module = format!(
            "golang.org/toolchain@v0.0.1-go{}.linux-amd64",
            self.0.version
        );
        let go = program::find(GO.program).unwrap_or(GO.program.into());
        let command = build
            .command(go)
            .args(["mod", "download", "-modcacherw", "-json", &module])
            .network();
        let said = command
            .env("GOMODCACHE", build.scratch.join("modules"))
            .env("GOTOOLCHAIN", "local")
            .output()?;
        let unexpected = |found: String| BuildError::Unexpected {
            what: module.clone(),
            expected: self.0.sum.clone(),
            found,
        };
        let downloaded: Downloaded =
            serde_json::from_str(&said).map_err(|_| unexpected(said.clone()))?;
        if downloaded.sum != self.0.sum {
            return Err(unexpected(downloaded.sum));
        }
        fs::rename(&downloaded.dir, &build.out).map_err(at(&build.out))?;
        Ok(finish_toolchain(&build.out)?)
    }
}

/// Does what the go command does with a toolchain module on its first use: a module can hold neither executable
/// files nor nested `go.mod` files.
fn finish_toolchain(root: &Utf8Path) -> Result<(), FileError> {
    for directory in ["bin", "pkg/tool/linux_amd64"] {
        let directory = root.join(directory);
        for entry in directory.read_dir_utf8().map_err(at(&directory))? {
            let path = entry.map_err(at(&directory))?.into_path();
            fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).map_err(at(&path))?;
        }
    }
    for directory in ["src", "src/cmd"] {
        let (from, to) = (
            root.join(directory).join("_go.mod"),
            root.join(directory).join("go.mod"),
        );
        if from.exists() {
            fs::rename(&from, &to).map_err(at(&from))?;
        }
    }
    Ok(())
}

/// A module of ours and the sources of everything that it needs, each checked against its `go.sum`.
#[derive(Debug)]
pub(super) struct GoModules {
    /// The toolchain.
    pub toolchain: Arc<Derivation>,
    /// The directory below `images/`.
    pub directory: String,
}

impl Builder for GoModules {
    fn encode(&self, encoding: &mut Encoding) {
        encoding.text("go-modules/1").list(
            embedded::directory(&self.directory).iter(),
            |encoding, file| {
                encoding.text(file.path).text(file.content);
            },
        );
    }

    fn inputs(&self) -> Vec<Arc<Derivation>> {
        vec![Arc::clone(&self.toolchain)]
    }

    fn build(&self, build: &Build<'_>) -> Result<(), BuildError> {
        fs::create_dir(&build.out).map_err(at(&build.out))?;
        for file in embedded::directory(&self.directory) {
            let path = build.out.join(file.path);
            fs::write(&path, file.content).map_err(at(&path))?;
        }
        if build.out.join("go.sum").exists() {
            let command = go(build, &self.toolchain)
                .network()
                .directory(&build.out)
                .args(["mod", "vendor"]);
            command
                .env("GOMODCACHE", build.cache.join("go-mod"))
                .env("GOFLAGS", "-modcacherw")
                .run()?;
        }
        Ok(())
    }
}

/// One binary.
#[derive(Debug)]
pub(super) struct GoBinary {
    /// The toolchain.
    pub toolchain: Arc<Derivation>,
    /// The sources.
    pub modules: Arc<Derivation>,
    /// The package of its `main` function.
    pub package: String,
    /// Go variables that the linker sets.
    pub variables: BTreeMap<String, String>,
}

impl Builder for GoBinary {
    fn encode(&self, encoding: &mut Encoding) {
        encoding.text("go-binary/1").text(&self.package).list(
            self.variables.iter(),
            |encoding, (name, value)| {
                encoding.text(name).text(value);
            },
        );
    }

    fn inputs(&self) -> Vec<Arc<Derivation>> {
        vec![Arc::clone(&self.toolchain), Arc::clone(&self.modules)]
    }

    fn lane(&self) -> Lane {
        Lane::Compile
    }

    fn build(&self, build: &Build<'_>) -> Result<(), BuildError> {
        let mut linker = "-s -w -buildid=".to_owned();
        for (name, value) in &self.variables {
            linker.push_str(&format!(" -X {name}={value}"));
        }
        go(build, &self.toolchain)
            .directory(build.input(&self.modules))
            .args([
                "build",
                "-buildvcs=false",
                "-trimpath",
                "-ldflags",
                &linker,
                "-o",
                build.out.as_str(),
                &self.package,
            ])
            // The only thing that builds share: with these flags it changes no bit of the result.
            .env("GOCACHE", build.cache.join("go-build"))
            .env("GOENV", "off")
            .env("GOMODCACHE", build.scratch.join("modules"))
            .env("GOPROXY", "off")
            // The same instructions everywhere, whatever this machine's processor has.
            .env("CGO_ENABLED", "0")
            .env("GOOS", "linux")
            .env("GOARCH", "amd64")
            .env("GOAMD64", "v1")
            .run()
    }
}

/// The store's own Go, deaf to the machine's settings.
fn go<'a>(build: &'a Build<'_>, toolchain: &Derivation) -> Sandboxed<'a> {
    let root = build.input(toolchain);
    build
        .command(root.join("bin/go"))
        .env("GOTOOLCHAIN", "local")
        .env("GOTELEMETRY", "off")
}

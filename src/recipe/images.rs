//! Archives of images, to a node's containerd.

use std::time::Duration;

use crate::name::NodeName;
use crate::plan::ImageArchive;
use crate::recipe::RecipeError;
use crate::recipe::lookup::{planned, session};
use crate::recipe::observe::{Patience, look};
use crate::site::Site;

/// Over a link of 4 MB a second, unpacked on a slow disk.
const BYTES_PER_SECOND: u64 = 4_000_000;

/// Takes an archive from standard input, checks its hash, imports it, and leaves a mark. Nothing of it stays but that.
/// Arguments: its hash, and the names that its images have then; without one of them the next look would load it again.
///
/// A node answers before its containerd does, and somebody may have stopped that.
const IMPORT: &str = r#"
sum=$1
shift
mkdir -p /var/lib/regent/images
cd /var/lib/regent
trap 'rm -f archive.part' EXIT
cat >archive.part
echo "$sum  archive.part" | sha256sum --check --strict --quiet -
systemctl start containerd
ctr --namespace k8s.io images import archive.part
there=$(ctr --namespace k8s.io images list --quiet)
for name; do
echo "$there" | grep -Fqx -e "$name" || { echo "containerd does not have $name after the import" >&2; exit 1; }
done
: >"images/$sum"
"#;

/// Loads the archives that the node does not have.
pub(super) async fn load(site: &Site, name: &NodeName) -> Result<(), RecipeError> {
    let patience = Patience::to_act(site.plan.driver);
    let seen = look::at(
        session(site, name)?,
        planned(site, name)?,
        &site.plan,
        patience,
    )
    .await;
    for archive in &site.plan.images {
        if !seen.as_ref().is_ok_and(|guest| guest.loaded(archive)) {
            import(site, name, archive).await?;
        }
    }
    Ok(())
}

async fn import(site: &Site, name: &NodeName, archive: &ImageArchive) -> Result<(), RecipeError> {
    let source = &archive.source;
    let unreadable = |source| RecipeError::Archive {
        path: archive.source.clone(),
        source,
    };
    let file = tokio::fs::File::open(source).await.map_err(unreadable)?;
    let length = file.metadata().await.map_err(unreadable)?.len();
    let deadline = Duration::from_secs(60 + length / BYTES_PER_SECOND);
    let words = ["sh", "-eu", "-c", IMPORT, "import", &archive.sha256];
    let words = words
        .into_iter()
        .chain(archive.names.iter().map(String::as_str));
    let import = session(site, name)?.command(words);
    import.stdin_file(file).deadline(deadline).run().await?;
    Ok(())
}

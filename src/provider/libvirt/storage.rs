//! Another host's storage pool: images by the names that they have in the store, and what is a domain's own. Everything
//! here blocks.

use std::fs::File;
use std::time::{Duration, Instant};

use camino::{Utf8Path, Utf8PathBuf};
use virt::error::ErrorNumber;
use virt::storage_pool::StoragePool;
use virt::storage_vol::StorageVol;

use super::ProviderError;
use super::connection::{Libvirt, absent, refused};
use super::upload;
use crate::event::Event;
use crate::lab::RemoteHost;
use crate::name::ClusterName;
use crate::render::libvirt::volume;
use crate::xml::XmlError;

type Result<T> = std::result::Result<T, ProviderError>;

/// regent's pool on another host.
pub(super) struct Pool<'a> {
    libvirt: &'a Libvirt,
    host: &'a RemoteHost,
    pool: StoragePool,
}

impl<'a> Pool<'a> {
    /// Makes the pool exist, run, and know what is in its directory.
    pub(super) fn ensure(libvirt: &'a Libvirt, host: &'a RemoteHost) -> Result<Self> {
        let found = match Self::find(libvirt, host)? {
            Some(found) => found,
            None => Self {
                libvirt,
                host,
                pool: libvirt
                    .connect
                    .define_storage_pool_xml(&written(volume::pool())?, 0)
                    .map_err(refused("defining the storage pool", volume::POOL))?,
            },
        };
        found.start()?;
        Ok(found)
    }

    /// Finds the pool, running or not; somebody else's of the same name is an error.
    pub(super) fn find(libvirt: &'a Libvirt, host: &'a RemoteHost) -> Result<Option<Self>> {
        let found = libvirt.connect.lookup_storage_pool_by_name(volume::POOL);
        let found = absent(found, ErrorNumber::NoStoragePool)
            .map_err(refused("looking for the storage pool", volume::POOL))?;
        let Some(pool) = found else { return Ok(None) };
        let document = pool
            .xml_desc(0)
            .map_err(refused("reading the storage pool", volume::POOL))?;
        let uuid = volume::pool_uuid(&document).map_err(|source| ProviderError::Xml {
            doing: "reading",
            name: volume::POOL.to_owned(),
            source,
        })?;
        if uuid != volume::POOL_UUID {
            return Err(ProviderError::ForeignPool {
                host: host.uri().host().to_owned(),
                pool: volume::POOL.to_owned(),
            });
        }
        Ok(Some(Self {
            libvirt,
            host,
            pool,
        }))
    }

    /// Makes an image of the store be there, whole: it is sent under another name, which it changes at the end. Its path
    /// there; whatever is in the store under a name is the same forever, and so is its copy.
    pub(super) fn ensure_image(
        &self,
        image: &Utf8Path,
        cluster: &ClusterName,
    ) -> Result<Utf8PathBuf> {
        let name = image.file_name().unwrap_or_default();
        let path = volume::path(name);
        if self.volume(name)?.is_some() {
            return Ok(path);
        }
        // Of this lab, which only one process at a time makes: another lab may send the same now.
        let partial = volume::of_domain(&format!("{cluster}-partial"), name);
        self.remove(&partial)?;
        let failed = |message: String| ProviderError::Upload {
            file: image.to_owned(),
            host: self.host.uri().host().to_owned(),
            message,
        };
        let file = File::open(image).map_err(|error| failed(error.to_string()))?;
        let total = file
            .metadata()
            .map_err(|error| failed(error.to_string()))?
            .len();
        let made = self.create(
            &partial,
            &written(volume::raw_volume(&partial, total, false))?,
        )?;
        let what = format!("sending {name} to {}", self.host.uri().host());
        let mut told = 0;
        upload::sparse(&self.libvirt.connect, &made, &file, |done| {
            // Now and then: every message has a part of a megabyte.
            if done == total || done - told >= PROGRESS {
                told = done;
                let what = what.clone();
                self.host
                    .events()
                    .emit(Event::Progress { what, done, total });
            }
        })
        .map_err(|error| failed(error.to_string()))?;
        let script = format!(
            "cd {} && sync -- '{partial}' && mv -T -- '{partial}' '{name}'",
            volume::DIRECTORY
        );
        self.host.run("renaming an image", &script)?;
        self.refresh()?;
        Ok(path)
    }

    /// Makes a disk over an image, unless it is there; it is the node's, with all that it has written.
    pub(super) fn ensure_overlay(
        &self,
        name: &str,
        image: &Utf8Path,
        below: &Utf8Path,
    ) -> Result<()> {
        if self.volume(name)?.is_some() {
            return Ok(());
        }
        let size = std::fs::metadata(image).map_err(ProviderError::io(&name, "reading", image))?;
        let document = written(volume::overlay_volume(name, size.len(), below))?;
        self.create(name, &document).map(drop)
    }

    /// Makes a file for its owner's eyes, instead of one that may be there.
    pub(super) fn write_secret(&self, name: &str, content: &[u8]) -> Result<()> {
        self.remove(name)?;
        let document = written(volume::raw_volume(name, content.len() as u64, true))?;
        let made = self.create(name, &document)?;
        upload::bytes(&self.libvirt.connect, &made, content).map_err(|error| {
            ProviderError::Upload {
                file: name.into(),
                host: self.host.uri().host().to_owned(),
                message: error.to_string(),
            }
        })
    }

    /// Removes the volumes whose names are wanted gone.
    pub(super) fn remove_all(&self, gone: impl Fn(&str) -> bool) -> Result<()> {
        self.start()?;
        let names = self
            .pool
            .list_volumes()
            .map_err(refused("listing the volumes of", volume::POOL))?;
        names
            .iter()
            .filter(|name| gone(name))
            .try_for_each(|name| self.remove(name))
    }

    /// Makes it run, and know what has come into its directory by other ways.
    fn start(&self) -> Result<()> {
        if !self
            .pool
            .is_active()
            .map_err(refused("looking at the storage pool", volume::POOL))?
        {
            // The directory first, which may be there.
            self.pool
                .build(0)
                .and_then(|()| self.pool.create(0))
                .map_err(refused("starting the storage pool", volume::POOL))?;
        }
        self.refresh()
    }

    fn remove(&self, name: &str) -> Result<()> {
        match self.volume(name)? {
            Some(volume) => volume
                .delete(0)
                .map_err(refused("deleting the volume", name)),
            None => Ok(()),
        }
    }

    fn create(&self, name: &str, document: &str) -> Result<StorageVol> {
        StorageVol::create_xml(&self.pool, document, 0).map_err(refused("making the volume", name))
    }

    fn volume(&self, name: &str) -> Result<Option<StorageVol>> {
        absent(
            self.pool.lookup_storage_vol_by_name(name),
            ErrorNumber::NoStorageVolume,
        )
        .map_err(refused("looking for the volume", name))
    }

    /// Refused while another process has a volume made, which takes some ms.
    fn refresh(&self) -> Result<()> {
        let deadline = Instant::now() + BUSY;
        loop {
            match self.pool.refresh(0) {
                Ok(()) => return Ok(()),
                Err(_) if Instant::now() < deadline => {
                    std::thread::sleep(Duration::from_millis(50));
                }
                Err(error) => {
                    return Err(refused("looking through the storage pool", volume::POOL)(
                        error,
                    ));
                }
            }
        }
    }
}

/// How long a pool may have something else to do. Volumes here are made without their content.
const BUSY: Duration = Duration::from_secs(5);

/// How often progress is told, in bytes: a few times a second.
const PROGRESS: u64 = 32 << 20;

fn written(document: std::result::Result<String, XmlError>) -> Result<String> {
    document.map_err(|source| ProviderError::Xml {
        doing: "writing",
        name: volume::POOL.to_owned(),
        source,
    })
}

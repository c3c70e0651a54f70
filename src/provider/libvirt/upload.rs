//! Bytes of files, sent to volumes. `virt` has no safe interface for holes.
#![expect(unsafe_code, reason = "virStreamSendHole is only in virt::sys")]

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use rustix::fs::{SeekFrom, seek};
use virt::connect::Connect;
use virt::error::Error;
use virt::storage_vol::StorageVol;
use virt::stream::Stream;
use virt::sys;

/// As much as one of libvirt's messages holds.
const CHUNK: usize = 256 << 10;

/// Why a file did not arrive.
#[derive(Debug, thiserror::Error)]
pub(super) enum UploadError {
    #[error("{}", .0.message())]
    Libvirt(#[from] Error),
    #[error(transparent)]
    File(#[from] io::Error),
}

/// Sends what is written in a file, and says where nothing is; `done` hears how much of it was seen to.
pub(super) fn sparse(
    connect: &Connect,
    volume: &StorageVol,
    file: &File,
    mut done: impl FnMut(u64),
) -> Result<(), UploadError> {
    let length = file.metadata()?.len();
    let flags = sys::VIR_STORAGE_VOL_UPLOAD_SPARSE_STREAM;
    send(connect, volume, flags, |stream| {
        let mut at = 0;
        while at < length {
            let data = start_of_data(file, at)?.unwrap_or(length);
            if data > at {
                hole(stream, data - at)?;
                at = data;
                done(at);
            }
            let end = if at < length {
                seek(file, SeekFrom::Hole(at)).map_err(io::Error::from)?
            } else {
                at
            };
            let mut chunk = vec![0; CHUNK];
            while at < end {
                let wanted = usize::try_from(end - at).unwrap_or(CHUNK).min(CHUNK);
                let read = file.read_at(&mut chunk[..wanted], at)?;
                if read == 0 {
                    return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
                }
                all(stream, &chunk[..read])?;
                at += read as u64;
                done(at);
            }
        }
        Ok(())
    })
}

/// Sends some bytes.
pub(super) fn bytes(
    connect: &Connect,
    volume: &StorageVol,
    content: &[u8],
) -> Result<(), UploadError> {
    send(connect, volume, 0, |stream| all(stream, content))
}

fn send(
    connect: &Connect,
    volume: &StorageVol,
    flags: u32,
    write: impl FnOnce(&Stream) -> Result<(), UploadError>,
) -> Result<(), UploadError> {
    let stream = Stream::new(connect, 0)?;
    volume.upload(&stream, 0, 0, flags)?;
    match write(&stream) {
        // Only now has all of it arrived.
        Ok(()) => Ok(stream.finish()?),
        Err(error) => {
            // The error that came first says more than one of this.
            let _ = stream.abort();
            Err(error)
        }
    }
}

fn all(stream: &Stream, mut bytes: &[u8]) -> Result<(), UploadError> {
    while !bytes.is_empty() {
        let sent = usize::try_from(stream.send(bytes)?).unwrap_or(0);
        bytes = bytes.get(sent..).unwrap_or_default();
    }
    Ok(())
}

fn hole(stream: &Stream, length: u64) -> Result<(), UploadError> {
    let length = i64::try_from(length).map_err(io::Error::other)?;
    // SAFETY: the stream's pointer is valid for as long as `stream`; the call keeps nothing.
    let done = unsafe { sys::virStreamSendHole(stream.as_ptr(), length, 0) };
    match done < 0 {
        true => Err(Error::last_error().into()),
        false => Ok(()),
    }
}

/// Where the next byte is that was written; none behind the last.
fn start_of_data(file: &File, at: u64) -> io::Result<Option<u64>> {
    match seek(file, SeekFrom::Data(at)) {
        Ok(data) => Ok(Some(data)),
        Err(rustix::io::Errno::NXIO) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

//! The speed of a domain's disk. `virt` has no safe interface for it.
#![expect(unsafe_code, reason = "virDomainSetBlockIoTune is only in virt::sys")]

use std::ffi::{CString, c_char};

use virt::domain::Domain;
use virt::error::Error;
use virt::sys;

/// Lets a disk of a running domain answer at most so many requests a second; 0: as many as it can.
pub(super) fn disk(domain: &Domain, disk: &str, requests: u64) -> Result<(), Error> {
    let disk = CString::new(disk)?;
    let mut parameter = sys::virTypedParameter {
        field: [0; 80],
        type_: sys::VIR_TYPED_PARAM_ULLONG as i32,
        value: sys::_virTypedParameter__bindgen_ty_1 { ul: requests },
    };
    let name = sys::VIR_DOMAIN_BLOCK_IOTUNE_TOTAL_IOPS_SEC.to_bytes();
    // The array is longer than the name, and its zeros end it.
    for (to, from) in parameter.field.iter_mut().zip(name) {
        *to = *from as c_char;
    }
    // SAFETY: the domain's pointer is valid for as long as `domain`; the parameter and the name outlive the call, which
    // reads one parameter and keeps none.
    let done = unsafe {
        sys::virDomainSetBlockIoTune(
            domain.as_ptr(),
            disk.as_ptr(),
            &raw mut parameter,
            1,
            sys::VIR_DOMAIN_AFFECT_LIVE,
        )
    };
    if done < 0 {
        return Err(Error::last_error());
    }
    Ok(())
}

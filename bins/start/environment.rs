//! For a program that reads its environment.

use crate::start::Args;
use core::ffi::{CStr, c_char};

/// The variables of the environment, `NAME=value` each.
pub struct Environment(*const *const c_char);

impl Environment {
    /// Those of the process that has these arguments.
    pub fn beside(arguments: &Args) -> Self {
        // SAFETY: `next` points at the first of `left` pointers that are left,
        // a null pointer follows these, and the first variable's pointer that
        // (see `Args::from_stack`).
        Self(unsafe { arguments.next.add(arguments.left + 1) })
    }
}

impl Iterator for Environment {
    type Item = &'static CStr;

    fn next(&mut self) -> Option<&'static CStr> {
        // SAFETY: as long as no null pointer was found, the next one is there,
        // and points at a string that ends in a NUL and lives as long as the
        // process (see `Args::from_stack`).
        unsafe {
            if (*self.0).is_null() {
                return None;
            }
            let variable = CStr::from_ptr(*self.0);
            self.0 = self.0.add(1);
            Some(variable)
        }
    }
}

//! The environment of the process.

use crate::start::Args;
use core::ffi::{CStr, c_char};

/// The variables of the environment, each as `NAME=value`.
pub struct Environment(*const *const c_char);

impl Environment {
    /// The environment of the process that has these arguments.
    pub fn beside(arguments: &Args) -> Self {
        // SAFETY: `next` points to the first of `left` pointers to arguments. Behind
        // them are a null pointer and the pointer to the first variable (see
        // `Args::from_stack`).
        Self(unsafe { arguments.next.add(arguments.left + 1) })
    }
}

impl Iterator for Environment {
    type Item = &'static CStr;

    fn next(&mut self) -> Option<&'static CStr> {
        // SAFETY: before the null pointer, each pointer points to a string that ends
        // in a NUL and lives as long as the process (see `Args::from_stack`).
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

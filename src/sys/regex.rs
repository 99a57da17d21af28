//! The C library's regular expressions: regex(3).

use std::ffi::CStr;
#[cfg(not(target_env = "gnu"))]
use std::ffi::CString;
use std::fmt;
use std::mem::MaybeUninit;
use std::ptr;

use libc::{REG_EXTENDED, REG_ICASE, REG_NOSUB, regex_t};

/// A compiled extended regular expression that tells only whether it matches.
pub struct Regex {
    /// Boxed, so that it stays where regcomp filled it in.
    compiled: Box<regex_t>,
}

// SAFETY: a compiled expression is bound to no thread.
unsafe impl Send for Regex {}
// SAFETY: regexec is MT-Safe: it takes the expression as const, and glibc guards the tables that
// it adds to while matching with a lock.
unsafe impl Sync for Regex {}

impl Regex {
    /// Compiles `pattern` by regcomp. The error is in regerror's words.
    pub fn new(pattern: &CStr, ignore_case: bool) -> Result<Regex, String> {
        let flags = REG_EXTENDED | REG_NOSUB | if ignore_case { REG_ICASE } else { 0 };
        let mut compiled = Box::new(MaybeUninit::<regex_t>::zeroed());
        // SAFETY: both pointers are valid for the call, and `pattern` ends in NUL.
        let code = unsafe { libc::regcomp(compiled.as_mut_ptr(), pattern.as_ptr(), flags) };
        if code != 0 {
            return Err(words(code));
        }
        // SAFETY: regcomp succeeded, so it has filled in `compiled`, whose allocation passes to
        // the new box and keeps its address.
        let compiled = unsafe { Box::from_raw(Box::into_raw(compiled).cast::<regex_t>()) };
        Ok(Regex { compiled })
    }

    /// Does the expression match some part of `subject`?
    #[cfg(target_env = "gnu")]
    pub fn is_match(&self, subject: &[u8]) -> bool {
        let Ok(length) = libc::regoff_t::try_from(subject.len()) else {
            return false;
        };
        // REG_STARTEND takes the subject's bounds from here, so it needs no NUL at its end.
        let mut bounds = libc::regmatch_t { rm_so: 0, rm_eo: length };
        // SAFETY: `compiled` is a compiled expression; `subject` is readable from rm_so to rm_eo;
        // with nmatch 0, regexec stores nothing in `bounds`.
        let code = unsafe {
            libc::regexec(&*self.compiled, subject.as_ptr().cast(), 0, &mut bounds, libc::REG_STARTEND)
        };
        code == 0
    }

    /// Does the expression match some part of `subject`? Without GNU's REG_STARTEND that takes a copy with a NUL
    /// at its end; nothing matches a subject that has one inside, which no path has.
    #[cfg(not(target_env = "gnu"))]
    pub fn is_match(&self, subject: &[u8]) -> bool {
        let Ok(subject) = CString::new(subject) else {
            return false;
        };
        // SAFETY: `compiled` is a compiled expression, and `subject` ends in NUL; with nmatch 0 there is no
        // array of matches to be filled.
        let code = unsafe { libc::regexec(&*self.compiled, subject.as_ptr(), 0, ptr::null_mut(), 0) };
        code == 0
    }
}

impl fmt::Debug for Regex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Regex").finish_non_exhaustive()
    }
}

impl Drop for Regex {
    fn drop(&mut self) {
        // SAFETY: regcomp filled it in, and it is freed only here.
        unsafe { libc::regfree(&mut *self.compiled) }
    }
}

/// regerror's words for an error of regcomp.
fn words(code: libc::c_int) -> String {
    let mut text = [0_u8; 128];
    // SAFETY: `text` is writable for its length; glibc and musl do not look at the expression.
    unsafe { libc::regerror(code, ptr::null(), text.as_mut_ptr().cast(), text.len()) };
    CStr::from_bytes_until_nul(&text).map(|text| text.to_string_lossy().into_owned()).unwrap_or_default()
}

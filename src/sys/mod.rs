//! Every system call and every `unsafe` of the program, behind safe functions that name the
//! system's own words in their errors. Nothing here knows what is above it.

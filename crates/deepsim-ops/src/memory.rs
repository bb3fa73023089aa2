//! Settings of the allocator: freed memory is kept for the next step.

/// Tells glibc to keep freed memory instead of giving it back to the system.
///
/// A training step frees and allocates the same hundreds of megabytes again and again; by default
/// every block above 128 KiB goes back to the system and is faulted in anew, page by page. Call it
/// once at the start of a program. Does nothing with another C library.
pub fn keep_freed_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: these calls set numbers of the allocator and touch no memory of ours.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, i32::MAX);
        libc::mallopt(libc::M_TRIM_THRESHOLD, i32::MAX);
        libc::mallopt(libc::M_TOP_PAD, 64 << 20);
        // Arenas of other threads cannot grow beyond 64 MiB, and would give large blocks back.
        libc::mallopt(libc::M_ARENA_MAX, 1);
    }
}

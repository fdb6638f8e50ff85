/* Loaded before the C library: the disk stalls, or the program is killed at a call to it.
 * KILL_AT=n: killed in place of the n-th call. STALLS=dir: while dir/write is there, what writes
 * waits; while dir/sync is there, what syncs. CLOCK=n: the wall clock is n seconds from the right
 * time. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static void call(const char *kind)
{
    static atomic_long calls;
    const char *kill_at = getenv("KILL_AT"), *stalls = getenv("STALLS");
    if (kill_at && atomic_fetch_add(&calls, 1) + 1 == atol(kill_at))
        kill(getpid(), SIGKILL);
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", stalls ? stalls : "", kind);
    while (stalls && access(path, F_OK) == 0)
        usleep(1000);
}

int clock_gettime(clockid_t clock, struct timespec *now)
{
    const char *seconds = getenv("CLOCK");
    int failed = syscall(SYS_clock_gettime, clock, now);
    if (!failed && seconds && clock == CLOCK_REALTIME)
        now->tv_sec += atol(seconds);
    return failed;
}

ssize_t pwrite64(int file, const void *bytes, size_t count, off64_t at)
{
    call("write");
    return syscall(SYS_pwrite64, file, bytes, count, at);
}

int ftruncate64(int file, off64_t length)
{
    call("write");
    return syscall(SYS_ftruncate, file, length);
}

int fsync(int file)
{
    call("sync");
    return syscall(SYS_fsync, file);
}

int fdatasync(int file)
{
    call("sync");
    return syscall(SYS_fdatasync, file);
}

int linkat(int from, const char *old, int to, const char *new, int flags)
{
    call("write");
    return syscall(SYS_linkat, from, old, to, new, flags);
}

int rename(const char *old, const char *new)
{
    call("write");
    return syscall(SYS_renameat2, AT_FDCWD, old, AT_FDCWD, new, 0);
}

int unlink(const char *path)
{
    call("write");
    return syscall(SYS_unlinkat, AT_FDCWD, path, 0);
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * Loaded before the C library (LD_PRELOAD): counts the calls that change files below one directory,
 * in a process and all that it starts, and lets one of them fail. The plan is a file that all of
 * them map (see injection.py, which has the same layout). Each call is noted in PLAN.log.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { ONCE = 1, FULL, DEAD, KILL, ORPHAN, STOP };

static struct plan {
    atomic_long count;  /* calls so far */
    long at;            /* the call that is hit, from 1; 0 for none */
    long kind;          /* what happens to it */
    long error;         /* errno, for ONCE and DEAD */
    long leader;        /* the process whose group is killed */
    char below[4096];   /* the directory */
} *plan;
static char log_name[PATH_MAX];

__attribute__((constructor)) static void begin(void)
{
    const char *name = getenv("FAULT_PLAN");
    if (!name)
        return;
    int file = syscall(SYS_openat, AT_FDCWD, name, O_RDWR | O_CLOEXEC, 0);
    if (file < 0)
        abort();
    void *map = mmap(NULL, sizeof *plan, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    syscall(SYS_close, file);
    if (map == MAP_FAILED)
        abort();
    snprintf(log_name, sizeof log_name, "%s.log", name);
    plan = map;
}

/* The absolute path of a name that a call was given, or of a descriptor if there is no name. */
static int resolve(char *out, int directory, const char *name)
{
    char link[64];
    ssize_t length = 0;
    if (name && name[0] == '/')
        return snprintf(out, PATH_MAX, "%s", name) > 0;
    if (directory == AT_FDCWD)
        snprintf(link, sizeof link, "/proc/self/cwd");
    else
        snprintf(link, sizeof link, "/proc/self/fd/%d", directory);
    length = readlink(link, out, PATH_MAX - 1);
    if (length <= 0)
        return 0;
    out[length] = 0;
    if (name)
        snprintf(out + length, PATH_MAX - length, "/%s", name);
    return 1;
}

/* Whether the call is to fail. `grows`: it needs space on the disk. */
static int hit(const char *call, int grows, int directory, const char *name, const char *other)
{
    char path[PATH_MAX], line[2 * PATH_MAX + 64];
    int before = errno;
    if (!plan || !resolve(path, directory, name))
        return 0;
    size_t length = strlen(plan->below);
    if (!length || strncmp(path, plan->below, length) || (path[length] && path[length] != '/')) {
        errno = before;
        return 0;
    }
    long number = atomic_fetch_add(&plan->count, 1) + 1;
    int size = snprintf(line, sizeof line, "%ld\t%d\t%s\t%s\t%s\n", number, getpid(), call, path,
                        other ? other : "");
    int log = syscall(SYS_openat, AT_FDCWD, log_name, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    syscall(SYS_write, log, line, size);
    syscall(SYS_close, log);
    errno = before;
    if (!plan->at || number < plan->at)
        return 0;
    switch (plan->kind) {
    case KILL:
        if (number == plan->at) {
            kill(-plan->leader, SIGKILL);
            kill(getpid(), SIGKILL);
        }
        return 0;
    case ORPHAN:
        if (number == plan->at)
            kill(plan->leader, SIGKILL);
        return 0;
    case STOP:
        if (getpid() == plan->leader)
            raise(SIGSTOP);
        return 0;
    case FULL:
        errno = ENOSPC;
        return grows;
    case DEAD:
        errno = plan->error;
        return 1;
    default:
        errno = plan->error;
        return number == plan->at;
    }
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

/* A disk fills up in the middle of a write: the first one that is hit is short. */
static size_t allowed(size_t size)
{
    return plan->kind == FULL && atomic_load(&plan->count) == plan->at ? size / 2 : 0;
}

ssize_t write(int file, const void *data, size_t size)
{
    if (!hit("write", 1, file, NULL, NULL))
        return REAL(write)(file, data, size);
    int error = errno;
    size_t some = allowed(size);
    if (some)
        return REAL(write)(file, data, some);
    errno = error;
    return -1;
}

#define WRITE_AT(name)                                                                             \
    ssize_t name(int file, const void *data, size_t size, off64_t at)                              \
    {                                                                                              \
        return hit("pwrite", 1, file, NULL, NULL) ? -1 : REAL(name)(file, data, size, at);         \
    }
WRITE_AT(pwrite64)
ssize_t pwrite(int file, const void *data, size_t size, off_t at)
{
    return hit("pwrite", 1, file, NULL, NULL) ? -1 : REAL(pwrite)(file, data, size, at);
}

#define ON_FILE(name)                                                                              \
    int name(int file)                                                                             \
    {                                                                                              \
        return hit(#name, 0, file, NULL, NULL) ? -1 : REAL(name)(file);                            \
    }
ON_FILE(fsync)
ON_FILE(fdatasync)

/* What was only read cannot fail at close. Otherwise the descriptor is gone even if close reports an error (close(2)). */
int close(int file)
{
    int flags = plan ? fcntl(file, F_GETFL) : -1;
    int counts = flags >= 0 && (flags & O_DIRECTORY || (flags & O_ACCMODE) != O_RDONLY);
    int failed = counts && hit("close", 0, file, NULL, NULL), error = errno;
    int result = REAL(close)(file);
    if (!failed)
        return result;
    errno = error;
    return -1;
}

int ftruncate(int file, off_t size)
{
    return hit("ftruncate", 1, file, NULL, NULL) ? -1 : REAL(ftruncate)(file, size);
}
int ftruncate64(int file, off64_t size)
{
    return hit("ftruncate", 1, file, NULL, NULL) ? -1 : REAL(ftruncate64)(file, size);
}

static int exists(int directory, const char *path)
{
    return !syscall(SYS_faccessat, directory, path, F_OK);
}

/* Of opens only those that write, create, or open a directory in order to sync it. */
static int open_hit(int directory, const char *name, int flags)
{
    if (!(flags & (O_CREAT | O_DIRECTORY)) && (flags & O_ACCMODE) == O_RDONLY)
        return 0;
    int before = errno, creates = flags & O_CREAT && !exists(directory, name);
    errno = before;
    return hit(creates ? "create" : "open", creates, directory, name, NULL);
}

#define OPEN(name)                                                                             \
    int name(const char *path, int flags, ...)                                                     \
    {                                                                                              \
        va_list rest;                                                                              \
        va_start(rest, flags);                                                                     \
        mode_t mode = va_arg(rest, mode_t);                                                        \
        va_end(rest);                                                                              \
        return open_hit(AT_FDCWD, path, flags)                                                     \
                   ? -1                                                                            \
                   : (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);                        \
    }
OPEN(open)
OPEN(open64)
OPEN(__open_2)
OPEN(__open64_2)

#define OPENAT(name)                                                                               \
    int name(int directory, const char *path, int flags, ...)                                      \
    {                                                                                              \
        va_list rest;                                                                              \
        va_start(rest, flags);                                                                     \
        mode_t mode = va_arg(rest, mode_t);                                                        \
        va_end(rest);                                                                              \
        return open_hit(directory, path, flags)                                                    \
                   ? -1                                                                            \
                   : (int)syscall(SYS_openat, directory, path, flags, mode);                       \
    }
OPENAT(openat)
OPENAT(openat64)
OPENAT(__openat_2)
OPENAT(__openat64_2)

int mkdir(const char *path, mode_t mode)
{
    return !exists(AT_FDCWD, path) && hit("mkdir", 1, AT_FDCWD, path, NULL) ? -1 : REAL(mkdir)(path, mode);
}
int rename(const char *from, const char *to)
{
    return hit("rename", 0, AT_FDCWD, from, to) ? -1 : REAL(rename)(from, to);
}
int link(const char *from, const char *to)
{
    return hit("link", 1, AT_FDCWD, from, to) ? -1 : REAL(link)(from, to);
}
int unlink(const char *path)
{
    return hit("unlink", 0, AT_FDCWD, path, NULL) ? -1 : REAL(unlink)(path);
}
int unlinkat(int directory, const char *path, int flags)
{
    return hit("unlink", 0, directory, path, NULL) ? -1 : REAL(unlinkat)(directory, path, flags);
}
int rmdir(const char *path)
{
    return hit("rmdir", 0, AT_FDCWD, path, NULL) ? -1 : REAL(rmdir)(path);
}

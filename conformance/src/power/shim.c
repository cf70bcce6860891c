/*
 * What lies between a program and its files: an LD_PRELOAD library that records what the program does to the files
 * below one directory and to its sockets, in one order, and that can be told to fail, to delay and to shorten it.
 *
 *   OPIFEX_CONFORMANCE_SHIM_DIR      the directory that is watched (absolute, without symbolic links)
 *   OPIFEX_CONFORMANCE_SHIM_LOG      the record, one file a process (not there: nothing is recorded)
 *   OPIFEX_CONFORMANCE_SHIM_CONTROL  a file of 64-bit numbers, `enum control`: orders of the test, and counters for it
 *
 * It is not a file system: a call goes to the real one unless it is told to fail. What it cannot express (links,
 * copies inside the kernel, shared writable mappings of anything but SQLite's -shm) it records as UNMODELLED, so that
 * the reader of the record refuses it. It knows neither SQLite nor MQTT.
 *
 * The record: `struct header`, a text (paths), data (bytes written or sent). BEGIN is written before the call is made,
 * END after it has returned; one lock makes one order of all threads.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum call { OPEN = 1, WRITE, TRUNCATE, ALLOCATE, SYNC, RANGE_SYNC, RENAME, UNLINK, MKDIR, RMDIR, ACCEPT, SEND, RECEIVE, UNMODELLED };
enum phase { BEGIN = 0, END = 1 };
enum kind { OTHER = 0, DATA, SHARED_MEMORY, DIRECTORY, SOCKET };

/* Numbers in the control file; the test knows them by the same places. */
enum control {
    SWALLOW_SYNCS,   /* 1: syncs do nothing and are not recorded */
    ROOM,            /* bytes by which files may still grow; UINT64_MAX: no limit */
    EIO_WRITE_FROM,  /* data writes from this number on fail with EIO; 0: none */
    EIO_WRITE_TO,    /* up to this one */
    EIO_SYNC_FROM,   /* the same of syncs */
    EIO_SYNC_TO,
    HANG_SYNC,       /* the sync of this number waits */
    HANG_MILLIS,     /* so long */
    SHORT_EVERY,     /* each write whose number this divides is cut in half; 0: none */
    SYNC_MICROS,     /* every sync takes at least this long */
    WRITES,          /* counter: writes to files, but SQLite's shared memory */
    SYNCS,           /* counter: syncs of files and directories */
    FAULTS,          /* counter: calls that were made to fail */
    HANGING,         /* counter: syncs that began to hang */
    CONTROLS
};

struct header {
    uint32_t magic;
    uint8_t call, phase;
    uint16_t kind;   /* OPEN: enum kind */
    uint32_t process, thread;
    uint64_t id;     /* pairs BEGIN with END */
    uint64_t object; /* the open file or connection; unique in its process */
    uint64_t a, b;   /* WRITE: offset; TRUNCATE, ALLOCATE: length; OPEN: flags, inode; ACCEPT: the peer's port */
    int64_t result;  /* END: what the call returned, or -errno */
    uint32_t text_len, data_len;
};

struct descriptor { int kind; int append; uint64_t object; };

#define DESCRIPTORS 65536
static struct descriptor descriptors[DESCRIPTORS];
static pthread_mutex_t record_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static _Atomic uint64_t next_id = 1, next_object = 1;
static char watched[PATH_MAX];
static size_t watched_len;
static int log_fd = -1;
static _Atomic uint64_t nothing[CONTROLS];
static _Atomic uint64_t *control = nothing;

static ssize_t (*real_write)(int, const void *, size_t);
static int (*real_open)(const char *, int, ...);
static void *(*real_mmap)(void *, size_t, int, int, int, off_t);

#define REAL(name) \
    static __typeof__(&name) real; \
    if (!real) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

static void start(void) {
    real_write = dlsym(RTLD_NEXT, "write");
    real_open = dlsym(RTLD_NEXT, "open");
    real_mmap = dlsym(RTLD_NEXT, "mmap");
    nothing[ROOM] = UINT64_MAX;
    const char *dir = getenv("OPIFEX_CONFORMANCE_SHIM_DIR"), *log = getenv("OPIFEX_CONFORMANCE_SHIM_LOG"), *orders = getenv("OPIFEX_CONFORMANCE_SHIM_CONTROL");
    if (!dir) return;
    watched_len = strlen(dir);
    memcpy(watched, dir, watched_len + 1);
    if (log && (log_fd = real_open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600)) < 0) abort();
    if (orders) {
        int fd = real_open(orders, O_RDWR | O_CLOEXEC);
        void *page = fd < 0 ? MAP_FAILED : real_mmap(0, CONTROLS * 8, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (page == MAP_FAILED) abort();
        control = page;
    }
}

static void begin_shim(void) { pthread_once(&once, start); }
__attribute__((constructor)) static void at_load(void) { begin_shim(); }

/* ---- the record ---- */

static void put_all(const struct iovec *parts, int count) {
    for (int i = 0; i < count; i++) {
        const char *at = parts[i].iov_base;
        size_t left = parts[i].iov_len;
        while (left) {
            ssize_t put = real_write(log_fd, at, left);
            if (put < 0 && errno == EINTR) continue;
            if (put <= 0) abort(); /* a record with a hole proves nothing */
            at += put, left -= put;
        }
    }
}

static void record(struct header h, const char *text, const char *second, const struct iovec *data, int count) {
    if (log_fd < 0) return;
    int saved = errno;
    h.magic = 0x5258504f;
    h.process = getpid();
    h.thread = syscall(SYS_gettid);
    size_t first_len = text ? strlen(text) : 0, second_len = second ? strlen(second) + 1 : 0, len = 0;
    for (int i = 0; i < count; i++) len += data[i].iov_len;
    h.text_len = first_len + second_len;
    h.data_len = len;
    /* One buffer for what is small, so that a record is one write. */
    char small[16384];
    size_t head = sizeof h + h.text_len;
    pthread_mutex_lock(&record_lock);
    if (head + len <= sizeof small) {
        char *at = small;
        memcpy(at, &h, sizeof h), at += sizeof h;
        if (first_len) memcpy(at, text, first_len), at += first_len;
        if (second_len) *at = 0, memcpy(at + 1, second, second_len - 1), at += second_len;
        for (int i = 0; i < count; i++) memcpy(at, data[i].iov_base, data[i].iov_len), at += data[i].iov_len;
        put_all(&(struct iovec){small, at - small}, 1);
    } else {
        struct iovec parts[] = {{&h, sizeof h}, {(void *)text, first_len}, {"", second_len ? 1 : 0}, {(void *)second, second_len ? second_len - 1 : 0}};
        put_all(parts, 4);
        put_all(data, count);
    }
    pthread_mutex_unlock(&record_lock);
    errno = saved;
}

static void record_end(struct header h, int64_t result) {
    h.phase = END;
    h.result = result < 0 ? -(int64_t)errno : result;
    record(h, 0, 0, 0, 0);
}

static void unmodelled(const char *what) { record((struct header){.call = UNMODELLED}, what, 0, 0, 0); }

/* ---- paths and descriptors ---- */

/* The absolute form of a path; it is not resolved further. */
static const char *absolute(const char *path, char *buffer) {
    if (path[0] == '/') return path;
    if (!getcwd(buffer, PATH_MAX)) return path;
    if (strcmp(path, ".") == 0) return buffer;
    size_t len = strlen(buffer);
    if (len + 1 + strlen(path) >= PATH_MAX) return path;
    buffer[len] = '/';
    strcpy(buffer + len + 1, path);
    return buffer;
}

static int is_watched(const char *path) {
    return watched_len && strncmp(path, watched, watched_len) == 0 && (path[watched_len] == '/' || path[watched_len] == 0);
}

static struct descriptor *known(int fd) {
    static struct descriptor other;
    return fd >= 0 && fd < DESCRIPTORS ? &descriptors[fd] : &other;
}

static int is_file(int fd) { return known(fd)->kind == DATA || known(fd)->kind == SHARED_MEMORY; }

static void forget(int fd) {
    if (fd >= 0 && fd < DESCRIPTORS) descriptors[fd].kind = OTHER;
}

static int opened(int fd, const char *path, int flags) {
    char buffer[PATH_MAX];
    path = absolute(path, buffer);
    if (fd < 0 || fd >= DESCRIPTORS || !is_watched(path)) return fd;
    int saved = errno;
    struct stat info;
    if (fstat(fd, &info) == 0) {
        struct descriptor *d = &descriptors[fd];
        size_t len = strlen(path);
        d->object = next_object++;
        d->append = (flags & O_APPEND) != 0;
        d->kind = S_ISDIR(info.st_mode) ? DIRECTORY : len > 4 && strcmp(path + len - 4, "-shm") == 0 ? SHARED_MEMORY : DATA;
        struct header h = {.call = OPEN, .phase = END, .kind = d->kind, .object = d->object, .a = flags, .b = info.st_ino, .result = fd};
        record(h, path, 0, 0, 0);
    }
    errno = saved;
    return fd;
}

static off_t size_of(int fd) {
    struct stat info;
    return fstat(fd, &info) == 0 ? info.st_size : 0;
}

/* ---- faults ---- */

static int fail(int error) {
    control[FAULTS]++;
    errno = error;
    return -1;
}

static int lies_in(uint64_t n, enum control from, enum control to) { return control[from] && n >= control[from] && n <= control[to]; }

/* How much of a write may be made; -1 with errno: none. */
static ssize_t allowed(int fd, off_t offset, size_t len) {
    struct descriptor *d = known(fd);
    if (d->kind == DATA) {
        uint64_t n = ++control[WRITES];
        if (lies_in(n, EIO_WRITE_FROM, EIO_WRITE_TO)) return fail(EIO);
        if (control[SHORT_EVERY] && n % control[SHORT_EVERY] == 0 && len > 1) {
            control[FAULTS]++;
            len /= 2;
        }
    }
    uint64_t room = control[ROOM];
    if (room != UINT64_MAX) {
        off_t size = size_of(fd), end = offset + (off_t)len;
        uint64_t growth = end > size ? end - size : 0;
        if (growth > room) {
            size_t fits = offset < size ? (size_t)(size - offset) + room : room;
            if (offset > size || fits == 0) return fail(ENOSPC);
            control[FAULTS]++;
            len = fits, growth = room;
        }
        control[ROOM] -= growth;
    }
    return len;
}

static void give_back(uint64_t bytes) {
    if (control[ROOM] != UINT64_MAX) control[ROOM] += bytes;
}

/* ---- writing ---- */

static ssize_t write_file(int fd, const struct iovec *parts, int count, off_t offset, int positioned) {
    begin_shim();
    struct descriptor *d = known(fd);
    size_t len = 0;
    for (int i = 0; i < count; i++) len += parts[i].iov_len;
    char *bytes = malloc(len ? len : 1), *at = bytes;
    if (!bytes) abort();
    for (int i = 0; i < count; i++) memcpy(at, parts[i].iov_base, parts[i].iov_len), at += parts[i].iov_len;
    if (!positioned) offset = d->append ? size_of(fd) : lseek(fd, 0, SEEK_CUR);
    struct header h = {.call = WRITE, .phase = BEGIN, .id = next_id++, .object = d->object, .a = offset};
    ssize_t fits = allowed(fd, offset, len), put = -1;
    if (fits >= 0) {
        struct iovec data = {bytes, d->kind == SHARED_MEMORY ? 0 : (size_t)fits};
        record(h, 0, 0, &data, 1);
        put = positioned ? syscall(SYS_pwrite64, fd, bytes, (size_t)fits, offset) : real_write(fd, bytes, fits);
    } else {
        record(h, 0, 0, 0, 0);
    }
    int saved = errno;
    record_end(h, put);
    free(bytes);
    errno = saved;
    return put;
}

static ssize_t send_socket(int fd, const struct iovec *parts, int count, int flags) {
    struct header h = {.call = SEND, .phase = BEGIN, .id = next_id++, .object = known(fd)->object};
    record(h, 0, 0, parts, count);
    struct msghdr message = {.msg_iov = (struct iovec *)parts, .msg_iovlen = count};
    ssize_t sent = syscall(SYS_sendmsg, fd, &message, flags);
    int saved = errno;
    record_end(h, sent);
    errno = saved;
    return sent;
}

ssize_t write(int fd, const void *bytes, size_t len) {
    begin_shim();
    struct iovec part = {(void *)bytes, len};
    if (is_file(fd)) return write_file(fd, &part, 1, 0, 0);
    if (known(fd)->kind == SOCKET) return send_socket(fd, &part, 1, 0);
    return real_write(fd, bytes, len);
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
    REAL(writev);
    if (is_file(fd)) return write_file(fd, parts, count, 0, 0);
    if (known(fd)->kind == SOCKET) return send_socket(fd, parts, count, 0);
    return real(fd, parts, count);
}

ssize_t pwrite(int fd, const void *bytes, size_t len, off_t offset) {
    REAL(pwrite);
    if (is_file(fd)) return write_file(fd, &(struct iovec){(void *)bytes, len}, 1, offset, 1);
    return real(fd, bytes, len, offset);
}
ssize_t pwrite64(int fd, const void *bytes, size_t len, off_t offset) { return pwrite(fd, bytes, len, offset); }

ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t offset) {
    REAL(pwritev);
    if (is_file(fd)) return write_file(fd, parts, count, offset, 1);
    return real(fd, parts, count, offset);
}
ssize_t pwritev64(int fd, const struct iovec *parts, int count, off_t offset) { return pwritev(fd, parts, count, offset); }

ssize_t send(int fd, const void *bytes, size_t len, int flags) {
    REAL(send);
    if (known(fd)->kind == SOCKET) return send_socket(fd, &(struct iovec){(void *)bytes, len}, 1, flags);
    return real(fd, bytes, len, flags);
}

ssize_t sendto(int fd, const void *bytes, size_t len, int flags, const struct sockaddr *to, socklen_t to_len) {
    REAL(sendto);
    if (known(fd)->kind == SOCKET && !to) return send(fd, bytes, len, flags);
    return real(fd, bytes, len, flags, to, to_len);
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags) {
    REAL(sendmsg);
    if (known(fd)->kind == SOCKET) return send_socket(fd, message->msg_iov, message->msg_iovlen, flags);
    return real(fd, message, flags);
}

/* ---- what comes in: which packet an acknowledgement answers ---- */

static ssize_t received(int fd, const struct iovec *parts, int count, ssize_t len) {
    if (len > 0 && known(fd)->kind == SOCKET && log_fd >= 0) {
        struct iovec cut[64];
        size_t left = len;
        int used = 0;
        for (; used < count && used < 64 && left; used++) {
            cut[used] = parts[used];
            if (cut[used].iov_len > left) cut[used].iov_len = left;
            left -= cut[used].iov_len;
        }
        if (left) abort();
        struct header h = {.call = RECEIVE, .phase = END, .object = known(fd)->object, .result = len};
        record(h, 0, 0, cut, used);
    }
    return len;
}

ssize_t read(int fd, void *buffer, size_t len) {
    REAL(read);
    return received(fd, &(struct iovec){buffer, len}, 1, real(fd, buffer, len));
}

ssize_t readv(int fd, const struct iovec *parts, int count) {
    REAL(readv);
    return received(fd, parts, count, real(fd, parts, count));
}

ssize_t recv(int fd, void *buffer, size_t len, int flags) {
    REAL(recv);
    ssize_t got = real(fd, buffer, len, flags);
    return flags & MSG_PEEK ? got : received(fd, &(struct iovec){buffer, len}, 1, got);
}

ssize_t recvfrom(int fd, void *buffer, size_t len, int flags, struct sockaddr *from, socklen_t *from_len) {
    REAL(recvfrom);
    ssize_t got = real(fd, buffer, len, flags, from, from_len);
    return flags & MSG_PEEK ? got : received(fd, &(struct iovec){buffer, len}, 1, got);
}

static int accepted(int fd, const struct sockaddr *address) {
    if (fd >= 0 && fd < DESCRIPTORS) {
        uint16_t port = address && address->sa_family == AF_INET ? ntohs(((const struct sockaddr_in *)address)->sin_port) : 0;
        descriptors[fd] = (struct descriptor){.kind = SOCKET, .object = next_object++};
        record((struct header){.call = ACCEPT, .phase = END, .object = descriptors[fd].object, .a = port, .result = fd}, 0, 0, 0, 0);
    }
    return fd;
}

int accept4(int fd, struct sockaddr *address, socklen_t *len, int flags) {
    REAL(accept4);
    return accepted(real(fd, address, len, flags), address);
}

int accept(int fd, struct sockaddr *address, socklen_t *len) {
    REAL(accept);
    return accepted(real(fd, address, len), address);
}

/* ---- descriptors ---- */

int open(const char *path, int flags, ...) {
    begin_shim();
    va_list rest;
    va_start(rest, flags);
    mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0;
    va_end(rest);
    return opened(real_open(path, flags, mode), path, flags);
}
int open64(const char *path, int flags, ...) __attribute__((alias("open")));

int openat(int dir, const char *path, int flags, ...) {
    REAL(openat);
    va_list rest;
    va_start(rest, flags);
    mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0;
    va_end(rest);
    int fd = real(dir, path, flags, mode);
    if (dir == AT_FDCWD || path[0] == '/') return opened(fd, path, flags);
    if (fd >= 0 && known(dir)->kind == DIRECTORY) unmodelled("openat");
    return fd;
}
int openat64(int dir, const char *path, int flags, ...) __attribute__((alias("openat")));

int creat(const char *path, mode_t mode) { return open(path, O_CREAT | O_WRONLY | O_TRUNC, mode); }
int creat64(const char *path, mode_t mode) { return creat(path, mode); }

int close(int fd) {
    REAL(close);
    forget(fd);
    return real(fd);
}

static int duplicated(int from, int to) {
    if (to >= 0 && to < DESCRIPTORS) descriptors[to] = *known(from);
    return to;
}

int dup(int fd) {
    REAL(dup);
    return duplicated(fd, real(fd));
}

int dup2(int from, int to) {
    REAL(dup2);
    return duplicated(from, real(from, to));
}

int dup3(int from, int to, int flags) {
    REAL(dup3);
    return duplicated(from, real(from, to, flags));
}

int fcntl(int fd, int command, ...) {
    REAL(fcntl);
    va_list rest;
    va_start(rest, command);
    void *argument = va_arg(rest, void *);
    va_end(rest);
    int result = real(fd, command, argument);
    return command == F_DUPFD || command == F_DUPFD_CLOEXEC ? duplicated(fd, result) : result;
}
int fcntl64(int fd, int command, ...) __attribute__((alias("fcntl")));

/* ---- sizes ---- */

static int truncate_file(int fd, off_t length) {
    struct header h = {.call = TRUNCATE, .phase = BEGIN, .id = next_id++, .object = known(fd)->object, .a = length};
    off_t size = size_of(fd);
    record(h, 0, 0, 0, 0);
    int result = syscall(SYS_ftruncate, fd, length);
    int saved = errno;
    if (result == 0 && length < size) give_back(size - length);
    record_end(h, result);
    errno = saved;
    return result;
}

int ftruncate(int fd, off_t length) {
    REAL(ftruncate);
    return is_file(fd) ? truncate_file(fd, length) : real(fd, length);
}
int ftruncate64(int fd, off_t length) { return ftruncate(fd, length); }

int truncate(const char *path, off_t length) {
    REAL(truncate);
    char buffer[PATH_MAX];
    if (is_watched(absolute(path, buffer))) unmodelled("truncate");
    return real(path, length);
}
int truncate64(const char *path, off_t length) { return truncate(path, length); }

int fallocate(int fd, int mode, off_t offset, off_t len) {
    REAL(fallocate);
    if (!is_file(fd)) return real(fd, mode, offset, len);
    if (mode) unmodelled("fallocate with a mode");
    off_t size = size_of(fd);
    uint64_t growth = offset + len > size ? offset + len - size : 0;
    struct header h = {.call = ALLOCATE, .phase = BEGIN, .id = next_id++, .object = known(fd)->object, .a = offset + len};
    record(h, 0, 0, 0, 0);
    int result = growth > control[ROOM] ? fail(ENOSPC) : real(fd, mode, offset, len);
    int saved = errno;
    if (result == 0 && control[ROOM] != UINT64_MAX) control[ROOM] -= growth;
    record_end(h, result);
    errno = saved;
    return result;
}
int fallocate64(int fd, int mode, off_t offset, off_t len) { return fallocate(fd, mode, offset, len); }

int posix_fallocate(int fd, off_t offset, off_t len) { return fallocate(fd, 0, offset, len) == 0 ? 0 : errno; }
int posix_fallocate64(int fd, off_t offset, off_t len) { return posix_fallocate(fd, offset, len); }

/* ---- syncs ---- */

static void wait_micros(uint64_t micros) {
    struct timespec time = {micros / 1000000, micros % 1000000 * 1000};
    while (nanosleep(&time, &time) != 0 && errno == EINTR) {}
}

/* The next sync: it takes its time, and answers whether it is to be made. */
static int may_sync(uint64_t n) {
    if (control[HANG_SYNC] == n) {
        control[HANGING]++;
        wait_micros(control[HANG_MILLIS] * 1000);
    }
    if (control[SYNC_MICROS]) wait_micros(control[SYNC_MICROS]);
    return lies_in(n, EIO_SYNC_FROM, EIO_SYNC_TO) ? fail(EIO) : 0;
}

static int sync_file(int fd, int (*real)(int)) {
    uint64_t n = ++control[SYNCS];
    if (control[SWALLOW_SYNCS]) return 0;
    struct header h = {.call = SYNC, .phase = BEGIN, .id = next_id++, .object = known(fd)->object};
    record(h, 0, 0, 0, 0);
    int result = may_sync(n) < 0 ? -1 : real(fd);
    int saved = errno;
    record_end(h, result);
    errno = saved;
    return result;
}

int fsync(int fd) {
    REAL(fsync);
    return is_file(fd) || known(fd)->kind == DIRECTORY ? sync_file(fd, real) : real(fd);
}

int fdatasync(int fd) {
    REAL(fdatasync);
    return is_file(fd) || known(fd)->kind == DIRECTORY ? sync_file(fd, real) : real(fd);
}

/* Starts or awaits writing; makes neither sizes nor the disk's own cache durable. Counted, delayed and failed as a sync. */
int sync_file_range(int fd, off_t offset, off_t len, unsigned flags) {
    REAL(sync_file_range);
    if (!is_file(fd)) return real(fd, offset, len, flags);
    int result = may_sync(++control[SYNCS]) < 0 ? -1 : real(fd, offset, len, flags);
    record((struct header){.call = RANGE_SYNC, .phase = END, .object = known(fd)->object, .result = result}, 0, 0, 0, 0);
    return result;
}

/* ---- names ---- */

int rename(const char *from, const char *to) {
    REAL(rename);
    char first[PATH_MAX], second[PATH_MAX];
    const char *old = absolute(from, first), *new = absolute(to, second);
    int result = real(from, to);
    if (result == 0 && is_watched(old) != is_watched(new)) unmodelled("rename across the directory's edge");
    else if (result == 0 && is_watched(old)) record((struct header){.call = RENAME, .phase = END}, old, new, 0, 0);
    return result;
}

static int named(enum call call, int result, const char *path) {
    char buffer[PATH_MAX];
    path = absolute(path, buffer);
    if (result == 0 && is_watched(path)) record((struct header){.call = call, .phase = END}, path, 0, 0, 0);
    return result;
}

int unlink(const char *path) {
    REAL(unlink);
    struct stat info;
    char buffer[PATH_MAX];
    int inside = is_watched(absolute(path, buffer)) && stat(path, &info) == 0;
    int result = named(UNLINK, real(path), path);
    if (result == 0 && inside) give_back(info.st_size);
    return result;
}

int mkdir(const char *path, mode_t mode) {
    REAL(mkdir);
    return named(MKDIR, real(path, mode), path);
}

int rmdir(const char *path) {
    REAL(rmdir);
    return named(RMDIR, real(path), path);
}

/* ---- free space ---- */

/* Who asks how much is free is told no more than there is room for. */
int statvfs(const char *path, struct statvfs *info) {
    REAL(statvfs);
    int result = real(path, info);
    char buffer[PATH_MAX];
    if (result == 0 && control[ROOM] != UINT64_MAX && is_watched(absolute(path, buffer))) {
        fsblkcnt_t blocks = control[ROOM] / info->f_frsize;
        if (blocks < info->f_bavail) info->f_bavail = blocks;
        if (blocks < info->f_bfree) info->f_bfree = blocks;
    }
    return result;
}
int statvfs64(const char *path, struct statvfs64 *info) __attribute__((alias("statvfs")));

/* ---- what the record cannot express ---- */

void *mmap(void *address, size_t len, int protection, int flags, int fd, off_t offset) {
    begin_shim();
    if (known(fd)->kind == DATA && flags & MAP_SHARED && protection & PROT_WRITE) unmodelled("a shared writable mapping");
    return real_mmap(address, len, protection, flags, fd, offset);
}
void *mmap64(void *address, size_t len, int protection, int flags, int fd, off_t offset) { return mmap(address, len, protection, flags, fd, offset); }

int link(const char *from, const char *to) {
    REAL(link);
    char buffer[PATH_MAX];
    if (is_watched(absolute(to, buffer))) unmodelled("link");
    return real(from, to);
}

int renameat2(int from_dir, const char *from, int to_dir, const char *to, unsigned flags) {
    REAL(renameat2);
    char buffer[PATH_MAX];
    if (is_watched(absolute(to, buffer))) unmodelled("renameat2");
    return real(from_dir, from, to_dir, to, flags);
}

ssize_t copy_file_range(int in, off_t *in_offset, int out, off_t *out_offset, size_t len, unsigned flags) {
    REAL(copy_file_range);
    if (is_file(out)) unmodelled("copy_file_range");
    return real(in, in_offset, out, out_offset, len, flags);
}

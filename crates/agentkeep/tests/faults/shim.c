/* Faults from outside: preloaded into a child, it numbers every operation that changes a file below
 * one folder, and kills, fails or records at a chosen one. It calls the kernel itself, so nothing of
 * what it wraps is called twice. Built and steered by shim.rs; Linux only.
 *
 * FAULTS_ROOT   the folder; files whose name ends with -shm are left alone (SQLite's, no durable state)
 * FAULTS_STATUS a file that gets "operations fired syncs" at the end
 * FAULTS_TRACE  a file that gets every operation with its bytes, and every line said on stdout
 * FAULTS_ACT    kill-before kill-after kill-half eio enospc short sync-eio
 * FAULTS_AT     at which operation (for sync-eio: at which sync), from 1
 * FAULTS_STICKY not empty: from then on at every one
 * FAULTS_PLANT  a defect of the driver, planted: no-sync no-dir-sync no-log-sync rename-copies
 *               link-copies no-locks stale-generation read-unchecked read-torn
 * FAULTS_SEED   what stands for the machine's randomness */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

enum kind { OPEN = 1, WRITE, CUT, SYNC, RENAME, LINK, UNLINK, MKDIR, RMDIR, SAY, CLOSE, DUP, SYNC_FAILED };
enum verdict { GO, FAIL, SHORT, HALF };

#define FDS 1024
static struct { char *path; int append, sync; } fds[FDS];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int ready, trace = -1;
static char root[PATH_MAX];
static size_t root_len;
static const char *act = "", *plant = "", *status;
static long at, ops, syncs, fired;
static int sticky, die_after;
static uint64_t seed;

__attribute__((constructor)) static void start(void)
{
	const char *s = getenv("FAULTS_ROOT");
	if (!s || strlen(s) >= sizeof root) return;
	strcpy(root, s);
	root_len = strlen(root);
	status = getenv("FAULTS_STATUS");
	if ((s = getenv("FAULTS_ACT"))) act = s;
	if ((s = getenv("FAULTS_PLANT"))) plant = s;
	if ((s = getenv("FAULTS_AT"))) at = atol(s);
	if ((s = getenv("FAULTS_STICKY"))) sticky = *s != 0;
	if ((s = getenv("FAULTS_SEED"))) seed = strtoull(s, 0, 10);
	if ((s = getenv("FAULTS_TRACE"))) {
		int fd = syscall(SYS_openat, AT_FDCWD, s, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
		trace = syscall(SYS_fcntl, fd, F_DUPFD_CLOEXEC, FDS);
		syscall(SYS_close, fd);
	}
	ready = 1;
}

__attribute__((destructor)) static void end(void)
{
	char line[100];
	if (!ready || !status) return;
	int fd = syscall(SYS_openat, AT_FDCWD, status, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	int n = snprintf(line, sizeof line, "%ld %ld %ld\n", ops, fired, syncs);
	syscall(SYS_write, fd, line, n);
	syscall(SYS_close, fd);
}

static void die(void)
{
	syscall(SYS_kill, getpid(), SIGKILL);
	for (;;) pause();
}

static void enter(void) { pthread_mutex_lock(&lock); }

static void leave(void)
{
	int kept = errno;
	if (die_after) die();
	pthread_mutex_unlock(&lock);
	errno = kept;
}

static int planted(const char *what) { return strcmp(plant, what) == 0; }

static int ends(const char *path, const char *end)
{
	size_t n = strlen(path), m = strlen(end);
	return n >= m && strcmp(path + n - m, end) == 0;
}

/* The path as an absolute one, if it is below the root; else 0. */
static int below(int dir, const char *path, char *out)
{
	char base[PATH_MAX] = "", link[64];
	if (!ready || !path) return 0;
	if (*path != '/') {
		if (dir == AT_FDCWD) {
			if (syscall(SYS_getcwd, base, sizeof base) < 0) return 0;
		} else {
			snprintf(link, sizeof link, "/proc/self/fd/%d", dir);
			ssize_t n = syscall(SYS_readlinkat, AT_FDCWD, link, base, sizeof base - 1);
			if (n < 0) return 0;
			base[n] = 0;
		}
	}
	if (strlen(base) + strlen(path) + 2 > PATH_MAX) return 0;
	size_t n = 0;
	for (int part = 0; part < 2; part++) {
		const char *s = part ? path : base;
		if (part && *base) out[n++] = '/';
		for (; *s; s++) {
			if (s[0] == '/' && (s[1] == '/' || s[1] == 0)) continue;
			if (s[0] == '/' && s[1] == '.' && (s[2] == '/' || s[2] == 0)) { s++; continue; }
			out[n++] = *s;
		}
	}
	out[n] = 0;
	if (strncmp(out, root, root_len) != 0 || (out[root_len] != '/' && out[root_len] != 0)) return 0;
	return !ends(out, "-shm");
}

static int tracked(int fd) { return ready && fd >= 0 && fd < FDS && fds[fd].path; }

struct record { uint32_t kind; int32_t fd; uint64_t number; uint32_t a, b; };

static void note(enum kind kind, int fd, uint64_t number, const void *a, size_t a_len, const void *b, size_t b_len)
{
	struct record r = { kind, fd, number, a_len, b_len };
	struct iovec parts[3] = { { &r, sizeof r }, { (void *)a, a_len }, { (void *)b, b_len } };
	if (trace >= 0) syscall(SYS_writev, trace, parts, 3);
}

static void note_paths(enum kind kind, const char *a, const char *b)
{
	note(kind, -1, 0, a, strlen(a), b, b ? strlen(b) : 0);
}

/* Before each operation that changes something, under the lock: counts it, and says what becomes of it. */
static enum verdict gate(int is_write, int is_sync, int grows)
{
	long n = ++ops;
	if (is_sync) syncs++;
	if (!*act) return GO;
	if (strcmp(act, "sync-eio") == 0) {
		if (!is_sync || (sticky ? syncs < at : syncs != at)) return GO;
		fired++;
		errno = EIO;
		return FAIL;
	}
	if (strncmp(act, "kill-", 5) == 0) {
		if (n != at) return GO;
		fired++;
		if (strcmp(act, "kill-before") == 0) die();
		if (strcmp(act, "kill-half") == 0 && is_write) return HALF;
		die_after = 1;
		return GO;
	}
	/* "Once" is the first to which it can happen. */
	if (n < at || (!sticky && fired)) return GO;
	if (strcmp(act, "short") == 0) {
		if (!is_write) return GO;
		fired++;
		return SHORT;
	}
	if (strcmp(act, "enospc") == 0 && !grows) return GO;
	fired++;
	errno = strcmp(act, "enospc") == 0 ? ENOSPC : EIO;
	return FAIL;
}

static char generation[64];
static size_t generation_len;

/* What this process wrote last, for the defect of one that does not see what others commit. */
static void note_generation(int fd, const void *bytes, size_t len, off_t offset)
{
	if (!planted("stale-generation") || !ends(fds[fd].path, "/generation")) return;
	if (offset + len > sizeof generation) return;
	memcpy(generation + offset, bytes, len);
	if (offset + len > generation_len) generation_len = offset + len;
}

static ssize_t put(int fd, const void *bytes, size_t len, off_t offset, int positioned)
{
	if (!tracked(fd)) {
		if (ready && fd == 1 && trace >= 0) {
			enter();
			note(SAY, fd, 0, bytes, len, 0, 0);
			ssize_t n = syscall(SYS_write, fd, bytes, len);
			leave();
			return n;
		}
		return positioned ? syscall(SYS_pwrite64, fd, bytes, len, offset) : syscall(SYS_write, fd, bytes, len);
	}
	enter();
	ssize_t n = -1;
	enum verdict verdict = gate(1, 0, 1);
	if (verdict != FAIL) {
		size_t some = verdict == GO || len < 2 ? len : len / 2;
		if (!positioned && !fds[fd].append) offset = syscall(SYS_lseek, fd, 0, SEEK_CUR);
		n = positioned ? syscall(SYS_pwrite64, fd, bytes, some, offset) : syscall(SYS_write, fd, bytes, some);
		if (fds[fd].append) offset = syscall(SYS_lseek, fd, 0, SEEK_CUR) - n;
		if (n > 0) note(WRITE, fd, offset, bytes, n, 0, 0);
		if (n > 0) note_generation(fd, bytes, n, offset);
		if (verdict == HALF) die();
		if (n > 0 && fds[fd].sync) note(SYNC, fd, 0, 0, 0, 0, 0);
	}
	leave();
	return n;
}

ssize_t write(int fd, const void *bytes, size_t len) { return put(fd, bytes, len, 0, 0); }
ssize_t pwrite(int fd, const void *bytes, size_t len, off_t offset) { return put(fd, bytes, len, offset, 1); }
ssize_t pwrite64(int fd, const void *bytes, size_t len, off64_t offset) { return put(fd, bytes, len, offset, 1); }

static uint32_t crc(uint32_t sum, const void *bytes, size_t len)
{
	sum = ~sum;
	for (const unsigned char *at = bytes; len--; at++) {
		sum ^= *at;
		for (int bit = 0; bit < 8; bit++) sum = sum >> 1 ^ (sum & 1 ? 0xedb88320 : 0);
	}
	return ~sum;
}

static uint32_t chained(uint32_t chain, const void *payload, uint64_t len)
{
	return crc(crc(crc(0, &chain, 4), &len, 8), payload, len);
}

/* The defect of a file driver that does not check its journal: every frame that is read gets the
 * checksum that it should have, or only a last one that was cut short, and its length. */
static void unchecked(int fd, char *bytes, size_t len)
{
	uint64_t turn;
	if (syscall(SYS_pread64, fd, &turn, 8, 8) != 8) return;
	uint32_t length, chain = chained(0, &turn, 8);
	while (len > 8) {
		memcpy(&length, bytes, 4);
		if (length == 0) return;
		if (length > len - 8) {
			if (!planted("read-torn")) return;
			length = len - 8;
			memcpy(bytes, &length, 4);
			chain = chained(chain, bytes + 8, length);
			memcpy(bytes + 4, &chain, 4);
			return;
		}
		chain = chained(chain, bytes + 8, length);
		if (planted("read-unchecked")) memcpy(bytes + 4, &chain, 4);
		bytes += 8 + length;
		len -= 8 + length;
	}
}

static ssize_t get(int fd, void *bytes, size_t len, off_t offset)
{
	ssize_t n = syscall(SYS_pread64, fd, bytes, len, offset);
	if (n <= 0 || !*plant || !tracked(fd)) return n;
	enter();
	if (planted("stale-generation") && ends(fds[fd].path, "/generation")) {
		if (!generation_len) note_generation(fd, bytes, n, offset);
		n = (size_t)offset < generation_len ? (ssize_t)(generation_len - offset) : 0;
		if ((size_t)n > len) n = len;
		memcpy(bytes, generation + offset, n);
	}
	if (strncmp(plant, "read-", 5) == 0 && offset == 40 && strstr(fds[fd].path, "/journal.")) unchecked(fd, bytes, n);
	leave();
	return n;
}

ssize_t pread(int fd, void *bytes, size_t len, off_t offset) { return get(fd, bytes, len, offset); }
ssize_t pread64(int fd, void *bytes, size_t len, off64_t offset) { return get(fd, bytes, len, offset); }

/* Several parts are one operation: put together, so that it is torn as one. */
static ssize_t put_parts(int fd, const struct iovec *parts, int count, off_t offset, int positioned)
{
	if (!tracked(fd) && !(ready && fd == 1 && trace >= 0))
		return positioned ? syscall(SYS_pwritev, fd, parts, count, offset, 0) : syscall(SYS_writev, fd, parts, count);
	size_t len = 0, done = 0;
	for (int i = 0; i < count; i++) len += parts[i].iov_len;
	char *bytes = malloc(len ? len : 1);
	for (int i = 0; i < count; done += parts[i++].iov_len) memcpy(bytes + done, parts[i].iov_base, parts[i].iov_len);
	ssize_t n = put(fd, bytes, len, offset, positioned);
	free(bytes);
	return n;
}

ssize_t writev(int fd, const struct iovec *parts, int count) { return put_parts(fd, parts, count, 0, 0); }
ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t offset) { return put_parts(fd, parts, count, offset, 1); }
ssize_t pwritev64(int fd, const struct iovec *parts, int count, off64_t offset) { return put_parts(fd, parts, count, offset, 1); }

static int cut(int fd, off_t len)
{
	if (!tracked(fd)) return syscall(SYS_ftruncate, fd, len);
	enter();
	int result = gate(0, 0, 1) == FAIL ? -1 : (int)syscall(SYS_ftruncate, fd, len);
	if (result == 0) note(CUT, fd, len, 0, 0, 0, 0);
	leave();
	return result;
}

int ftruncate(int fd, off_t len) { return cut(fd, len); }
int ftruncate64(int fd, off64_t len) { return cut(fd, len); }

static int cut_path(const char *path, off_t len)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0) return -1;
	int result = cut(fd, len), kept = errno;
	close(fd);
	errno = kept;
	return result;
}

int truncate(const char *path, off_t len) { return cut_path(path, len); }
int truncate64(const char *path, off64_t len) { return cut_path(path, len); }

/* Room given in advance reads as zeros: it is a longer file. */
static int reserve(int fd, int mode, off_t offset, off_t len)
{
	if (!tracked(fd)) return syscall(SYS_fallocate, fd, mode, offset, len);
	enter();
	int result = gate(0, 0, 1) == FAIL ? -1 : (int)syscall(SYS_fallocate, fd, mode, offset, len);
	struct stat found;
	if (result == 0 && fstat(fd, &found) == 0) note(CUT, fd, found.st_size, 0, 0, 0, 0);
	leave();
	return result;
}

int fallocate(int fd, int mode, off_t offset, off_t len) { return reserve(fd, mode, offset, len); }
int fallocate64(int fd, int mode, off64_t offset, off64_t len) { return reserve(fd, mode, offset, len); }
int posix_fallocate(int fd, off_t offset, off_t len) { return reserve(fd, 0, offset, len) ? errno : 0; }
int posix_fallocate64(int fd, off64_t offset, off64_t len) { return reserve(fd, 0, offset, len) ? errno : 0; }

static int sync_one(int fd, long number)
{
	if (!tracked(fd)) return syscall(number, fd);
	enter();
	struct stat found;
	int folder = fstat(fd, &found) == 0 && S_ISDIR(found.st_mode);
	int skipped = planted("no-sync") || (planted("no-dir-sync") && folder)
		|| (planted("no-log-sync") && (ends(fds[fd].path, "-wal") || strstr(fds[fd].path, "/journal.")));
	enum verdict verdict = gate(0, 1, 1);
	int result = verdict == FAIL ? -1 : skipped ? 0 : (int)syscall(number, fd);
	if (result == 0 && !skipped) note(SYNC, fd, 0, 0, 0, 0, 0);
	/* The kernel has given up what it could not write: a later sync does not bring it back. */
	if (verdict == FAIL) note(SYNC_FAILED, fd, 0, 0, 0, 0, 0);
	leave();
	return result;
}

int fsync(int fd) { return sync_one(fd, SYS_fsync); }
int fdatasync(int fd) { return sync_one(fd, SYS_fdatasync); }
/* Gives no promise: counted, never taken for a sync. */
int sync_file_range(int fd, off64_t offset, off64_t len, unsigned flags)
{
	return syscall(SYS_sync_file_range, fd, offset, len, flags);
}

static int opened(int fd, const char *path, int flags)
{
	if (fd < 0 || fd >= FDS) return fd;
	free(fds[fd].path);
	fds[fd].path = strdup(path);
	fds[fd].append = (flags & O_APPEND) != 0;
	fds[fd].sync = (flags & O_DSYNC) != 0;
	return fd;
}

static int open_one(int dir, const char *path, int flags, mode_t mode)
{
	char whole[PATH_MAX];
	/* Reading other people's files needs no telling; a folder's handle may be synced. */
	if (!below(dir, path, whole)) return syscall(SYS_openat, dir, path, flags, mode);
	enter();
	struct stat found;
	int there = fstatat(dir, path, &found, flags & O_NOFOLLOW ? AT_SYMLINK_NOFOLLOW : 0) == 0;
	int creates = (flags & O_CREAT) && !there;
	int empties = (flags & O_TRUNC) && there && found.st_size > 0 && (flags & O_ACCMODE) != O_RDONLY;
	int fd = -1;
	if (!(creates || empties) || gate(0, 0, 1) != FAIL) {
		fd = syscall(SYS_openat, dir, path, flags, mode);
		if (fd >= 0) {
			opened(fd, whole, flags);
			note(OPEN, fd, creates ? 1 : 0, whole, strlen(whole), 0, 0);
			if (empties) note(CUT, fd, 0, 0, 0, 0, 0);
		}
	}
	leave();
	return fd;
}

#define MODE(flags) \
	mode_t mode = 0; \
	if ((flags) & (O_CREAT | __O_TMPFILE)) { va_list rest; va_start(rest, flags); mode = va_arg(rest, mode_t); va_end(rest); }

int open(const char *path, int flags, ...) { MODE(flags) return open_one(AT_FDCWD, path, flags, mode); }
int open64(const char *path, int flags, ...) { MODE(flags) return open_one(AT_FDCWD, path, flags | O_LARGEFILE, mode); }
int openat(int dir, const char *path, int flags, ...) { MODE(flags) return open_one(dir, path, flags, mode); }
int openat64(int dir, const char *path, int flags, ...) { MODE(flags) return open_one(dir, path, flags | O_LARGEFILE, mode); }
int creat(const char *path, mode_t mode) { return open_one(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode); }
int creat64(const char *path, mode_t mode) { return creat(path, mode); }

int close(int fd)
{
	if (!tracked(fd)) return syscall(SYS_close, fd);
	enter();
	free(fds[fd].path);
	fds[fd].path = 0;
	int result = syscall(SYS_close, fd);
	note(CLOSE, fd, 0, 0, 0, 0, 0);
	leave();
	return result;
}

/* It closes the folder's handle inside the C library. */
int closedir(DIR *dir)
{
	static int (*real)(DIR *);
	int fd = dirfd(dir);
	if (!real) *(void **)&real = dlsym(RTLD_NEXT, "closedir");
	if (!tracked(fd)) return real(dir);
	enter();
	free(fds[fd].path);
	fds[fd].path = 0;
	int result = real(dir);
	note(CLOSE, fd, 0, 0, 0, 0, 0);
	leave();
	return result;
}

static int again(int fd, int copy)
{
	if (!tracked(fd) || copy < 0 || copy >= FDS) return copy;
	enter();
	free(fds[copy].path);
	fds[copy] = fds[fd];
	fds[copy].path = strdup(fds[fd].path);
	note(DUP, fd, copy, 0, 0, 0, 0);
	leave();
	return copy;
}

int dup(int fd) { return again(fd, syscall(SYS_dup, fd)); }
int dup3(int fd, int copy, int flags) { return again(fd, syscall(SYS_dup3, fd, copy, flags)); }
int dup2(int fd, int copy) { return fd == copy ? copy : dup3(fd, copy, 0); }

static int control(int fd, int command, void *value)
{
	if (ready && planted("no-locks")) {
		if (command == F_SETLK || command == F_SETLKW || command == F_OFD_SETLK || command == F_OFD_SETLKW) return 0;
		if (command == F_GETLK || command == F_OFD_GETLK) { ((struct flock *)value)->l_type = F_UNLCK; return 0; }
	}
	int result = syscall(SYS_fcntl, fd, command, value);
	return command == F_DUPFD || command == F_DUPFD_CLOEXEC ? again(fd, result) : result;
}

int fcntl(int fd, int command, ...) { va_list rest; va_start(rest, command); void *value = va_arg(rest, void *); va_end(rest); return control(fd, command, value); }
int fcntl64(int fd, int command, ...) { va_list rest; va_start(rest, command); void *value = va_arg(rest, void *); va_end(rest); return control(fd, command, value); }
int flock(int fd, int what) { return ready && planted("no-locks") ? 0 : (int)syscall(SYS_flock, fd, what); }

/* The defect of a driver that does not rename or link but writes in place, piece by piece. */
static int copy(const char *from, const char *to)
{
	char bytes[4096];
	ssize_t n;
	int source = syscall(SYS_openat, AT_FDCWD, from, O_RDONLY | O_CLOEXEC);
	int target = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	while (source >= 0 && target >= 0 && (n = syscall(SYS_read, source, bytes, sizeof bytes)) > 0) write(target, bytes, n);
	if (target >= 0) close(target);
	if (source >= 0) syscall(SYS_close, source);
	return source < 0 || target < 0 ? -1 : 0;
}

static int rename_one(int dir, const char *from, int to_dir, const char *to, unsigned flags)
{
	char a[PATH_MAX], b[PATH_MAX];
	if (!below(dir, from, a) || !below(to_dir, to, b)) return syscall(SYS_renameat2, dir, from, to_dir, to, flags);
	if (planted("rename-copies")) return copy(a, b) || unlink(a) ? -1 : 0;
	enter();
	int result = gate(0, 0, 1) == FAIL ? -1 : (int)syscall(SYS_renameat2, dir, from, to_dir, to, flags);
	if (result == 0) note_paths(RENAME, a, b);
	leave();
	return result;
}

int rename(const char *from, const char *to) { return rename_one(AT_FDCWD, from, AT_FDCWD, to, 0); }
int renameat(int dir, const char *from, int to_dir, const char *to) { return rename_one(dir, from, to_dir, to, 0); }
int renameat2(int dir, const char *from, int to_dir, const char *to, unsigned flags) { return rename_one(dir, from, to_dir, to, flags); }

int linkat(int dir, const char *from, int to_dir, const char *to, int flags)
{
	char a[PATH_MAX], b[PATH_MAX];
	if (!below(dir, from, a) || !below(to_dir, to, b)) return syscall(SYS_linkat, dir, from, to_dir, to, flags);
	if (planted("link-copies") && access(b, F_OK) != 0) return copy(a, b);
	enter();
	int result = gate(0, 0, 1) == FAIL ? -1 : (int)syscall(SYS_linkat, dir, from, to_dir, to, flags);
	if (result == 0) note_paths(LINK, a, b);
	leave();
	return result;
}

int link(const char *from, const char *to) { return linkat(AT_FDCWD, from, AT_FDCWD, to, 0); }

int unlinkat(int dir, const char *path, int flags)
{
	char whole[PATH_MAX];
	if (!below(dir, path, whole)) return syscall(SYS_unlinkat, dir, path, flags);
	enter();
	int result = gate(0, 0, 0) == FAIL ? -1 : (int)syscall(SYS_unlinkat, dir, path, flags);
	if (result == 0) note_paths(flags & AT_REMOVEDIR ? RMDIR : UNLINK, whole, 0);
	leave();
	return result;
}

int unlink(const char *path) { return unlinkat(AT_FDCWD, path, 0); }
int rmdir(const char *path) { return unlinkat(AT_FDCWD, path, AT_REMOVEDIR); }

int mkdirat(int dir, const char *path, mode_t mode)
{
	char whole[PATH_MAX];
	if (!below(dir, path, whole)) return syscall(SYS_mkdirat, dir, path, mode);
	enter();
	int result = gate(0, 0, 1) == FAIL ? -1 : (int)syscall(SYS_mkdirat, dir, path, mode);
	if (result == 0) note_paths(MKDIR, whole, 0);
	leave();
	return result;
}

int mkdir(const char *path, mode_t mode) { return mkdirat(AT_FDCWD, path, mode); }

/* Who may use a file is no part of the images, but a process may end or fail there. */
static int permit(int fd, const char *path, mode_t mode)
{
	char whole[PATH_MAX];
	int ours = path ? below(AT_FDCWD, path, whole) : tracked(fd);
	if (ours) enter();
	int result = ours && gate(0, 0, 0) == FAIL ? -1
		: path ? (int)syscall(SYS_fchmodat, AT_FDCWD, path, mode) : (int)syscall(SYS_fchmod, fd, mode);
	if (ours) leave();
	return result;
}

int fchmod(int fd, mode_t mode) { return permit(fd, 0, mode); }
int chmod(const char *path, mode_t mode) { return permit(-1, path, mode); }

/* The same seed does the same again: ids that the child makes are the same in each run. */
ssize_t getrandom(void *bytes, size_t len, unsigned flags)
{
	if (!ready || !seed) return syscall(SYS_getrandom, bytes, len, flags);
	enter();
	for (size_t i = 0; i < len; i++) {
		seed = seed * 6364136223846793005u + 1442695040888963407u;
		((unsigned char *)bytes)[i] = seed >> 33;
	}
	leave();
	return len;
}

/* Put before libc: syncing fails with EIO as long as the file that SEMEL_TEST_SYNC_FAILS names is there. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/types.h>
#include <unistd.h>

static int fails(void) {
    const char *trigger = getenv("SEMEL_TEST_SYNC_FAILS");
    return trigger && access(trigger, F_OK) == 0;
}

int fdatasync(int file) {
    if (fails()) { errno = EIO; return -1; }
    return ((int (*)(int))dlsym(RTLD_NEXT, "fdatasync"))(file);
}

int fsync(int file) {
    if (fails()) { errno = EIO; return -1; }
    return ((int (*)(int))dlsym(RTLD_NEXT, "fsync"))(file);
}

int msync(void *from, size_t bytes, int flags) {
    if (fails()) { errno = EIO; return -1; }
    return ((int (*)(void *, size_t, int))dlsym(RTLD_NEXT, "msync"))(from, bytes, flags);
}

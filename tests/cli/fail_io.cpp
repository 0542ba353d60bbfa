// Preloaded into a program, lets its FER_FAIL_IO-th attempt to change a file fail, once: opening for writing, write,
// fsync, rename, in turn with ENOSPC and EIO. FER_FAIL_COUNT names a file that receives the number of attempts.
#include <dlfcn.h>
#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>

namespace {

std::atomic<long> attempts{0};

bool fails() {
    static const char* const wanted = std::getenv("FER_FAIL_IO");
    const long now = ++attempts;
    if (wanted == nullptr || now != std::atol(wanted)) {
        return false;
    }
    errno = now % 2 == 0 ? ENOSPC : EIO;
    return true;
}

template <class Function>
Function real(const char* name) {
    return reinterpret_cast<Function>(dlsym(RTLD_NEXT, name));
}

bool writes(int flags) { return (flags & (O_WRONLY | O_RDWR)) != 0; }

struct Report {
    ~Report() {
        if (const char* path = std::getenv("FER_FAIL_COUNT")) {
            const long count = attempts;
            if (FILE* file = std::fopen(path, "w")) {
                std::fprintf(file, "%ld\n", count);
                std::fclose(file);
            }
        }
    }
} report;

}  // namespace

extern "C" {

ssize_t write(int fd, const void* bytes, size_t count) {
    static const auto call = real<ssize_t (*)(int, const void*, size_t)>("write");
    return fd > 2 && fails() ? -1 : call(fd, bytes, count);
}

int fsync(int fd) {
    static const auto call = real<int (*)(int)>("fsync");
    return fails() ? -1 : call(fd);
}

int rename(const char* from, const char* to) {
    static const auto call = real<int (*)(const char*, const char*)>("rename");
    return fails() ? -1 : call(from, to);
}

int open(const char* path, int flags, ...) {
    static const auto call = real<int (*)(const char*, int, ...)>("open");
    va_list rest;
    va_start(rest, flags);
    const unsigned mode = (flags & O_CREAT) != 0 ? va_arg(rest, unsigned) : 0;
    va_end(rest);
    return writes(flags) && fails() ? -1 : call(path, flags, mode);
}

}  // extern "C"

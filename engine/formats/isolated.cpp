#include "engine/formats/isolated.hpp"

#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <fstream>

#include "engine/core/error.hpp"

namespace fer {
namespace {

#ifdef FER_CHECKED
constexpr double kSlower = 20;  // under the sanitizers
#else
constexpr double kSlower = 1;
#endif

enum Exit : int { kDone = 0, kError = 3 };

[[maybe_unused]] std::size_t address_space_now() {
    std::size_t pages = 0;
    std::ifstream("/proc/self/statm") >> pages;
    return pages * static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
}

void limit_this_process(const Isolation& limits) {
    const rlimit no_core{0, 0};
    ::setrlimit(RLIMIT_CORE, &no_core);
#ifndef FER_CHECKED  // the shadow of AddressSanitizer is terabytes of address space
    if (limits.memory_bytes > 0) {
        const rlim_t bytes = address_space_now() + limits.memory_bytes;
        const rlimit memory{bytes, bytes};
        ::setrlimit(RLIMIT_AS, &memory);
    }
#endif
    for (const int signal : {SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGILL, SIGPROF}) {
        std::signal(signal, SIG_DFL);
    }
    const double seconds = limits.cpu_seconds * kSlower;
    itimerval timer{};
    timer.it_value.tv_sec = static_cast<time_t>(seconds);
    timer.it_value.tv_usec = static_cast<suseconds_t>((seconds - static_cast<double>(timer.it_value.tv_sec)) * 1e6);
    ::setitimer(ITIMER_PROF, &timer, nullptr);
}

/// Three texts, each ending in a zero byte.
void leave_error(SharedMemory& memory, const Error& error) {
    std::string text;
    for (const std::string& part : {std::string(error.what()), error.why(), error.hint()}) {
        text += part;
        text += '\0';
    }
    std::memcpy(memory.resize(text.size()), text.data(), text.size());
}

[[noreturn]] void run_child(int fd, const Isolation& limits, const std::function<void(SharedMemory&)>& work) {
    SharedMemory memory(fd);
    try {
        limit_this_process(limits);
        work(memory);
        ::_exit(kDone);
    } catch (const Error& error) {
        leave_error(memory, error);
    } catch (const std::exception& error) {
        leave_error(memory, DataError(error.what()));
    }
    ::_exit(kError);
}

IsolatedBytes map(int fd) {
    const off_t size = ::lseek(fd, 0, SEEK_END);
    if (size <= 0) {
        return {};
    }
    const auto bytes = static_cast<std::size_t>(size);
    void* address = ::mmap(nullptr, bytes, PROT_READ, MAP_SHARED, fd, 0);
    if (address == MAP_FAILED) {
        throw MemoryError(fmt::format("cannot map {} bytes", bytes)).because(std::strerror(errno));
    }
    return {std::shared_ptr<const char>(static_cast<const char*>(address),
                                        [bytes](const char* at) { ::munmap(const_cast<char*>(at), bytes); }),
            bytes};
}

[[noreturn]] void throw_error_of(const IsolatedBytes& bytes, const std::string& what) {
    std::string parts[3] = {what + " cannot be read", {}, {}};
    const char* at = bytes.data.get();
    const char* end = at + bytes.size;
    for (std::string& part : parts) {
        if (at < end) {
            part.assign(at, ::strnlen(at, static_cast<std::size_t>(end - at)));
            at += part.size() + 1;
        }
    }
    throw DataError(parts[0]).because(parts[1]).try_this(parts[2]);
}

}  // namespace

char* SharedMemory::resize(std::size_t bytes) {
    void* address = MAP_FAILED;
    if (::ftruncate(fd_, 0) == 0 && ::ftruncate(fd_, static_cast<off_t>(bytes)) == 0) {
        address = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd_, 0);
    }
    if (address == MAP_FAILED) {
        throw MemoryError(fmt::format("cannot share {} bytes", bytes)).because(std::strerror(errno));
    }
    return static_cast<char*>(address);
}

IsolatedBytes run_isolated(const std::string& what, const Isolation& limits,
                           const std::function<void(SharedMemory&)>& work) {
    struct Descriptor {
        int fd;
        ~Descriptor() { ::close(fd); }
    };
    const Descriptor memory{::memfd_create("fer", MFD_CLOEXEC)};
    FER_ASSERT(memory.fd >= 0, "memfd_create: {}", std::strerror(errno));
    const pid_t child = ::fork();
    FER_ASSERT(child >= 0, "fork: {}", std::strerror(errno));
    if (child == 0) {
        run_child(memory.fd, limits, work);
    }
    int status = 0;
    while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    if (WIFEXITED(status) && WEXITSTATUS(status) == kDone) {
        return map(memory.fd);
    }
    if (WIFEXITED(status) && WEXITSTATUS(status) == kError) {
        throw_error_of(map(memory.fd), what);
    }
    const bool slow = WIFSIGNALED(status) && WTERMSIG(status) == SIGPROF;
    throw DataError(fmt::format("{} is damaged", what))
        .because(slow ? "reading it took far longer than a file of its size does"
                      : "its structure led the reading library astray; that process was stopped")
        .try_this("download or save it again");
}

}  // namespace fer

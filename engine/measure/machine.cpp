#include "engine/measure/machine.hpp"

#include <sys/times.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <limits>
#include <sstream>

namespace fer {

std::int64_t peak_resident_bytes() {
    std::ifstream status("/proc/self/status");
    for (std::string line; std::getline(status, line);) {
        if (line.starts_with("VmHWM:")) {
            return std::stoll(line.substr(6)) * 1024;
        }
    }
    return 0;
}

std::int64_t available_bytes() {
    std::int64_t available = std::numeric_limits<std::int64_t>::max();
    std::ifstream info("/proc/meminfo");
    for (std::string line; std::getline(info, line);) {
        if (line.starts_with("MemAvailable:")) {
            available = std::stoll(line.substr(13)) * 1024;
        }
    }
    std::ifstream most("/sys/fs/cgroup/memory.max");
    std::ifstream used("/sys/fs/cgroup/memory.current");
    std::int64_t limit = 0;
    std::int64_t current = 0;
    if (most >> limit && used >> current) {  // "max" is no number
        available = std::min(available, limit - current);
    }
    return available;
}

BusySeconds busy_seconds() {
    const auto ticks = static_cast<double>(::sysconf(_SC_CLK_TCK));
    BusySeconds busy;
    std::ifstream stat("/proc/stat");
    std::string line;
    std::getline(stat, line);
    std::istringstream fields(line.substr(line.find(' ')));
    double field = 0;
    for (int i = 0; i < 8 && fields >> field; ++i) {
        busy.machine += i == 3 || i == 4 ? 0 : field / ticks;  // all but idle and waiting for a disk
    }
    tms own{};
    ::times(&own);
    busy.process = static_cast<double>(own.tms_utime + own.tms_stime) / ticks;
    return busy;
}

}  // namespace fer

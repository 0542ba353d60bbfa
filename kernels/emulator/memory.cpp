#include "kernels/emulator/memory.hpp"

#include <sys/mman.h>

#include <algorithm>
#include <cstring>
#include <map>

#include "engine/core/error.hpp"
#include "kernels/emulator/observer.hpp"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(p, n) (static_cast<void>(p), static_cast<void>(n))
#define ASAN_UNPOISON_MEMORY_REGION(p, n) (static_cast<void>(p), static_cast<void>(n))
#endif

namespace fer::emulated {

namespace {

constexpr std::size_t kPage = 4096;
constexpr std::size_t kAlignment = 16;
constexpr unsigned char kPoison = 0xff;

std::size_t round_up(std::size_t n, std::size_t unit) { return (n + unit - 1) / unit * unit; }

struct Arena {
    char* base = nullptr;
    std::size_t used = 0;                           // addresses handed out, ever
    std::map<const char*, Allocation> allocations;  // by begin; freed ones too, for reports
    std::string overrun;                            // found when something was freed
};

Arena& arena() {
    static Arena instance = [] {
        void* memory = mmap(nullptr, kDeviceArena, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        FER_ASSERT(memory != MAP_FAILED, "emulator: no address space for device memory");
        Arena a;
        a.base = static_cast<char*>(memory);
        return a;
    }();
    return instance;
}

char* first_page(const Allocation& a) { return a.begin - (reinterpret_cast<std::uintptr_t>(a.begin) & (kPage - 1)); }
std::size_t page_bytes(const Allocation& a) {
    return round_up(static_cast<std::size_t>(a.begin + a.bytes - first_page(a)), kPage);
}

// The bytes of the allocation's pages that are not its own keep the poison they were given. What changed is described
// and repaired, so that it is found once.
std::string find_overrun(const Allocation& a) {
    char* const begin = first_page(a);
    char* const own_end = a.begin + a.bytes;
    char* const end = begin + page_bytes(a);
    const auto changed = [](char c) { return static_cast<unsigned char>(c) != kPoison; };
    ASAN_UNPOISON_MEMORY_REGION(begin, a.begin - begin);
    ASAN_UNPOISON_MEMORY_REGION(own_end, end - own_end);
    const char* p = std::find_if(begin, a.begin, changed);
    if (p == a.begin) {
        p = std::find_if(own_end, end, changed);
    }
    if (p == end) {
        return {};
    }
    std::memset(begin, kPoison, static_cast<std::size_t>(a.begin - begin));
    std::memset(own_end, kPoison, static_cast<std::size_t>(end - own_end));
    return "out-of-bounds write: " + describe_memory(p);
}

void protect_slack(const Allocation& a) {
    char* const begin = first_page(a);
    ASAN_POISON_MEMORY_REGION(begin, a.begin - begin);
    ASAN_POISON_MEMORY_REGION(a.begin + a.bytes, begin + page_bytes(a) - a.begin - a.bytes);
}

}  // namespace

const char* device_base() { return arena().base; }

Capacity& capacity() {
    static Capacity instance;
    return instance;
}

void* device_reserve(std::size_t bytes) {
    Arena& a = arena();
    Capacity& c = capacity();
    if (bytes > c.total - std::min(c.total, c.used)) {
        return nullptr;
    }
    const std::size_t pages = round_up(std::max<std::size_t>(bytes, 1), kPage);
    FER_ASSERT(a.used + pages + 2 * kPage <= kDeviceArena, "emulator: device addresses used up; they are never reused");
    char* const guard = a.base + a.used;
    char* const begin = guard + kPage + pages - round_up(bytes, kAlignment);
    a.used += pages + kPage;  // the guard page behind is the one before the next
    a.allocations[begin] = {begin, bytes, false};
    c.used += bytes;
    c.peak = std::max(c.peak, c.used);
    return begin;
}

void device_commit(void* p) {
    Allocation& a = arena().allocations.at(static_cast<char*>(p));
    char* const begin = first_page(a);
    const std::size_t bytes = std::max(page_bytes(a), kPage);
    const int failed = mprotect(begin, bytes, PROT_READ | PROT_WRITE);
    FER_ASSERT(failed == 0, "emulator: too many live allocations ({})", capacity().live);
    if (bytes <= kMostPoisoned) {
        std::memset(begin, kPoison, bytes);
    } else {
        std::memset(begin, kPoison, static_cast<std::size_t>(a.begin - begin));
        std::memset(a.begin + a.bytes, kPoison, static_cast<std::size_t>(begin + bytes - a.begin) - a.bytes);
    }
    protect_slack(a);
    a.live = true;
    ++capacity().live;
    if (observer != nullptr) {
        observer->becomes_undefined(a.begin, a.bytes);
    }
}

bool device_free(void* p) {
    const auto found = arena().allocations.find(static_cast<char*>(p));
    if (found == arena().allocations.end() || !found->second.live) {
        return false;
    }
    Allocation& a = found->second;
    if (arena().overrun.empty()) {
        arena().overrun = find_overrun(a);
    }
    // Gives the memory back as well: fresh pages instead of the old ones.
    void* hidden = mmap(first_page(a), std::max(page_bytes(a), kPage), PROT_NONE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
    FER_ASSERT(hidden != MAP_FAILED, "emulator: cannot take device memory back");
    a.live = false;
    capacity().used -= a.bytes;
    --capacity().live;
    return true;
}

void free_all_memory() {
    for (const auto& [begin, a] : arena().allocations) {
        if (a.live) {
            device_free(a.begin);
        }
    }
    arena().overrun.clear();
}

Allocation find_allocation(const void* p) {
    const auto& all = arena().allocations;
    const auto after = all.upper_bound(static_cast<const char*>(p));
    return after == all.begin() ? Allocation{} : std::prev(after)->second;
}

bool is_device_memory(const void* p) {
    const auto* at = static_cast<const char*>(p);
    return at >= arena().base && at < arena().base + kDeviceArena;
}

std::string describe_memory(const void* p) {
    const auto* at = static_cast<const char*>(p);
    const Allocation a = find_allocation(p);
    if (a.begin == nullptr) {
        return fmt::format("global address {}, before any allocation", p);
    }
    const std::ptrdiff_t offset = at - a.begin;
    const auto bytes = static_cast<std::ptrdiff_t>(a.bytes);
    const char* const freed = a.live ? "" : "freed ";
    if (offset < bytes) {
        return fmt::format("{}global memory of {} bytes, offset {}", freed, bytes, offset);
    }
    const auto& all = arena().allocations;
    if (const auto next = all.upper_bound(at); next != all.end() && next->first - at < offset - bytes) {
        return fmt::format("global memory {} bytes before an allocation of {} bytes", next->first - at,
                           next->second.bytes);
    }
    return fmt::format("global memory {} bytes past the end of {}an allocation of {} bytes", offset - bytes,
                       a.live ? "" : "(freed) ", bytes);
}

std::string device_overrun() {
    std::string text = std::exchange(arena().overrun, {});
    for (const auto& [begin, a] : arena().allocations) {
        if (a.live && text.empty()) {
            text = find_overrun(a);
            protect_slack(a);
        }
    }
    return text;
}

}  // namespace fer::emulated

#include "kernels/emulator/shared.hpp"

#include <sys/mman.h>

#include <cstring>
#include <vector>

#include "engine/core/error.hpp"
#include "kernels/emulator/block.hpp"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(p, n) (static_cast<void>(p), static_cast<void>(n))
#define ASAN_UNPOISON_MEMORY_REGION(p, n) (static_cast<void>(p), static_cast<void>(n))
#endif

namespace fer::emulated {

namespace {

constexpr std::size_t kRedZone = 64;
constexpr unsigned char kPoison = 0xff;  // NaN in every floating-point type

struct Variable {
    const void* key;
    char* begin;
    std::size_t bytes;
    const char* name;
};

struct Arena {
    char* base = nullptr;
    std::vector<Variable> variables;  // in the order of their addresses; the dynamic part first
    std::size_t used = 0;             // bytes of the arena that this block has touched, red zones included
    std::size_t static_bytes = 0;
};

Arena& arena() {
    static Arena instance = [] {
        void* memory = mmap(nullptr, kSharedArena, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        FER_ASSERT(memory != MAP_FAILED, "emulator: no memory for shared memory");
        Arena a;
        a.base = static_cast<char*>(memory);
        std::memset(a.base, kPoison, kSharedArena);
        return a;
    }();
    return instance;
}

void* append(Arena& a, const void* key, std::size_t bytes, std::size_t alignment, const char* name) {
    const std::size_t begin = (a.used + kRedZone + alignment - 1) / alignment * alignment;
    FER_ASSERT(begin + bytes + kRedZone <= kSharedArena, "emulator: shared memory arena exhausted");
    a.used = begin + bytes;
    a.variables.push_back({key, a.base + begin, bytes, name});
    ASAN_UNPOISON_MEMORY_REGION(a.base + begin, bytes);
    return a.base + begin;
}

}  // namespace

const char* shared_base() { return arena().base; }

void shared_block_begins(std::size_t dynamic_bytes) {
    Arena& a = arena();
    ASAN_UNPOISON_MEMORY_REGION(a.base, kSharedArena);
    std::memset(a.base, kPoison, a.used + kRedZone);
    ASAN_POISON_MEMORY_REGION(a.base, kSharedArena);
    a.variables.clear();
    a.used = a.static_bytes = 0;
    append(a, nullptr, dynamic_bytes, 128, "dynamic");
}

void* dynamic_shared() { return arena().variables.front().begin; }

void* shared_variable(const void* key, std::size_t bytes, std::size_t alignment, const char* name) {
    Arena& a = arena();
    for (const Variable& v : a.variables) {
        if (v.key == key) {
            return v.begin;
        }
    }
    a.static_bytes += bytes;
    if (a.static_bytes > kMostStaticShared) {
        FER_FAULT("{} bytes of static shared memory with '{}'; the most is {}", a.static_bytes, name,
                  kMostStaticShared);
    }
    if (a.static_bytes + a.variables.front().bytes > kMostShared) {
        FER_FAULT("{} bytes of shared memory with '{}'; a block has {}", a.static_bytes + a.variables.front().bytes,
                  name, kMostShared);
    }
    return append(a, key, bytes, alignment, name);
}

SharedRange find_shared(const void* p) {
    for (const Variable& v : arena().variables) {
        if (const SharedRange range{v.begin, v.bytes}; range.holds(p, 1)) {
            return range;
        }
    }
    return {};
}

std::string describe_shared(const void* p) {
    const auto* at = static_cast<const char*>(p);
    const Variable* before = nullptr;
    for (const Variable& v : arena().variables) {
        if (at >= v.begin) {
            before = &v;
        }
    }
    if (before == nullptr) {
        return "shared memory before its first variable";
    }
    const std::ptrdiff_t offset = at - before->begin;
    const auto bytes = static_cast<std::ptrdiff_t>(before->bytes);
    return offset < bytes ? fmt::format("shared '{}' + {} bytes", before->name, offset)
                          : fmt::format("shared memory {} bytes past '{}'", offset - bytes, before->name);
}

std::string shared_overrun() {
    Arena& a = arena();
    ASAN_UNPOISON_MEMORY_REGION(a.base, a.used + kRedZone);
    const char* from = a.base;
    const auto first_change = [&](const char* to) -> const char* {
        for (; from < to; ++from) {
            if (static_cast<unsigned char>(*from) != kPoison) {
                return from;
            }
        }
        return nullptr;
    };
    for (const Variable& v : a.variables) {
        if (const char* p = first_change(v.begin); p != nullptr) {
            return "out-of-bounds shared write: " + describe_shared(p);
        }
        from = v.begin + v.bytes;
    }
    if (const char* p = first_change(from + kRedZone); p != nullptr) {
        return "out-of-bounds shared write: " + describe_shared(p);
    }
    return {};
}

}  // namespace fer::emulated

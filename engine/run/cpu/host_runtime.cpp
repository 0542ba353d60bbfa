#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <thread>

#include "engine/core/error.hpp"
#include "engine/run/runtime.hpp"

namespace fer {
namespace {

constexpr std::size_t kAlignment = 256;

class HostWatch : public Watch {
public:
    explicit HostWatch(const void* address) : address_(address) {}
    void refresh() override { fresh_ = true; }
    const void* arrived() override { return std::exchange(fresh_, false) ? address_ : nullptr; }

private:
    const void* address_;
    bool fresh_ = false;
};

class HostRuntime : public Runtime {
public:
    void* allocate(std::int64_t bytes) override {
        const auto rounded = (static_cast<std::size_t>(bytes) + kAlignment - 1) / kAlignment * kAlignment;
        void* memory = std::aligned_alloc(kAlignment, rounded);
        if (memory == nullptr) {
            throw MemoryError(fmt::format("out of memory: {} bytes could not be allocated", bytes))
                .try_this("a smaller --batch");
        }
        std::memset(memory, 0, rounded);
        return memory;
    }
    void release(void* address) noexcept override { std::free(address); }
    bool host_memory() const override { return true; }

    void upload(void* to, const void* from, std::int64_t bytes) override { copy_bytes(to, from, bytes); }
    void download(void* to, const void* from, std::int64_t bytes) override { copy_bytes(to, from, bytes); }
    // One core does not use all of the memory's bandwidth.
    void copy(void* to, const void* from, std::int64_t bytes) override {
        constexpr std::int64_t kPart = std::int64_t{1} << 20;
#pragma omp parallel for schedule(static) if (bytes > kPart)
        for (std::int64_t at = 0; at < bytes; at += kPart) {
            copy_bytes(static_cast<char*>(to) + at, static_cast<const char*>(from) + at, std::min(kPart, bytes - at));
        }
    }
    void clear(void* address, std::int64_t bytes) override {
        if (bytes > 0) {
            std::memset(address, 0, static_cast<std::size_t>(bytes));
        }
    }
    void wait() override {}

    void* queue(int) const override { return nullptr; }
    std::unique_ptr<Recording> record(const std::function<void()>&, bool) override { return nullptr; }
    std::unique_ptr<Watch> watch(const void* address, std::int64_t) override {
        return std::make_unique<HostWatch>(address);
    }
    double seconds(const std::function<void()>& enqueue) override {
        const auto start = std::chrono::steady_clock::now();
        enqueue();
        return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    }

    std::string description() const override {
        std::string name = "CPU";
        std::ifstream info("/proc/cpuinfo");
        for (std::string line; std::getline(info, line);) {
            if (line.starts_with("model name")) {
                name = line.substr(line.find(':') + 2);
                break;
            }
        }
        return fmt::format("{}, {} threads", name, std::thread::hardware_concurrency());
    }

private:
    static void copy_bytes(void* to, const void* from, std::int64_t bytes) {
        if (bytes > 0) {
            std::memcpy(to, from, static_cast<std::size_t>(bytes));
        }
    }
};

}  // namespace

Runtime& host_runtime() {
    static HostRuntime runtime;
    return runtime;
}

}  // namespace fer

// Kernels one by one, on the layers of the networks. Each program brings its own cases (all_cases).
//
//     bench_kernels [--batch 64] [--no-trunks] [Google Benchmark's options]   measures; needs a GPU
//     bench_kernels --list                   every case with its bytes and operations; needs none
//     bench_kernels --check [--most 2]       the two smallest cases of each kernel once, on narrow networks: all there
//     is
//                                            to do on the emulated device
//         --raw                              outputs stay as allocated: for initcheck of compute-sanitizer
//         --write-hashes FILE                what exact cases gave, for another device
//         --compare-hashes FILE              fails where it gave something else
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include "bench/kernels/checks.hpp"
#include "bench/kernels/run_benchmarks.hpp"
#include "engine/core/error.hpp"
#include "kernels/port/runtime.hpp"

namespace fer::FER_PORT {
namespace {

struct Settings {
    bool list = false, check = false, trunks = true, poison = true;
    std::int64_t batch = 64;
    int most = 2;
    std::string write_hashes, compare_hashes;
};

/// Takes what it knows out of argv; the rest is Google Benchmark's.
Settings parse(int& argc, char** argv) {
    Settings s;
    int kept = 1;
    for (int i = 1; i < argc; ++i) {
        const std::string option = argv[i];
        const auto value = [&]() -> const char* {
            FER_CHECK(i + 1 < argc, "{} needs a value", option);
            return argv[++i];
        };
        if (option == "--list") {
            s.list = true;
        } else if (option == "--check") {
            s.check = true;
        } else if (option == "--no-trunks") {
            s.trunks = false;
        } else if (option == "--raw") {
            s.poison = false;
        } else if (option == "--batch") {
            s.batch = std::max(1, std::atoi(value()));
        } else if (option == "--most") {
            s.most = std::max(1, std::atoi(value()));
        } else if (option == "--write-hashes") {
            s.write_hashes = value();
        } else if (option == "--compare-hashes") {
            s.compare_hashes = value();
        } else {
            argv[kept++] = argv[i];
        }
    }
    argc = kept;
    return s;
}

int list(const std::vector<Case>& cases) {
    for (const Case& c : cases) {
        const auto bytes = c.bytes();
        std::printf("%-60s %-44s %12lld bytes %14lld flops %8.2f flops/byte\n", c.name().c_str(), c.shape.c_str(),
                    static_cast<long long>(bytes), static_cast<long long>(c.flops),
                    bytes > 0 ? static_cast<double>(c.flops) / static_cast<double>(bytes) : 0.0);
    }
    return EXIT_SUCCESS;
}

int check(const Settings& s) {
    const Layers narrow(2, 0.25f, s.trunks);
    const std::vector<Case> cases = smallest_cases(all_cases(narrow), s.most);
    const CheckResult result = check_cases(cases, s.poison);
    int failures = result.failures;
    if (!s.write_hashes.empty()) {
        write_hashes(s.write_hashes, result.hashes);
    }
    if (!s.compare_hashes.empty()) {
        for (const std::string& name : compare_hashes(s.compare_hashes, result.hashes)) {
            ++failures;
            std::printf("%s: other bits than in %s\n", name.c_str(), s.compare_hashes.c_str());
        }
    }
    std::printf("%d cases, %d of them from integers, %d failures\n", result.cases, result.exact, failures);
    return failures == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

int run(int argc, char** argv) {
    const Settings settings = parse(argc, argv);
    if (settings.list) {
        return list(all_cases(Layers(settings.batch, 1, settings.trunks)));
    }
    int devices = 0;
    if (cudaGetDeviceCount(&devices) != cudaSuccess || devices == 0) {
        std::puts(settings.check ? "no CUDA device: nothing checked" : "no CUDA device: nothing measured");
        return settings.check ? static_cast<int>(Fault::kDevice) : EXIT_SUCCESS;
    }
#if defined(FER_EMULATED)
    return check(settings);
#else
    return settings.check
               ? check(settings)
               : run_benchmarks(argc, argv, all_cases(Layers(settings.batch, 1, settings.trunks)), settings.batch);
#endif
}

}  // namespace

int run_program(int argc, char** argv) { return run(argc, argv); }

}  // namespace fer::FER_PORT

int main(int argc, char** argv) {
    try {
        return fer::port::run_program(argc, argv);
    } catch (const fer::Error& error) {
        std::fprintf(stderr, "%s\n%s\n", error.what(), error.why().c_str());
        return static_cast<int>(error.fault());
    }
}

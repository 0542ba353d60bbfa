#include "kernels/emulator/symbols.hpp"

#include <cxxabi.h>
#include <dlfcn.h>

#include <cstdint>
#include <cstdlib>
#include <map>
#include <memory>
#include <string_view>

#include "engine/core/error.hpp"

#if defined(FER_HAVE_BACKTRACE)
#include <backtrace.h>
#endif

namespace fer::emulated {

namespace {

std::string demangle(const char* symbol) {
    int status = 0;
    const std::unique_ptr<char, void (*)(void*)> text(abi::__cxa_demangle(symbol, nullptr, nullptr, &status),
                                                      std::free);
    return status == 0 ? text.get() : symbol;
}

void erase_all(std::string& text, std::string_view part) {
    for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at)) {
        text.erase(at, part.size());
    }
}

// "void fer::emulated::(anonymous namespace)::cast_kernel<float, __half>(fer::emulated::Cast)" -> "cast_kernel<float,
// __half>"
std::string shorten(std::string name) {
    for (const std::string_view part : {"fer::", "emulated::", "(anonymous namespace)::"}) {
        erase_all(name, part);
    }
    int depth = 0;
    for (std::size_t i = 0; i < name.size(); ++i) {
        depth += name[i] == '<' ? 1 : name[i] == '>' ? -1 : 0;
        if (depth == 0 && name[i] == '(') {
            name.resize(i);
            break;
        }
        if (depth == 0 && name[i] == ' ') {  // a template's return type stands in front
            name.erase(0, i + 1);
            i = static_cast<std::size_t>(-1);
        }
    }
    return name;
}

#if defined(FER_HAVE_BACKTRACE)

void ignore_error(void*, const char*, int) {}

backtrace_state* state() {
    static backtrace_state* const instance = backtrace_create_state(nullptr, 0, ignore_error, nullptr);
    return instance;
}

bool is_plumbing(std::string_view path) {
    const auto in = [path](std::string_view folder) { return path.find(folder) != std::string_view::npos; };
    return (in("kernels/port/") || in("kernels/emulator/")) && !in("tests/kernels/");
}

// Called from the innermost inlined function outwards: keeps the first line that is not the port's own.
int keep_line(void* data, std::uintptr_t, const char* file, int line, const char*) {
    auto& best = *static_cast<std::string*>(data);
    if (file == nullptr) {
        return 0;
    }
    const std::string_view path = file;
    if (best.empty() || !is_plumbing(path)) {
        best = fmt::format("{}:{}", path.substr(path.rfind('/') + 1), line);
    }
    return is_plumbing(path) ? 0 : 1;
}

void keep_symbol(void* data, std::uintptr_t, const char* symbol, std::uintptr_t, std::uintptr_t) {
    if (symbol != nullptr) {
        *static_cast<std::string*>(data) = symbol;
    }
}

std::string find_line(std::uintptr_t pc) {
    std::string line;
    backtrace_pcinfo(state(), pc, keep_line, ignore_error, &line);
    return line;
}

std::string find_symbol(const void* function) {
    std::string symbol;
    backtrace_syminfo(state(), reinterpret_cast<std::uintptr_t>(function), keep_symbol, ignore_error, &symbol);
    return symbol;
}

#else

std::string find_line(std::uintptr_t) { return {}; }
std::string find_symbol(const void* function) {
    Dl_info info{};
    return dladdr(function, &info) != 0 && info.dli_sname != nullptr ? info.dli_sname : "";
}

#endif

}  // namespace

bool has_lines() {
#if defined(FER_HAVE_BACKTRACE)
    return true;
#else
    return false;
#endif
}

std::string kernel_name(const void* function) {
    static std::map<const void*, std::string> known;
    std::string& name = known[function];
    if (name.empty()) {
        const std::string symbol = find_symbol(function);
        name = symbol.empty() ? fmt::format("kernel at {}", function) : shorten(demangle(symbol.c_str()));
    }
    return name;
}

std::string describe_code(const void* return_address) {
    const std::uintptr_t pc = reinterpret_cast<std::uintptr_t>(return_address) - 1;
    std::string line = find_line(pc);
    if (line.empty()) {
        Dl_info info{};
        dladdr(return_address, &info);
        line = fmt::format("{}+{:#x}", info.dli_fname == nullptr ? "?" : info.dli_fname,
                           pc - reinterpret_cast<std::uintptr_t>(info.dli_fbase));
    }
    return line;
}

}  // namespace fer::emulated

// A library that is looked for when it is first needed: without it a plan says so and takes something else.
#pragma once

#include <optional>
#include <string>

namespace fer::cuda {

class SharedLibrary {
public:
    /// Looks where the dynamic linker does, then in the folder of the CUDA toolkit this was built with. `variable`: an
    /// environment variable that names the file itself and goes first.
    SharedLibrary(const char* file, const char* variable);

    /// Why it cannot be used: "libcudnn.so.9 was not found (...)"; empty if it can.
    const std::optional<std::string>& missing() const { return missing_; }

    /// Fills a function pointer; a name that is not there makes the library missing.
    template <class Function>
    void bind(Function*& function, const char* name) {
        function = reinterpret_cast<Function*>(find(name));
    }

private:
    void* find(const char* name);

    std::string file_;
    void* handle_ = nullptr;
    std::optional<std::string> missing_;
};

}  // namespace fer::cuda

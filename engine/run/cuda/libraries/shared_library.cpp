#include "engine/run/cuda/libraries/shared_library.hpp"

#include <dlfcn.h>

#include <cstdlib>
#include <vector>

namespace fer::cuda {

// Never closed: its kernels may still be in flight when statics are destroyed.
SharedLibrary::SharedLibrary(const char* file, const char* variable) : file_(file) {
    const char* named = std::getenv(variable);
    std::vector<std::string> paths{file_, FER_CUDA_LIBRARIES "/" + file_};
    if (named != nullptr) {
        paths = {named};
    }
    for (const std::string& path : paths) {
        handle_ = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
        if (handle_ != nullptr) {
            return;
        }
    }
    missing_ = named != nullptr ? std::string(named) + " could not be loaded" : file_ + " was not found";
}

void* SharedLibrary::find(const char* name) {
    void* symbol = handle_ == nullptr ? nullptr : dlsym(handle_, name);
    if (symbol == nullptr && !missing_) {
        missing_ = file_ + " has no " + name;
    }
    return symbol;
}

}  // namespace fer::cuda

// What a tool that listens to NVTX is told, one line each into the file FER_NVTX_RECORD: "push NAME FLOPS BYTES
// EXTENTS" or "pop". Loaded by NVTX itself (NVTX_INJECTION64_PATH). Only the domain "fer" is written down.
#include <nvtx3/nvToolsExtPayload.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <set>
#include <string>

namespace {

struct Work {  // as engine/core/trace.hpp describes it to the tool
    std::int64_t flops, bytes, shape[4];
};

std::FILE* file() {
    static std::FILE* const opened = std::fopen(std::getenv("FER_NVTX_RECORD"), "w");
    return opened;
}

nvtxDomainHandle_t ours() { return reinterpret_cast<nvtxDomainHandle_t>(std::uintptr_t{1}); }
nvtxDomainHandle_t others() { return reinterpret_cast<nvtxDomainHandle_t>(std::uintptr_t{2}); }

nvtxDomainHandle_t NVTX_API create_domain(const char* name) {
    return std::strcmp(name, "fer") == 0 ? ours() : others();
}

nvtxStringHandle_t NVTX_API register_string(nvtxDomainHandle_t, const char* text) {
    static std::set<std::string> texts;
    return reinterpret_cast<nvtxStringHandle_t>(const_cast<char*>(texts.insert(text).first->c_str()));
}

int NVTX_API push(nvtxDomainHandle_t domain, const nvtxEventAttributes_t* event) {
    if (domain != ours()) {
        return 0;
    }
    const bool registered = event->messageType == NVTX_MESSAGE_TYPE_REGISTERED;
    std::fprintf(file(), "push %s",
                 registered ? reinterpret_cast<const char*>(event->message.registered) : "UNREGISTERED");
    if (event->payloadType == NVTX_PAYLOAD_TYPE_EXT && event->reserved0 == 1) {
        const auto* data = reinterpret_cast<const nvtxPayloadData_t*>(event->payload.ullValue);
        Work work{};
        std::memcpy(&work, data->payload, data->size == sizeof work ? sizeof work : 0);
        std::fprintf(file(), " %lld %lld", static_cast<long long>(work.flops), static_cast<long long>(work.bytes));
        for (const std::int64_t extent : work.shape) {
            std::fprintf(file(), " %lld", static_cast<long long>(extent));
        }
    }
    std::fprintf(file(), "\n");
    return 0;
}

int NVTX_API pop(nvtxDomainHandle_t domain) {
    if (domain == ours()) {
        std::fprintf(file(), "pop\n");
    }
    return 0;
}

template <class Function>
void set(NvtxFunctionTable table, unsigned which, Function function) {
    *table[which] = reinterpret_cast<NvtxFunctionPointer>(function);
}

}  // namespace

extern "C" NVTX_DYNAMIC_EXPORT int NVTX_API InitializeInjectionNvtx2(NvtxGetExportTableFunc_t export_table) {
    const auto* callbacks = static_cast<const NvtxExportTableCallbacks*>(export_table(NVTX_ETID_CALLBACKS));
    NvtxFunctionTable table = nullptr;
    unsigned size = 0;
    if (file() == nullptr || callbacks == nullptr ||
        callbacks->GetModuleFunctionTable(NVTX_CB_MODULE_CORE2, &table, &size) == 0) {
        return 0;
    }
    set(table, NVTX_CBID_CORE2_DomainCreateA, create_domain);
    set(table, NVTX_CBID_CORE2_DomainRegisterStringA, register_string);
    set(table, NVTX_CBID_CORE2_DomainRangePushEx, push);
    set(table, NVTX_CBID_CORE2_DomainRangePop, pop);
    return 1;
}

#include "engine/core/trace.hpp"

#if defined(FER_HAVE_NVTX)

#include <nvtx3/nvToolsExtPayload.h>

#include <cstddef>
#include <cstdlib>
#include <map>
#include <mutex>
#include <string_view>

namespace fer::trace {
namespace {

constexpr std::uint64_t kWorkSchema = NVTX_PAYLOAD_SCHEMA_ID_STATIC_START + 0xFE2;

nvtxPayloadSchemaEntry_t entry(const char* name, std::size_t offset) {
    nvtxPayloadSchemaEntry_t e{};
    e.type = NVTX_PAYLOAD_ENTRY_TYPE_INT64;
    e.name = name;
    e.offset = offset;
    return e;
}

/// Null: no tool listens, or FER_NVTX=0.
nvtxDomainHandle_t open_domain() {
    const char* dial = std::getenv("FER_NVTX");
    nvtxDomainHandle_t domain = dial != nullptr && std::string_view(dial) == "0" ? nullptr : nvtxDomainCreateA("fer");
    if (domain == nullptr) {
        return nullptr;
    }
    constexpr std::size_t kShape = offsetof(Work, shape);
    constexpr std::size_t kExtent = sizeof(std::int64_t);
    const nvtxPayloadSchemaEntry_t entries[] = {entry("flops", offsetof(Work, flops)),
                                                entry("bytes", offsetof(Work, bytes)),
                                                entry("shape 0", kShape),
                                                entry("shape 1", kShape + kExtent),
                                                entry("shape 2", kShape + 2 * kExtent),
                                                entry("shape 3", kShape + 3 * kExtent)};
    nvtxPayloadSchemaAttr_t schema{};
    schema.fieldMask = NVTX_PAYLOAD_SCHEMA_ATTR_FIELD_NAME | NVTX_PAYLOAD_SCHEMA_ATTR_FIELD_TYPE |
                       NVTX_PAYLOAD_SCHEMA_ATTR_FIELD_ENTRIES | NVTX_PAYLOAD_SCHEMA_ATTR_FIELD_NUM_ENTRIES |
                       NVTX_PAYLOAD_SCHEMA_ATTR_FIELD_STATIC_SIZE | NVTX_PAYLOAD_SCHEMA_ATTR_FIELD_SCHEMA_ID;
    schema.name = "fer.node";
    schema.type = NVTX_PAYLOAD_SCHEMA_TYPE_STATIC;
    schema.entries = entries;
    schema.numEntries = std::size(entries);
    schema.payloadStaticSize = sizeof(Work);
    schema.schemaId = kWorkSchema;
    nvtxPayloadSchemaRegister(domain, &schema);
    return domain;
}

nvtxDomainHandle_t domain() {
    static nvtxDomainHandle_t const opened = open_domain();
    return opened;
}

}  // namespace

Name::Name(const std::string& text) {
    if (domain() == nullptr) {
        return;
    }
    static std::mutex mutex;
    static std::map<std::string, void*> known;
    const std::lock_guard lock(mutex);
    auto [at, fresh] = known.try_emplace(text, nullptr);
    if (fresh) {
        at->second = nvtxDomainRegisterStringA(domain(), text.c_str());
    }
    handle_ = at->second;
}

Range::Range(const Name& name, const Work* work) {
    if (domain() == nullptr) {
        return;
    }
    nvtxEventAttributes_t event{};
    event.version = NVTX_VERSION;
    event.size = NVTX_EVENT_ATTRIB_STRUCT_SIZE;
    event.messageType = NVTX_MESSAGE_TYPE_REGISTERED;
    event.message.registered = static_cast<nvtxStringHandle_t>(name.handle());
    const nvtxPayloadData_t payload{kWorkSchema, sizeof(Work), work};
    if (work != nullptr) {
        event.payloadType = NVTX_PAYLOAD_TYPE_EXT;
        event.reserved0 = 1;  // payloads
        event.payload.ullValue = reinterpret_cast<std::uintptr_t>(&payload);
    }
    nvtxDomainRangePushEx(domain(), &event);
}

Range::~Range() {
    if (domain() != nullptr) {
        nvtxDomainRangePop(domain());
    }
}

}  // namespace fer::trace

#else

namespace fer::trace {

Name::Name(const std::string&) {}
Range::Range(const Name&, const Work*) {}
Range::~Range() = default;

}  // namespace fer::trace

#endif

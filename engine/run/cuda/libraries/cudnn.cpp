#include "engine/run/cuda/libraries/cudnn.hpp"

#include "engine/core/error.hpp"
#include "engine/run/cuda/libraries/lists.hpp"
#include "engine/run/cuda/libraries/shared_library.hpp"

namespace fer::cuda::cudnn {

struct Known {
    SharedLibrary shared{"libcudnn.so.9", "FER_CUDNN"};
    Api api{};
    std::optional<std::string> missing;
    Target target;

    Known() {
        shared.bind(api.version, "cudnnGetVersion");
        shared.bind(api.error_string, "cudnnGetErrorString");
        shared.bind(api.last_error_string, "cudnnGetLastErrorString");
        shared.bind(api.create, "cudnnCreate");
        shared.bind(api.set_stream, "cudnnSetStream");
        shared.bind(api.create_descriptor, "cudnnBackendCreateDescriptor");
        shared.bind(api.destroy_descriptor, "cudnnBackendDestroyDescriptor");
        shared.bind(api.set_attribute, "cudnnBackendSetAttribute");
        shared.bind(api.get_attribute, "cudnnBackendGetAttribute");
        shared.bind(api.finalize, "cudnnBackendFinalize");
        shared.bind(api.execute, "cudnnBackendExecute");
        missing = shared.missing();
        // 9.8 is the first that plans for a described device, which is how this file is tested.
        if (!missing && api.version() < 90800) {
            missing = fmt::format("cuDNN 9.8 or newer is needed, found {}.{}", api.version() / 10000,
                                  api.version() / 100 % 100);
        }
    }
};

namespace {

Known& known() {
    static Known one;
    return one;
}

const Api& api() { return known().api; }

constexpr cudnnBackendAttributeType_t kDescriptor = CUDNN_TYPE_BACKEND_DESCRIPTOR;

/// Sums in less than float32, transforms that lose digits, and atomics.
bool is_excluded(cudnnBackendNumericalNote_t note, const Arithmetic& arithmetic) {
    switch (note) {
        case CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC:
        case CUDNN_NUMERICAL_NOTE_REDUCED_PRECISION_REDUCTION:
        case CUDNN_NUMERICAL_NOTE_FFT:
        case CUDNN_NUMERICAL_NOTE_WINOGRAD:
        case CUDNN_NUMERICAL_NOTE_WINOGRAD_TILE_4x4:
        case CUDNN_NUMERICAL_NOTE_WINOGRAD_TILE_6x6:
        case CUDNN_NUMERICAL_NOTE_WINOGRAD_TILE_13x13:
            return true;
        case CUDNN_NUMERICAL_NOTE_TENSOR_CORE:
        case CUDNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS:
            return !arithmetic.tensor_cores;
        default:
            return false;
    }
}

bool is_allowed(const Descriptor& engine, const Arithmetic& arithmetic) {
    std::array<cudnnBackendNumericalNote_t, CUDNN_NUMERICAL_NOTE_TYPE_COUNT> notes{};
    const std::int64_t count =
        engine.get(CUDNN_ATTR_ENGINE_NUMERICAL_NOTE, CUDNN_TYPE_NUMERICAL_NOTE, notes.size(), notes.data());
    for (std::size_t i = 0; i < static_cast<std::size_t>(count); ++i) {
        if (is_excluded(notes[i], arithmetic)) {
            return false;
        }
    }
    return true;
}

/// The configurations that one kind of heuristics proposes, best first.
std::vector<Descriptor> proposals(const Descriptor& graph, cudnnBackendHeurMode_t mode) {
    const Target& target = Target::get();
    Descriptor heuristics(CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR);
    heuristics.set(CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, graph);
    heuristics.set(CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, 1, &mode);
    if (target.description() != nullptr) {
        heuristics.set(CUDNN_ATTR_ENGINEHEUR_DEVICEPROP, *target.description());
    }
    heuristics.finalize();
    const std::int64_t room = heuristics.get(CUDNN_ATTR_ENGINEHEUR_RESULTS, kDescriptor, 0, nullptr);
    std::vector<Descriptor> configurations;
    std::vector<cudnnBackendDescriptor_t> raw;
    for (std::int64_t i = 0; i < room; ++i) {
        raw.push_back(configurations.emplace_back(CUDNN_BACKEND_ENGINECFG_DESCRIPTOR).raw());
    }
    // Fewer than there was room for: those that do not support the graph are left out only now.
    const std::int64_t count = heuristics.get(CUDNN_ATTR_ENGINEHEUR_RESULTS, kDescriptor, room, raw.data());
    configurations.erase(configurations.begin() + count, configurations.end());
    return configurations;
}

/// Empty if the engine turns out not to support the graph.
std::optional<Engine> build(const Descriptor& configuration, std::int64_t id) {
    const Target& target = Target::get();
    Engine engine{Descriptor(CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR), id};
    engine.plan.set(CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, configuration);
    if (target.description() != nullptr) {
        engine.plan.set(CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP, *target.description());
    } else {
        const cudnnHandle_t handle = target.handle();
        engine.plan.set(CUDNN_ATTR_EXECUTION_PLAN_HANDLE, CUDNN_TYPE_HANDLE, 1, &handle);
    }
    if (api().finalize(engine.plan.raw()) != CUDNN_STATUS_SUCCESS) {
        return std::nullopt;
    }
    engine.plan.get(CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, CUDNN_TYPE_INT64, 1, &engine.workspace);
    return engine;
}

}  // namespace

void check(cudnnStatus_t status, const char* call) {
    if (status != CUDNN_STATUS_SUCCESS) {
        std::array<char, 1024> words{};
        api().last_error_string(words.data(), words.size());
        throw DeviceError(fmt::format("{}: {}", call, api().error_string(status))).because(words.data());
    }
}

Descriptor::Descriptor(cudnnBackendDescriptorType_t type) {
    cudnnBackendDescriptor_t raw = nullptr;
    check(api().create_descriptor(type, &raw), "cudnnBackendCreateDescriptor");
    raw_ = std::shared_ptr<void>(raw, [](void* d) { static_cast<void>(api().destroy_descriptor(d)); });
}

Descriptor& Descriptor::set(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, std::int64_t count,
                            const void* values) {
    check(api().set_attribute(raw(), name, type, count, values), "cudnnBackendSetAttribute");
    return *this;
}

Descriptor& Descriptor::set(cudnnBackendAttributeName_t name, const Descriptor& other) {
    cudnnBackendDescriptor_t raw = other.raw();
    return set(name, kDescriptor, 1, &raw);
}

Descriptor& Descriptor::finalize() {
    check(api().finalize(raw()), "cudnnBackendFinalize");
    return *this;
}

std::int64_t Descriptor::get(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, std::int64_t room,
                             void* values) const {
    std::int64_t count = 0;
    check(api().get_attribute(raw(), name, type, room, &count, values), "cudnnBackendGetAttribute");
    return count;
}

std::optional<std::string> Target::missing() {
    if (known().missing) {
        return known().missing;
    }
    Target& target = known().target;
    if (target.handle_ == nullptr && !target.description_) {
        int devices = 0;
        if (cudaGetDeviceCount(&devices) != cudaSuccess || devices == 0) {
            return "there is no GPU to ask cuDNN about";
        }
        if (const cudnnStatus_t status = api().create(&target.handle_); status != CUDNN_STATUS_SUCCESS) {
            target.handle_ = nullptr;
            known().missing = fmt::format("cudnnCreate: {}", api().error_string(status));
            return known().missing;
        }
    }
    return std::nullopt;
}

const Target& Target::get() {
    const std::optional<std::string> why = missing();
    FER_ASSERT(!why, "cuDNN was asked, but {}", *why);
    return known().target;
}

void Target::describe(const std::string& json) {
    if (known().missing) {
        throw DeviceError(*known().missing);
    }
    Descriptor description(CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR);
    description.set(CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION, CUDNN_TYPE_CHAR, static_cast<std::int64_t>(json.size()),
                    json.data());
    description.finalize();
    known().target.description_ = description;
}

std::vector<Engine> find_engines(const std::vector<Descriptor>& operations, const Arithmetic& arithmetic,
                                 std::size_t most) {
    std::vector<cudnnBackendDescriptor_t> raw;
    for (const Descriptor& operation : operations) {
        raw.push_back(operation.raw());
    }
    Descriptor graph(CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR);
    graph.set(CUDNN_ATTR_OPERATIONGRAPH_OPS, kDescriptor, raw);
    if (Target::get().description() == nullptr) {
        const cudnnHandle_t handle = Target::get().handle();
        graph.set(CUDNN_ATTR_OPERATIONGRAPH_HANDLE, CUDNN_TYPE_HANDLE, 1, &handle);
    }
    if (api().finalize(graph.raw()) != CUDNN_STATUS_SUCCESS) {
        return {};
    }
    std::vector<Engine> engines;
    for (const cudnnBackendHeurMode_t mode : {CUDNN_HEUR_MODE_A, CUDNN_HEUR_MODE_FALLBACK}) {
        for (const Descriptor& configuration : proposals(graph, mode)) {
            if (engines.size() == most) {
                return engines;
            }
            const Descriptor engine(CUDNN_BACKEND_ENGINE_DESCRIPTOR);
            cudnnBackendDescriptor_t slot = engine.raw();
            configuration.get(CUDNN_ATTR_ENGINECFG_ENGINE, kDescriptor, 1, &slot);
            std::int64_t id = 0;
            engine.get(CUDNN_ATTR_ENGINE_GLOBAL_INDEX, CUDNN_TYPE_INT64, 1, &id);
            if (!is_allowed(engine, arithmetic)) {
                continue;
            }
            if (std::optional<Engine> built = build(configuration, id)) {
                engines.push_back(std::move(*built));
            }
        }
    }
    return engines;
}

void execute(const Engine& engine, const std::vector<std::int64_t>& ids, const std::vector<void*>& addresses,
             void* workspace, cudaStream_t stream) {
    const cudnnHandle_t handle = Target::get().handle();
    check(api().set_stream(handle, stream), "cudnnSetStream");
    Descriptor pack(CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR);
    pack.set(CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, CUDNN_TYPE_INT64, ids);
    pack.set(CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR, addresses);
    pack.set(CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, 1, &workspace);
    pack.finalize();
    check(api().execute(handle, engine.plan.raw(), pack.raw()), "cudnnBackendExecute");
}

}  // namespace fer::cuda::cudnn

namespace fer::cuda {

void describe_gpu_to_cudnn(const std::string& json) { cudnn::Target::describe(json); }

std::string cudnn_version() {
    const cudnn::Known& known = cudnn::known();
    if (known.shared.missing()) {
        return "no cuDNN";
    }
    const std::size_t v = known.api.version();
    return fmt::format("cuDNN {}.{}.{}", v / 10000, v / 100 % 100, v % 100);
}

}  // namespace fer::cuda

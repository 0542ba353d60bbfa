// cuDNN 9 through its backend API: operation graphs of convolutions and the engines that run them.
// https://docs.nvidia.com/deeplearning/cudnn/backend/latest/api/cudnn-graph-library.html
#pragma once

#include <cuda_runtime.h>
#include <cudnn_graph.h>

#include <array>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/graph/op.hpp"

namespace fer::cuda::cudnn {

/// The functions that are used, out of the library that was found.
struct Api {
    decltype(cudnnGetVersion)* version;
    decltype(cudnnGetErrorString)* error_string;
    decltype(cudnnGetLastErrorString)* last_error_string;
    decltype(cudnnCreate)* create;
    decltype(cudnnSetStream)* set_stream;
    decltype(cudnnBackendCreateDescriptor)* create_descriptor;
    decltype(cudnnBackendDestroyDescriptor)* destroy_descriptor;
    decltype(cudnnBackendSetAttribute)* set_attribute;
    decltype(cudnnBackendGetAttribute)* get_attribute;
    decltype(cudnnBackendFinalize)* finalize;
    decltype(cudnnBackendExecute)* execute;
};

/// Throws DeviceError with the call and cuDNN's own words.
void check(cudnnStatus_t status, const char* call);

/// A backend descriptor; attributes are set, then it is finalized, then it is only read.
class Descriptor {
public:
    explicit Descriptor(cudnnBackendDescriptorType_t type);

    template <class T>
    Descriptor& set(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, const std::vector<T>& values) {
        return set(name, type, static_cast<std::int64_t>(values.size()), values.data());
    }
    Descriptor& set(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, std::int64_t count,
                    const void* values);
    Descriptor& set(cudnnBackendAttributeName_t name, const Descriptor& other);
    Descriptor& finalize();
    /// Fills `values` with up to `room` elements; returns how many there were.
    std::int64_t get(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, std::int64_t room,
                     void* values) const;
    cudnnBackendDescriptor_t raw() const { return raw_.get(); }

private:
    std::shared_ptr<void> raw_;
};

/// What an operation graph is planned for: the GPU of this process, or one that is only described.
class Target {
public:
    /// Why nothing can be planned: no library, one before 9.8, no GPU. Empty: cuDNN can be asked.
    static std::optional<std::string> missing();
    static const Target& get();
    /// From now on plans are made for a GPU described in cuDNN's JSON of device properties; they cannot be executed.
    static void describe(const std::string& json);

    cudnnHandle_t handle() const { return handle_; }
    const Descriptor* description() const { return description_ ? &*description_ : nullptr; }

private:
    friend struct Known;
    cudnnHandle_t handle_ = nullptr;
    std::optional<Descriptor> description_;
};

/// One engine with its settings, ready to run an operation graph.
struct Engine {
    Descriptor plan;
    std::int64_t id = 0;
    std::int64_t workspace = 0;
};

/// What results may differ in from a deterministic float32 sum of products of the operands as they are.
struct Arithmetic {
    bool tensor_cores = true;  // for float32 operands they round to tf32
};

/// The `most` engines that cuDNN's heuristics put first among those that are deterministic, keep to `arithmetic` and
/// add in float32; none if the graph is not supported.
std::vector<Engine> find_engines(const std::vector<Descriptor>& operations, const Arithmetic& arithmetic,
                                 std::size_t most);

/// Enqueues `engine`; tensors by their unique ids.
void execute(const Engine& engine, const std::vector<std::int64_t>& ids, const std::vector<void*>& addresses,
             void* workspace, cudaStream_t stream);

}  // namespace fer::cuda::cudnn

// Implementations out of NVIDIA's libraries. A build without their headers has lists that refuse everything.
#pragma once

#include <span>
#include <string>

#include "engine/plan/implementation.hpp"

namespace fer::cuda {

std::span<const Implementation> cudnn_conv2d();
std::span<const Implementation> cudnn_conv2d_dgrad();
std::span<const Implementation> cudnn_conv2d_wgrad();

std::span<const Implementation> cublaslt_dense();
std::span<const Implementation> cublaslt_dense_dgrad();
std::span<const Implementation> cublaslt_dense_wgrad();

/// "cuDNN 9.19.0, cuBLASLt 13.1.0.3"; "no cuDNN" where there is none.
std::string library_versions();
std::string cudnn_version();
std::string cublaslt_version();

/// From now on cuDNN plans for a GPU described in its own JSON of device properties, without needing one; nothing of
/// that can be run. DeviceError: no cuDNN, or not such a description.
void describe_gpu_to_cudnn(const std::string& json);

}  // namespace fer::cuda

// What the build has of the libraries; refusals in place of one whose headers it did not find.
#include "engine/core/error.hpp"
#include "engine/run/cuda/libraries/lists.hpp"

namespace fer::cuda {
namespace {

#if !defined(FER_HAVE_CUDNN) || !defined(FER_HAVE_CUBLASLT)
// Never called: it refuses.
Kernel none(const OpDesc&) { return {}; }
#endif

#if !defined(FER_HAVE_CUDNN)
constexpr Implementation kCudnn[] = {
    {"cudnn", [](const OpDesc&) -> Refusal { return "this build was made without cuDNN's headers"; }, nullptr, none}};
#endif
#if !defined(FER_HAVE_CUBLASLT)
constexpr Implementation kCublaslt[] = {
    {"cublaslt", [](const OpDesc&) -> Refusal { return "this build was made without cuBLASLt's headers"; }, nullptr,
     none}};
#endif

}  // namespace

std::string library_versions() { return cudnn_version() + ", " + cublaslt_version(); }

#if !defined(FER_HAVE_CUDNN)
std::string cudnn_version() { return "no cuDNN"; }
void describe_gpu_to_cudnn(const std::string&) { throw DeviceError("this build was made without cuDNN's headers"); }
std::span<const Implementation> cudnn_conv2d() { return kCudnn; }
std::span<const Implementation> cudnn_conv2d_dgrad() { return kCudnn; }
std::span<const Implementation> cudnn_conv2d_wgrad() { return kCudnn; }
#endif
#if !defined(FER_HAVE_CUBLASLT)
std::string cublaslt_version() { return "no cuBLASLt"; }
std::span<const Implementation> cublaslt_dense() { return kCublaslt; }
std::span<const Implementation> cublaslt_dense_dgrad() { return kCublaslt; }
std::span<const Implementation> cublaslt_dense_wgrad() { return kCublaslt; }
#endif

}  // namespace fer::cuda

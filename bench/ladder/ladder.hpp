// The way from a plain kernel to the one that ships, one change at a time. From small integers every rung makes the
// same bits as the first; bench_ladder measures them on the layers of the networks.
#pragma once

#include <span>

#include "kernels/conv2d.hpp"
#include "kernels/depthwise.hpp"

namespace fer::FER_PORT {

template <class Args>
struct Rung {
    const char* name;
    void (*run)(const Args&, cudaStream_t);
};

/// bf16, 3x3, stride 1, channels a multiple of 8.
std::span<const Rung<Depthwise>> depthwise_ladder();

/// Forward, bf16, 3x3, stride 1, c a multiple of 32, k of 64; no bias, residual, moments or activation.
std::span<const Rung<Conv2d>> convolution_ladder();

}  // namespace fer::FER_PORT

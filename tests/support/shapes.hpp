// Shapes to compare implementations on: the layers of the networks at a small batch, and everything awkward.
#pragma once

#include <string>
#include <vector>

#include "engine/graph/op.hpp"

namespace fer::test {

struct ConvShape {
    std::int64_t n, h, w, c, k, kernel;
    int stride = 1;
    Padding padding = Padding::kSame;

    std::string str() const {
        return fmt::format("n{}h{}w{}c{}k{}_{}x{}s{}{}", n, h, w, c, k, kernel, kernel, stride,
                           padding == Padding::kSame ? "same" : "valid");
    }
};

inline std::vector<ConvShape> conv_shapes() {
    constexpr auto kSame = Padding::kSame;
    constexpr auto kValid = Padding::kValid;
    return {
        {2, 48, 48, 1, 32, 3},                // first layer of six networks
        {1, 48, 48, 32, 64, 3},               // custom_cnn, second
        {2, 24, 24, 64, 128, 3, 1, kSame},    // custom_cnn, third
        {1, 24, 24, 128, 256, 3, 1, kValid},  // custom_cnn, fourth
        {2, 11, 11, 64, 32, 3},               // odd side
        {2, 5, 5, 64, 48, 3},                 // deeper_cnn, narrowed
        {2, 24, 24, 64, 32, 5},               // new_model, narrowed
        {1, 12, 12, 128, 128, 3},             // residual_cnn
        {2, 11, 11, 96, 64, 1, 1, kValid},    // separable_cnn, pointwise
        {1, 1, 1, 1, 1, 1},                   // smallest
        {1, 1, 1, 3, 5, 3},                   // kernel larger than the image
        {1, 2, 3, 1, 1, 5},                   //
        {3, 7, 13, 5, 17, 3},                 // primes
        {1, 13, 7, 17, 5, 2, 2, kSame},       //
        {2, 8, 7, 3, 32, 3, 2, kSame},        // stride 2, even by odd: the padding differs by side
        {2, 7, 8, 3, 32, 3, 2, kValid},       // a row is left over
        {1, 9, 9, 32, 16, 5, 2, kSame},       //
        {2, 10, 6, 17, 3, 5, 1, kValid},      //
        {1, 15, 15, 3, 64, 7, 2, kSame},      // stem of the large networks
        {2, 6, 6, 5, 7, 1, 2, kValid},        // kernel smaller than the stride
        {1, 9, 11, 1, 3, 2, 3, kSame},        //
        {5, 4, 4, 33, 31, 3},                 // one off a vector
    };
}

struct PoolShape {
    Shape x;
    int window, stride;
    Padding padding;

    std::string str() const {
        return fmt::format("{} window {} stride {} {}", x.str(), window, stride,
                           padding == Padding::kSame ? "same" : "valid");
    }
};

inline std::vector<PoolShape> pool_shapes() {
    constexpr auto kSame = Padding::kSame;
    constexpr auto kValid = Padding::kValid;
    return {
        {{2, 48, 48, 64}, 2, 2, kValid}, {{2, 22, 22, 32}, 2, 2, kValid}, {{2, 11, 11, 48}, 2, 2, kValid},
        {{1, 5, 5, 16}, 2, 2, kValid},   {{1, 2, 2, 1}, 2, 2, kValid},    {{2, 5, 7, 3}, 2, 2, kValid},
        {{3, 7, 5, 17}, 2, 2, kSame},    {{1, 3, 3, 5}, 3, 2, kSame},     {{2, 9, 8, 3}, 3, 2, kValid},
        {{2, 8, 9, 32}, 3, 2, kSame},    {{1, 6, 6, 1}, 3, 1, kSame},     {{2, 7, 7, 5}, 3, 1, kValid},
        {{1, 1, 1, 3}, 2, 2, kSame},     {{1, 1, 1, 8}, 1, 1, kValid},    {{2, 13, 11, 33}, 2, 1, kSame},
        {{1, 10, 10, 2}, 2, 3, kSame},   {{1, 10, 10, 2}, 2, 3, kValid},  {{1, 12, 12, 4}, 5, 5, kValid},
        {{1, 11, 4, 7}, 4, 2, kSame},    {{2, 24, 24, 8}, 3, 3, kSame},   {{1, 112, 16, 4}, 3, 2, kValid},
    };
}

/// (batch, features, units)
inline std::vector<Shape> dense_shapes() {
    return {{6, 2048, 96}, {2, 3200, 128}, {6, 1024, 7}, {6, 512, 7},   {1, 1, 1},   {1, 5, 3},    {3, 17, 5},
            {7, 1, 13},    {13, 7, 1},     {64, 33, 31}, {1, 256, 512}, {2, 64, 64}, {5, 127, 3},  {31, 2, 2},
            {1, 1000, 1},  {16, 16, 16},   {3, 3, 100},  {11, 48, 49},  {8, 129, 8}, {2, 4608, 16}};
}

inline std::vector<Shape> batch_norm_shapes() {
    return {{2, 48, 48, 64}, {2, 24, 24, 32}, {1, 11, 11, 48}, {3, 5, 5, 17}, {6, 256},     {6, 512},      {2, 1, 1, 3},
            {1, 1, 2, 5},    {7, 3},          {64, 33},        {2, 9, 7, 1},  {1, 6, 6, 8}, {5, 2, 2, 31}, {13, 1},
            {2, 3, 5, 7},    {1, 13, 13, 16}, {4, 4, 4, 4},    {3, 100},      {2, 2, 2, 2}, {1, 17, 3, 96}};
}

}  // namespace fer::test

#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <initializer_list>
#include <string>

#include "engine/core/error.hpp"

namespace fer {

/// Up to four extents, outermost first: images are (n, h, w, c), weights (kh, kw, in, out), vectors (n, c), scalars ().
class Shape {
public:
    static constexpr int kMaxRank = 4;

    Shape() = default;
    Shape(std::initializer_list<std::int64_t> extents) {
        FER_CHECK(extents.size() <= kMaxRank, "a shape has at most {} axes", kMaxRank);
        std::copy(extents.begin(), extents.end(), extents_.begin());
        rank_ = static_cast<int>(extents.size());
    }

    int rank() const { return rank_; }
    std::int64_t operator[](int axis) const { return extents_[static_cast<std::size_t>(axis)]; }
    std::int64_t& operator[](int axis) { return extents_[static_cast<std::size_t>(axis)]; }
    std::int64_t back() const { return (*this)[rank_ - 1]; }

    void push_back(std::int64_t extent) {
        FER_CHECK(rank_ < kMaxRank, "a shape has at most {} axes", kMaxRank);
        extents_[static_cast<std::size_t>(rank_++)] = extent;
    }

    /// Elements; 1 for a scalar.
    std::int64_t count() const {
        std::int64_t n = 1;
        for (int i = 0; i < rank_; ++i) {
            n *= (*this)[i];
        }
        return n;
    }

    bool operator==(const Shape&) const = default;

    /// "(64, 48, 48, 1)"; "(7,)"; "()"
    std::string str() const {
        std::string text = "(";
        for (int i = 0; i < rank_; ++i) {
            text += fmt::format("{}{}", i > 0 ? ", " : "", (*this)[i]);
        }
        return text + (rank_ == 1 ? ",)" : ")");
    }

private:
    int rank_ = 0;
    std::array<std::int64_t, kMaxRank> extents_{};
};

}  // namespace fer

#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace fer {

/// Element types. kF64 exists on the CPU reference only, for gradient checks.
enum class DType : std::uint8_t { kF32, kF64, kF16, kBF16, kU8, kI32, kI64 };

constexpr std::size_t size_of(DType t) {
    switch (t) {
        case DType::kF64:
        case DType::kI64:
            return 8;
        case DType::kF32:
        case DType::kI32:
            return 4;
        case DType::kF16:
        case DType::kBF16:
            return 2;
        case DType::kU8:
            return 1;
    }
    return 0;
}

constexpr std::string_view name_of(DType t) {
    switch (t) {
        case DType::kF32:
            return "f32";
        case DType::kF64:
            return "f64";
        case DType::kF16:
            return "f16";
        case DType::kBF16:
            return "bf16";
        case DType::kU8:
            return "u8";
        case DType::kI32:
            return "i32";
        case DType::kI64:
            return "i64";
    }
    return "?";
}

template <class T>
struct DTypeOf;
template <>
struct DTypeOf<float> {
    static constexpr DType value = DType::kF32;
};
template <>
struct DTypeOf<double> {
    static constexpr DType value = DType::kF64;
};
template <>
struct DTypeOf<std::uint8_t> {
    static constexpr DType value = DType::kU8;
};
template <>
struct DTypeOf<std::int32_t> {
    static constexpr DType value = DType::kI32;
};
template <>
struct DTypeOf<std::int64_t> {
    static constexpr DType value = DType::kI64;
};

}  // namespace fer

// ONNX files, as much of them as image classifiers need, in protobuf's wire format.
// https://github.com/onnx/onnx/blob/main/onnx/onnx.proto; field numbers are those of IR version 8, opset 17.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace fer {

inline constexpr std::int64_t kOnnxOpset = 17;
inline constexpr std::int64_t kOnnxIrVersion = 8;

/// float32, or int64 where `ints` is not empty.
struct OnnxTensor {
    std::string name;
    std::vector<std::int64_t> dims;
    std::vector<float> floats;
    std::vector<std::int64_t> ints;
};

struct OnnxAttribute {
    enum class Type : std::uint8_t { kFloat = 1, kInt = 2, kText = 3, kInts = 7 };
    std::string name;
    Type type = Type::kInt;
    float real = 0;
    std::int64_t whole = 0;
    std::string text = {};
    std::vector<std::int64_t> list = {};
};

struct OnnxNode {
    std::string op, name;
    std::vector<std::string> inputs, outputs;
    std::vector<OnnxAttribute> attributes;
};

/// A float32 tensor from or to outside. Minus one is an open extent.
struct OnnxValue {
    std::string name;
    std::vector<std::int64_t> dims;
};

struct OnnxModel {
    std::string name;
    std::vector<OnnxNode> nodes;
    std::vector<OnnxTensor> initializers;
    OnnxValue input, output;
    std::map<std::string, std::string> metadata;
    std::int64_t opset = kOnnxOpset;
};

/// The bytes of the file; an open extent is named "N".
std::string onnx_bytes(const OnnxModel& model);

/// Reads what onnx_bytes() writes, and files like it. Everything is checked against the bytes that are there: DataError
/// for a field that reaches past the end, tensors of other types, more than one input or output, nesting that is not
/// ONNX's.
OnnxModel parse_onnx(std::string_view bytes, const std::string& name);

}  // namespace fer

#include "engine/formats/onnx.hpp"

#include <cstring>

#include "engine/core/error.hpp"

namespace fer {
namespace {

enum Wire : unsigned { kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5 };
enum Type : std::int64_t { kFloat = 1, kInt64 = 7 };

/// One message being written.
class Message {
public:
    void whole(unsigned field, std::int64_t value) {
        varint(field << 3 | kVarint);
        varint(static_cast<std::uint64_t>(value));
    }
    void real(unsigned field, float value) {
        varint(field << 3 | kFixed32);
        append(&value, sizeof value);
    }
    void text(unsigned field, std::string_view value) {
        varint(field << 3 | kBytes);
        varint(value.size());
        bytes_.append(value);
    }
    void raw(unsigned field, const void* data, std::size_t count) {
        varint(field << 3 | kBytes);
        varint(count);
        append(data, count);
    }
    void message(unsigned field, const Message& inner) { text(field, inner.bytes_); }
    const std::string& bytes() const { return bytes_; }

private:
    void varint(std::uint64_t value) {
        for (; value >= 0x80; value >>= 7) {
            bytes_ += static_cast<char>(value | 0x80);
        }
        bytes_ += static_cast<char>(value);
    }
    void append(const void* data, std::size_t count) { bytes_.append(static_cast<const char*>(data), count); }

    std::string bytes_;
};

Message tensor_message(const OnnxTensor& tensor) {
    Message m;
    for (const std::int64_t extent : tensor.dims) {
        m.whole(1, extent);
    }
    m.whole(2, tensor.ints.empty() ? kFloat : kInt64);
    m.text(8, tensor.name);
    if (tensor.ints.empty()) {
        m.raw(9, tensor.floats.data(), tensor.floats.size() * sizeof(float));
    } else {
        m.raw(9, tensor.ints.data(), tensor.ints.size() * sizeof(std::int64_t));
    }
    return m;
}

Message attribute_message(const OnnxAttribute& attribute) {
    Message m;
    m.text(1, attribute.name);
    switch (attribute.type) {
        case OnnxAttribute::Type::kFloat:
            m.real(2, attribute.real);
            break;
        case OnnxAttribute::Type::kInt:
            m.whole(3, attribute.whole);
            break;
        case OnnxAttribute::Type::kText:
            m.text(4, attribute.text);
            break;
        case OnnxAttribute::Type::kInts:
            for (const std::int64_t value : attribute.list) {
                m.whole(8, value);
            }
            break;
    }
    m.whole(20, static_cast<std::int64_t>(attribute.type));
    return m;
}

Message node_message(const OnnxNode& node) {
    Message m;
    for (const std::string& name : node.inputs) {
        m.text(1, name);
    }
    for (const std::string& name : node.outputs) {
        m.text(2, name);
    }
    m.text(3, node.name);
    m.text(4, node.op);
    for (const OnnxAttribute& attribute : node.attributes) {
        m.message(5, attribute_message(attribute));
    }
    return m;
}

Message value_message(const OnnxValue& value) {
    Message shape;
    for (const std::int64_t extent : value.dims) {
        Message dim;
        if (extent < 0) {
            dim.text(2, "N");
        } else {
            dim.whole(1, extent);
        }
        shape.message(1, dim);
    }
    Message tensor;
    tensor.whole(1, kFloat);
    tensor.message(2, shape);
    Message type;
    type.message(1, tensor);
    Message m;
    m.text(1, value.name);
    m.message(2, type);
    return m;
}

/// The fields of one message, one after another.
class Reader {
public:
    Reader(std::string_view bytes, const std::string& file) : bytes_(bytes), file_(file) {}

    unsigned field = 0;
    std::int64_t whole = 0;
    float real = 0;
    std::string_view text;
    Wire wire = kVarint;

    bool next() {
        if (at_ == bytes_.size()) {
            return false;
        }
        const std::uint64_t key = varint();
        field = static_cast<unsigned>(key >> 3);
        wire = static_cast<Wire>(key & 7);
        switch (wire) {
            case kVarint:
                whole = static_cast<std::int64_t>(varint());
                break;
            case kFixed64:
                take(8);
                break;
            case kBytes:
                text = take(varint());
                break;
            case kFixed32:
                std::memcpy(&real, take(4).data(), sizeof real);
                break;
            default:
                fail("it has a field of an unknown kind");
        }
        return true;
    }
    std::string_view message(const char* what) const {
        if (wire != kBytes) {
            fail(fmt::format("its {} is of another kind", what));
        }
        return text;
    }
    [[noreturn]] void fail(const std::string& why) const {
        throw DataError(fmt::format("{} is not a usable ONNX file", file_)).because(why);
    }
    const std::string& file() const { return file_; }

private:
    std::uint64_t varint() {
        std::uint64_t value = 0;
        for (unsigned shift = 0; shift < 64; shift += 7) {
            const auto byte = static_cast<unsigned char>(take(1)[0]);
            value |= static_cast<std::uint64_t>(byte & 0x7f) << shift;
            if (byte < 0x80) {
                return value;
            }
        }
        fail("it has an endless number");
    }
    std::string_view take(std::uint64_t count) {
        if (count > bytes_.size() - at_) {
            fail("a field reaches past its end: it is truncated or damaged");
        }
        const std::string_view part = bytes_.substr(at_, count);
        at_ += count;
        return part;
    }

    std::string_view bytes_;
    std::string file_;
    std::size_t at_ = 0;
};

template <class T>
std::vector<T> copied(std::string_view bytes) {
    std::vector<T> values(bytes.size() / sizeof(T));
    std::memcpy(values.data(), bytes.data(), values.size() * sizeof(T));
    return values;
}

OnnxTensor read_tensor(Reader r) {
    OnnxTensor tensor;
    std::int64_t type = 0;
    std::string_view raw;
    while (r.next()) {
        if (r.field == 1) {
            tensor.dims.push_back(r.whole);
        } else if (r.field == 2) {
            type = r.whole;
        } else if (r.field == 8) {
            tensor.name = r.message("name");
        } else if (r.field == 9) {
            raw = r.message("data");
        }
    }
    std::uint64_t bytes = type == kInt64 ? sizeof(std::int64_t) : sizeof(float);
    for (const std::int64_t extent : tensor.dims) {
        if (extent < 0 || __builtin_mul_overflow(bytes, static_cast<std::uint64_t>(extent), &bytes)) {
            r.fail(fmt::format("the tensor '{}' has an impossible shape", tensor.name));
        }
    }
    if ((type != kFloat && type != kInt64) || raw.size() != bytes) {
        r.fail(fmt::format("the tensor '{}' is not stored as raw float32 or int64", tensor.name));
    }
    if (type == kFloat) {
        tensor.floats = copied<float>(raw);
    } else {
        tensor.ints = copied<std::int64_t>(raw);
    }
    return tensor;
}

OnnxAttribute read_attribute(Reader r) {
    OnnxAttribute attribute;
    while (r.next()) {
        if (r.field == 1) {
            attribute.name = r.message("attribute");
        } else if (r.field == 2) {
            attribute.real = r.real;
        } else if (r.field == 3) {
            attribute.whole = r.whole;
        } else if (r.field == 4) {
            attribute.text = r.message("attribute");
        } else if (r.field == 8) {
            attribute.list.push_back(r.whole);
        } else if (r.field == 20) {
            attribute.type = static_cast<OnnxAttribute::Type>(r.whole);
        }
    }
    return attribute;
}

OnnxNode read_node(Reader r) {
    OnnxNode node;
    while (r.next()) {
        switch (r.field) {
            case 1:
                node.inputs.emplace_back(r.message("node"));
                break;
            case 2:
                node.outputs.emplace_back(r.message("node"));
                break;
            case 3:
                node.name = r.message("node");
                break;
            case 4:
                node.op = r.message("node");
                break;
            case 5:
                node.attributes.push_back(read_attribute({r.message("attribute"), r.file()}));
                break;
            default:
                break;
        }
    }
    return node;
}

/// The extents of a ValueInfoProto: type, tensor type, shape, dimension, value.
void read_dims(Reader r, int depth, std::vector<std::int64_t>& dims) {
    constexpr unsigned kPath[] = {2, 1, 2, 1};
    if (depth == 4) {
        std::int64_t extent = -1;
        while (r.next()) {
            extent = r.field == 1 ? r.whole : extent;
        }
        dims.push_back(extent);
        return;
    }
    while (r.next()) {
        if (r.field == kPath[depth] && r.wire == kBytes) {
            read_dims({r.text, r.file()}, depth + 1, dims);
        }
    }
}

OnnxValue read_value(std::string_view bytes, const std::string& file) {
    OnnxValue value;
    for (Reader r(bytes, file); r.next();) {
        if (r.field == 1) {
            value.name = r.message("input");
        }
    }
    read_dims({bytes, file}, 0, value.dims);
    return value;
}

void read_graph(Reader r, OnnxModel& model) {
    int inputs = 0;
    int outputs = 0;
    while (r.next()) {
        switch (r.field) {
            case 1:
                model.nodes.push_back(read_node({r.message("node"), r.file()}));
                break;
            case 2:
                model.name = r.message("name");
                break;
            case 5:
                model.initializers.push_back(read_tensor({r.message("tensor"), r.file()}));
                break;
            case 11:
                model.input = read_value(r.message("input"), r.file());
                ++inputs;
                break;
            case 12:
                model.output = read_value(r.message("output"), r.file());
                ++outputs;
                break;
            default:
                break;
        }
    }
    if (inputs != 1 || outputs != 1) {
        r.fail(fmt::format("it has {} inputs and {} outputs", inputs, outputs));
    }
}

}  // namespace

std::string onnx_bytes(const OnnxModel& model) {
    Message graph;
    for (const OnnxNode& node : model.nodes) {
        graph.message(1, node_message(node));
    }
    graph.text(2, model.name);
    for (const OnnxTensor& tensor : model.initializers) {
        graph.message(5, tensor_message(tensor));
    }
    graph.message(11, value_message(model.input));
    graph.message(12, value_message(model.output));
    Message opset;
    opset.text(1, "");
    opset.whole(2, model.opset);
    Message file;
    file.whole(1, kOnnxIrVersion);
    file.text(2, "fer");
    file.text(3, FER_VERSION);
    file.message(8, opset);
    file.message(7, graph);
    for (const auto& [key, value] : model.metadata) {
        Message entry;
        entry.text(1, key);
        entry.text(2, value);
        file.message(14, entry);
    }
    return file.bytes();
}

OnnxModel parse_onnx(std::string_view bytes, const std::string& name) {
    OnnxModel model;
    bool graph = false;
    Reader r(bytes, name);
    while (r.next()) {
        if (r.field == 7) {
            read_graph({r.message("graph"), name}, model);
            graph = true;
        } else if (r.field == 8) {
            for (Reader opset(r.message("opset"), name); opset.next();) {
                model.opset = opset.field == 2 ? opset.whole : model.opset;
            }
        } else if (r.field == 14) {
            std::string key, value;
            for (Reader entry(r.message("metadata"), name); entry.next();) {
                (entry.field == 1 ? key : value) = entry.message("metadata");
            }
            model.metadata[key] = value;
        }
    }
    if (!graph) {
        r.fail("it has no graph");
    }
    return model;
}

}  // namespace fer

#include "engine/formats/safetensors.hpp"

#include <zlib.h>

#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>
#include <set>

#include "engine/core/file.hpp"

namespace fer {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::size_t kHeaderLimit = 8u << 20;
constexpr const char* kChecksum = "fer.crc32";

struct TypeName {
    DType dtype;
    const char* name;
};
constexpr TypeName kTypes[] = {{DType::kF64, "F64"},   {DType::kI64, "I64"}, {DType::kF32, "F32"}, {DType::kI32, "I32"},
                               {DType::kBF16, "BF16"}, {DType::kF16, "F16"}, {DType::kU8, "U8"}};

std::uint32_t crc32_of(std::uint32_t crc, const void* data, std::size_t count) {
    if (count == 0) {
        return crc;  // zlib starts anew when the address is null, as that of an empty tensor may be
    }
    return static_cast<std::uint32_t>(::crc32_z(crc, static_cast<const Bytef*>(data), count));
}

const char* type_name(DType dtype) { return std::ranges::find(kTypes, dtype, &TypeName::dtype)->name; }

/// What a file that is no safetensors file looks like.
std::string looks_like(std::string_view bytes) {
    if (bytes.empty()) {
        return "it is empty";
    }
    if (bytes.starts_with("version https://git-lfs")) {
        return "it is a Git LFS pointer: the repository's large files were not pulled";
    }
    if (bytes.starts_with("\x89HDF")) {
        return "it is an HDF5 file (Keras weights?)";
    }
    if (bytes.starts_with("PK")) {
        return "it is a zip archive";
    }
    if (bytes.starts_with("<")) {
        return "it looks like an HTML page";
    }
    return "its header length is impossible";
}

/// SAX handler that only looks for duplicate keys and too deep nesting.
struct KeyGuard : nlohmann::json_sax<nlohmann::json> {
    std::vector<std::set<std::string>> open;
    std::string problem;

    bool key(string_t& name) override {
        if (!open.back().insert(name).second) {
            problem = fmt::format("key '{}' appears twice in the header", name);
        }
        return problem.empty();
    }
    bool start_object(std::size_t) override {
        open.emplace_back();
        if (open.size() > 8) {
            problem = "the header is nested too deeply";
        }
        return problem.empty();
    }
    bool end_object() override {
        open.pop_back();
        return true;
    }
    bool null() override { return true; }
    bool boolean(bool) override { return true; }
    bool number_integer(number_integer_t) override { return true; }
    bool number_unsigned(number_unsigned_t) override { return true; }
    bool number_float(number_float_t, const string_t&) override { return true; }
    bool string(string_t&) override { return true; }
    bool binary(binary_t&) override { return true; }
    bool start_array(std::size_t) override { return true; }
    bool end_array() override { return true; }
    bool parse_error(std::size_t, const std::string&, const nlohmann::detail::exception& e) override {
        problem = fmt::format("the header is not JSON: {}", e.what());
        return false;
    }
};

}  // namespace

void write_safetensors(const std::filesystem::path& path, std::span<const TensorView> tensors,
                       std::map<std::string, std::string> metadata) {
    std::vector<const TensorView*> order;
    for (const TensorView& t : tensors) {
        order.push_back(&t);
    }
    std::ranges::sort(order, [](const TensorView* a, const TensorView* b) {
        return std::pair(-static_cast<int>(size_of(a->dtype)), std::string_view(a->name)) <
               std::pair(-static_cast<int>(size_of(b->dtype)), std::string_view(b->name));
    });
    Json header;
    std::uint32_t crc = 0;
    std::size_t offset = 0;
    for (const TensorView* t : order) {
        const std::size_t bytes = static_cast<std::size_t>(t->shape.count()) * size_of(t->dtype);
        crc = crc32_of(crc, t->data, bytes);
        Json shape = Json::array();
        for (int i = 0; i < t->shape.rank(); ++i) {
            shape.push_back(t->shape[i]);
        }
        header[t->name] = {
            {"dtype", type_name(t->dtype)}, {"shape", shape}, {"data_offsets", {offset, offset + bytes}}};
        offset += bytes;
    }
    metadata[kChecksum] = fmt::format("{:08x}", crc);
    header["__metadata__"] = metadata;
    std::string text = header.dump();
    text.append((8 - text.size() % 8) % 8, ' ');

    AtomicFile file(path);
    const std::uint64_t length = text.size();
    file.write(&length, sizeof length);
    file.write(text);
    for (const TensorView* t : order) {
        file.write(t->data, static_cast<std::size_t>(t->shape.count()) * size_of(t->dtype));
    }
    file.commit();
}

SafetensorsFile::SafetensorsFile(const std::filesystem::path& path) : name_(path.string()) {
    const auto file = std::make_shared<const MappedFile>(path);
    storage_.push_back(file);
    bytes_ = file->bytes();
    parse();
}

SafetensorsFile::SafetensorsFile(std::string bytes, const std::string& name) : name_(name) {
    const auto text = std::make_shared<const std::string>(std::move(bytes));
    storage_.push_back(text);
    bytes_ = *text;
    parse();
}

void SafetensorsFile::fail(const std::string& why) const {
    throw DataError(fmt::format("{} is not a usable safetensors file", name_)).because(why);
}

const SafetensorsFile::Entry* SafetensorsFile::find(std::string_view name) const {
    const auto found = std::ranges::find(entries_, name, &Entry::name);
    return found == entries_.end() ? nullptr : &*found;
}

void SafetensorsFile::parse() {
    std::uint64_t length = 0;
    if (bytes_.size() < sizeof length) {
        fail(bytes_.empty() ? looks_like(bytes_) : "it is shorter than its header length");
    }
    std::memcpy(&length, bytes_.data(), sizeof length);
    if (length > kHeaderLimit || length > bytes_.size() - sizeof length) {
        fail(length <= kHeaderLimit ? "it is truncated inside its header" : looks_like(bytes_));
    }
    const std::string_view text(bytes_.data() + sizeof length, length);
    if (!text.starts_with("{")) {
        fail("its header does not start with '{'");
    }
    data_begin_ = sizeof length + length;
    KeyGuard guard;
    if (!nlohmann::json::sax_parse(text, &guard) || !guard.problem.empty()) {
        fail(guard.problem);
    }
    const nlohmann::json header = nlohmann::json::parse(text, nullptr, false);
    for (const auto& [tensor, value] : header.items()) {
        if (tensor != "__metadata__") {
            parse_entry(tensor, &value);
            continue;
        }
        if (!value.is_object()) {
            fail("its metadata is not an object");
        }
        for (const auto& [key, item] : value.items()) {
            if (!item.is_string()) {
                fail(fmt::format("metadata '{}' is not a string", key));
            }
            metadata_[key] = item.get<std::string>();
        }
    }
    check_coverage();
    for (Entry& entry : entries_) {
        align(entry);
    }
}

void SafetensorsFile::align(Entry& entry) {
    entry.address = bytes_.data() + data_begin_ + entry.begin;
    if (reinterpret_cast<std::uintptr_t>(entry.address) % size_of(entry.dtype) != 0) {
        const auto copy =
            std::make_shared<std::vector<std::max_align_t>>((entry.end - entry.begin) / sizeof(std::max_align_t) + 1);
        std::memcpy(copy->data(), entry.address, entry.end - entry.begin);
        entry.address = reinterpret_cast<const char*>(copy->data());
        storage_.push_back(copy);
    }
}

void SafetensorsFile::parse_entry(const std::string& tensor, const void* json) {
    const auto& value = *static_cast<const nlohmann::json*>(json);
    if (!value.is_object() || !value.contains("dtype") || !value["dtype"].is_string() || !value.contains("shape") ||
        !value["shape"].is_array() || !value.contains("data_offsets") || !value["data_offsets"].is_array() ||
        value["data_offsets"].size() != 2) {
        fail(fmt::format("tensor '{}' lacks dtype, shape or data_offsets", tensor));
    }
    const auto type = std::ranges::find_if(kTypes, [&](const TypeName& t) { return value["dtype"] == t.name; });
    if (type == std::end(kTypes)) {
        fail(fmt::format("tensor '{}' has the unsupported type {}", tensor, value["dtype"].dump()));
    }
    Entry entry{.name = tensor, .dtype = type->dtype, .shape = {}};
    std::size_t count = 1;
    for (const auto& extent : value["shape"]) {
        if (!extent.is_number_unsigned() || entry.shape.rank() == Shape::kMaxRank ||
            __builtin_mul_overflow(count, extent.get<std::size_t>(), &count) || count > bytes_.size()) {
            fail(fmt::format("tensor '{}' has the impossible shape {}", tensor, value["shape"].dump()));
        }
        entry.shape.push_back(extent.get<std::int64_t>());
    }
    const auto& offsets = value["data_offsets"];
    if (!offsets[0].is_number_unsigned() || !offsets[1].is_number_unsigned()) {
        fail(fmt::format("tensor '{}' has impossible offsets", tensor));
    }
    entry.begin = offsets[0];
    entry.end = offsets[1];
    if (entry.begin > entry.end || entry.end > bytes_.size() - data_begin_ ||
        entry.end - entry.begin != count * size_of(entry.dtype)) {
        fail(fmt::format("tensor '{}' does not lie in the file: bytes {} to {} of {}", tensor, entry.begin, entry.end,
                         bytes_.size() - data_begin_));
    }
    entries_.push_back(std::move(entry));
}

void SafetensorsFile::check_coverage() const {
    std::vector<const Entry*> order;
    for (const Entry& entry : entries_) {
        order.push_back(&entry);
    }
    std::ranges::sort(order, [](const Entry* a, const Entry* b) {
        return std::pair(a->begin, a->end) < std::pair(b->begin, b->end);
    });
    std::size_t end = 0;
    for (const Entry* entry : order) {
        if (entry->begin != end) {
            fail(fmt::format("tensor '{}' begins at {}, the one before it ends at {}", entry->name, entry->begin, end));
        }
        end = entry->end;
    }
    if (end != bytes_.size() - data_begin_) {
        fail(fmt::format("{} bytes of data, the header describes {}", bytes_.size() - data_begin_, end));
    }
    const auto stored = metadata_.find(kChecksum);
    if (stored != metadata_.end()) {
        const std::string found = fmt::format("{:08x}", crc32_of(0, bytes_.data() + data_begin_, end));
        if (found != stored->second) {
            fail(fmt::format("its checksum is {}, the file says {}: the data is damaged", found, stored->second));
        }
    }
}

}  // namespace fer

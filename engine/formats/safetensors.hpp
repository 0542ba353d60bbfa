// safetensors: u64 little-endian header length, a JSON header, then the raw tensors without gaps.
// https://github.com/huggingface/safetensors (format section of its README)
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/core/dtype.hpp"
#include "engine/core/shape.hpp"

namespace fer {

/// One tensor to be written; the bytes stay the caller's.
struct TensorView {
    std::string name;
    DType dtype = DType::kF32;
    Shape shape;
    const void* data = nullptr;
};

/// Writes atomically (AtomicFile). A CRC-32 of the data goes into the metadata as "fer.crc32" and is checked on load.
/// Tensors are stored largest element size first, then by name. Throws OutputError.
void write_safetensors(const std::filesystem::path& path, std::span<const TensorView> tensors,
                       std::map<std::string, std::string> metadata);

/// A file mapped into memory, checked whole before anything is handed out: header length, JSON, known types, products
/// without overflow, offsets that cover the data exactly once, and the checksum of all data where there is one (files
/// of fer have it; those of others are checked in all else). No tensor is copied but those that a foreign file begins
/// at addresses their type does not allow. Copies of this share the mapping; they must not outlive the file's contents
/// (MappedFile).
class SafetensorsFile {
public:
    struct Entry {
        std::string name;
        DType dtype = DType::kF32;
        Shape shape;
        std::size_t begin = 0, end = 0;  // in the data
        const char* address = nullptr;   // as aligned as the type wants
    };

    /// Throws DataError naming the file and, where one is to blame, the tensor.
    explicit SafetensorsFile(const std::filesystem::path& path);
    /// The same from bytes; `name` stands for the path in messages.
    SafetensorsFile(std::string bytes, const std::string& name);

    const std::vector<Entry>& entries() const { return entries_; }
    const std::map<std::string, std::string>& metadata() const { return metadata_; }
    const Entry* find(std::string_view name) const;
    static const char* data(const Entry& entry) { return entry.address; }

    template <class T>
    std::span<const T> get(std::string_view name) const {
        const Entry* entry = find(name);
        FER_CHECK(entry != nullptr, "{} has no tensor '{}'", name_, name);
        FER_CHECK(entry->dtype == DTypeOf<T>::value, "'{}' in {} is {}", name, name_, name_of(entry->dtype));
        return {reinterpret_cast<const T*>(data(*entry)), (entry->end - entry->begin) / sizeof(T)};
    }

private:
    void parse();
    void parse_entry(const std::string& tensor, const void* json);
    void check_coverage() const;
    void align(Entry& entry);
    [[noreturn]] void fail(const std::string& why) const;

    std::vector<std::shared_ptr<const void>> storage_;  // of the bytes, and of what had to be copied
    std::string_view bytes_;
    std::string name_;
    std::size_t data_begin_ = 0;
    std::vector<Entry> entries_;  // by offset
    std::map<std::string, std::string> metadata_;
};

}  // namespace fer

// The Kaggle layout train/<class>/*, test/<class>/*, found in a plain list of paths and put in Keras's order.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "engine/data/gather.hpp"

namespace fer {

/// One file or folder below the root of a source, '/' between parts, relative, without "." and "..".
struct Item {
    std::string path;
    bool is_folder = false;
    std::uint64_t size = 0;
    std::uint64_t stamp = 0;  // whatever changes when the content does
    std::size_t index = 0;    // how the source finds it again
};

struct Layout {
    std::vector<std::string> classes;
    std::vector<Slot> slots;           // in data set order
    std::vector<std::size_t> indices;  // Item::index of each slot
    std::vector<std::string> notes;
};

/// Keeps the items below the folder that holds train/ and test/, and makes their paths relative to it: the root itself,
/// or the only folder in the root that does. Throws DataError saying what was found instead.
std::vector<Item> below_base(std::vector<Item> items, const std::string& source);

/// Classes by code point; per class the files by (directory path, file name), both by code point, whose lower-cased
/// name ends in png, jpg, jpeg, bmp, ppm, tif or tiff. Hidden folders and __MACOSX are left out with a note.
/// Throws DataError for a class that is empty, or missing in train/ or test/.
Layout arrange(std::span<const Item> items, const std::string& source);

/// ".ipynb_checkpoints", "__MACOSX"
bool is_hidden(std::string_view name);

/// The refusal of a source without train/ and test/, naming some of what it holds.
[[noreturn]] void refuse_layout(const std::string& source, std::vector<std::string> top_names);

}  // namespace fer

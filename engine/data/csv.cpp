#include <array>
#include <charconv>
#include <cstring>
#include <optional>

#include "engine/core/file.hpp"
#include "engine/data/hash.hpp"
#include "engine/data/image.hpp"
#include "engine/data/sniff.hpp"
#include "engine/data/source.hpp"

namespace fer {
namespace fs = std::filesystem;

namespace {

constexpr int kSide = 48;
constexpr std::size_t kPixels = kSide * kSide;
constexpr std::size_t kMaxLine = 64 << 10;
constexpr std::size_t kShortestLine = 2 * kPixels;  // a digit and a space each: less cannot be an image
constexpr std::size_t kMaxFileBytes = std::size_t{4} << 30;

// The file counts angry disgust fear happy sad surprise neutral; this program counts in alphabetical order.
constexpr std::array<std::int32_t, 7> kLabelOf{0, 1, 2, 3, 5, 6, 4};

constexpr std::array<std::string_view, 3> kUsages{"Training", "PublicTest", "PrivateTest"};
constexpr std::array<std::string_view, 3> kColumns{"emotion", "pixels", "usage"};

std::string_view trim(std::string_view text) {
    const std::size_t first = text.find_first_not_of(" \t\r\"");
    if (first == std::string_view::npos) {
        return {};
    }
    return text.substr(first, text.find_last_not_of(" \t\r\"") - first + 1);
}

std::vector<std::string_view> split_fields(std::string_view line) {
    std::vector<std::string_view> fields;
    for (std::size_t start = 0; start <= line.size();) {
        const std::size_t end = std::min(line.find(',', start), line.size());
        fields.push_back(trim(line.substr(start, end - start)));
        start = end + 1;
    }
    return fields;
}

std::string lower(std::string_view text) {
    std::string result(text);
    for (char& c : result) {
        c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    }
    return result;
}

/// A foreign value made fit for a message.
std::string quoted(std::string_view text) {
    std::string shown = "'";
    for (const char c : text.substr(0, 24)) {
        shown += std::isprint(static_cast<unsigned char>(c)) != 0 ? c : '?';
    }
    return shown + (text.size() > 24 ? "...'" : "'");
}

/// Where each of kColumns is in a row.
struct Header {
    std::array<std::size_t, kColumns.size()> at{};
    std::size_t width = 0;
};

Header read_header(std::string_view line, std::string_view text, const std::string& name) {
    const std::vector<std::string_view> fields = split_fields(line);
    Header header{.width = fields.size()};
    for (std::size_t c = 0; c < kColumns.size(); ++c) {
        std::optional<std::size_t> found;
        for (std::size_t f = 0; f < fields.size() && !found; ++f) {
            if (lower(fields[f]) == kColumns[c]) {
                found = f;
            }
        }
        if (!found) {
            const std::string kind = looks_like(std::as_bytes(std::span(text)));
            throw DataError(fmt::format("{}: no column '{}'", name, kColumns[c]))
                .because(kind == "text" ? fmt::format("its first line is {}", quoted(line)) : "it is " + kind)
                .try_this("fer2013.csv and icml_face_data.csv have emotion, pixels and Usage");
        }
        header.at[c] = *found;
    }
    return header;
}

struct Row {
    std::string_view line;
    std::size_t number;  // from 1, as editors count
};

/// One line after another; blank ones are not rows.
std::vector<Row> split_rows(std::string_view text, const std::string& name) {
    std::vector<Row> rows;
    std::size_t number = 1;
    for (std::size_t start = 0; start < text.size(); ++number) {
        const std::size_t end = std::min(text.find('\n', start), text.size());
        const std::string_view line = text.substr(start, end - start);
        if (line.find_first_not_of(" \t\r") != std::string_view::npos) {
            rows.push_back({line, number});
        }
        if (rows.size() > kMaxImages) {
            throw DataError(fmt::format("{} has more than {} rows", name, kMaxImages));
        }
        start = end + 1;
    }
    return rows;
}

[[noreturn]] void refuse(const Slot& slot, const std::string& reason) {
    throw DataError(fmt::format("{}: {}", slot.name, reason));
}

void parse_pixels(std::string_view text, const Slot& slot, GrayImage& image) {
    const char* at = text.data();
    const char* const end = at + text.size();
    while (true) {
        while (at != end && *at == ' ') {
            ++at;
        }
        if (at == end) {
            break;
        }
        int value = -1;
        const auto [next, error] = std::from_chars(at, end, value);
        const bool is_whole = error == std::errc() && (next == end || *next == ' ');
        if (!is_whole || value < 0 || value > 255) {
            const std::string_view word(at, static_cast<std::size_t>(std::find(at, end, ' ') - at));
            refuse(slot, fmt::format("pixel {} is {}, expected a whole number 0..255", image.pixels.size() + 1,
                                     quoted(word)));
        }
        image.pixels.push_back(static_cast<std::uint8_t>(value));
        at = next;
    }
    if (image.pixels.size() != kPixels) {
        refuse(slot, fmt::format("expected {} pixels, found {}", kPixels, image.pixels.size()));
    }
}

void parse_row(std::string_view line, const Header& header, const DataOptions& options, Slot& slot,
               std::span<std::uint8_t> out) {
    const std::vector<std::string_view> fields = split_fields(line);
    if (fields.size() != header.width) {
        refuse(slot, fmt::format("expected {} columns, found {}", header.width, fields.size()));
    }
    const std::string_view emotion = fields[header.at[0]];
    if (emotion.size() != 1 || emotion[0] < '0' || emotion[0] > '6') {
        refuse(slot, fmt::format("expected an emotion 0..6, found {}", quoted(emotion)));
    }
    const std::string_view usage = fields[header.at[2]];
    const auto known = std::find(kUsages.begin(), kUsages.end(), usage);
    if (known == kUsages.end()) {
        refuse(slot, fmt::format("expected Usage Training, PublicTest or PrivateTest, found {}", quoted(usage)));
    }
    GrayImage image{kSide, kSide, {}};
    image.pixels.reserve(kPixels);
    parse_pixels(fields[header.at[1]], slot, image);

    slot.label = kLabelOf[static_cast<std::size_t>(emotion[0] - '0')];
    slot.usage = static_cast<Usage>(known - kUsages.begin());
    slot.fold = slot.usage == Usage::kTraining ? Fold::kTrain : Fold::kTest;
    image = resize_nearest(image, options.height, options.width);
    std::copy(image.pixels.begin(), image.pixels.end(), out.begin());
}

/// Known before a place for pixels is set aside.
std::string fault_of(const Row& row, const std::string& slot_name) {
    if (row.line.size() > kMaxLine) {
        return fmt::format("{}: a line of {} bytes, the limit is {}", slot_name, row.line.size(), kMaxLine);
    }
    if (row.line.size() < kShortestLine) {
        return fmt::format("{}: expected {} pixels, found a line of {} bytes", slot_name, kPixels, row.line.size());
    }
    return {};
}

class CsvSource : public Source {
public:
    explicit CsvSource(fs::path path) : path_(std::move(path)), file_name_(path_.filename().string()) {}

    ContentKey key() const override {
        struct stat info {};
        if (::stat(path_.c_str(), &info) != 0) {
            throw DataError(fmt::format("cannot read {}", path_.string())).because(std::strerror(errno));
        }
        ContentKey key = stamp_of(info);
        key.hash = hash_text(file_name_, key.hash);
        return key;
    }

    Gathered read(const DataOptions& options) const override {
        const std::string file = read_file(path_, kMaxFileBytes);
        std::string_view text = file;
        if (text.starts_with("\xEF\xBB\xBF")) {
            text.remove_prefix(3);
        }
        if (text.empty()) {
            throw DataError(fmt::format("{} is empty (0 bytes)", path_.string())).try_this("download it again");
        }
        const Header header = read_header(text.substr(0, std::min(text.find('\n'), kMaxLine)), text, path_.string());
        std::vector<Row> rows = split_rows(text, path_.string());
        rows.erase(rows.begin());  // the header
        std::vector<Slot> slots;
        slots.reserve(rows.size());
        for (const Row& row : rows) {
            Slot slot{.name = fmt::format("{}:{}", file_name_, row.number)};
            slot.fault = fault_of(row, slot.name);
            slots.push_back(std::move(slot));
        }
        return gather(std::move(slots), emotion_names(), path_.string(), options,
                      [&](std::size_t i, Slot& slot, std::span<std::uint8_t> out) {
                          parse_row(rows[i].line, header, options, slot, out);
                      });
    }

private:
    fs::path path_;
    std::string file_name_;
};

}  // namespace

std::unique_ptr<Source> open_csv(const fs::path& path) { return std::make_unique<CsvSource>(path); }

}  // namespace fer

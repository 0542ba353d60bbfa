#include "engine/formats/tensorboard.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <bit>
#include <cerrno>
#include <cstring>

#include "engine/core/error.hpp"
#include "engine/core/file.hpp"

namespace fer {
namespace {

static_assert(std::endian::native == std::endian::little, "records are written as numbers lie in memory");

constexpr std::array<std::uint32_t, 256> kCrcTable = [] {
    std::array<std::uint32_t, 256> table{};
    for (std::uint32_t byte = 0; byte < 256; ++byte) {
        std::uint32_t crc = byte;
        for (int bit = 0; bit < 8; ++bit) {
            crc = crc >> 1 ^ (crc & 1u) * 0x82f63b78u;  // the polynomial 0x1edc6f41, reversed
        }
        table[byte] = crc;
    }
    return table;
}();

template <class T>
void append(std::string& text, T number) {
    char bytes[sizeof(T)];
    std::memcpy(bytes, &number, sizeof(T));
    text.append(bytes, sizeof(T));
}

std::uint32_t masked(std::uint32_t crc) { return (crc >> 15 | crc << 17) + 0xa282ead8u; }

/// A protocol buffer in the making. Fields are numbered as in the .proto files.
class Message {
public:
    Message& number(unsigned field, std::uint64_t value) {
        varint(field << 3);
        varint(value);
        return *this;
    }
    Message& real(unsigned field, double value) {
        varint(field << 3 | 1);
        append(bytes_, value);
        return *this;
    }
    Message& bytes(unsigned field, std::string_view value) {
        varint(field << 3 | 2);
        varint(value.size());
        bytes_ += value;
        return *this;
    }
    const std::string& str() const { return bytes_; }

private:
    void varint(std::uint64_t value) {
        for (; value >= 0x80; value >>= 7) {
            bytes_ += static_cast<char>(value | 0x80);
        }
        bytes_ += static_cast<char>(value);
    }
    std::string bytes_;
};

constexpr std::uint64_t kFloat = 1, kString = 7;  // DataType

/// Event{wall_time, step, summary{value{tag, tensor, metadata{plugin_data{plugin_name}}}}}
std::string tensor_event(double wall_time, std::int64_t step, std::string_view tag, const Message& tensor,
                         std::string_view plugin) {
    const Message metadata = Message().bytes(1, Message().bytes(1, plugin).str());
    const Message value = Message().bytes(1, tag).bytes(8, tensor.str()).bytes(9, metadata.str());
    Message event = Message().real(1, wall_time);
    if (step != 0) {
        event.number(2, static_cast<std::uint64_t>(step));
    }
    return event.bytes(5, Message().bytes(1, value.str()).str()).str();
}

[[noreturn]] void cannot_write(const std::filesystem::path& path, const char* call) {
    throw OutputError(fmt::format("cannot write {}", path.string()))
        .because(fmt::format("{}: {}", call, std::strerror(errno)));
}

}  // namespace

std::uint32_t crc32c(std::string_view bytes) {
    std::uint32_t crc = 0xffffffffu;
    for (const char c : bytes) {
        crc = crc >> 8 ^ kCrcTable[(crc ^ static_cast<unsigned char>(c)) & 0xffu];
    }
    return ~crc;
}

std::string tfrecord(std::string_view event) {
    std::string record;
    append(record, static_cast<std::uint64_t>(event.size()));
    append(record, masked(crc32c(record)));
    record += event;
    append(record, masked(crc32c(event)));
    return record;
}

std::string version_event(double wall_time) { return Message().real(1, wall_time).bytes(3, "brain.Event:2").str(); }

std::string scalar_event(double wall_time, std::int64_t step, std::string_view tag, float value) {
    std::string content;
    append(content, value);
    return tensor_event(wall_time, step, tag, Message().number(1, kFloat).bytes(2, "").bytes(4, content), "scalars");
}

// A tensor of strings: width, height, one PNG.
std::string image_event(double wall_time, std::int64_t step, std::string_view tag, int width, int height,
                        std::string_view png) {
    const Message shape = Message().bytes(2, Message().number(1, 3).str());
    const Message tensor = Message()
                               .number(1, kString)
                               .bytes(2, shape.str())
                               .bytes(8, std::to_string(width))
                               .bytes(8, std::to_string(height))
                               .bytes(8, png);
    return tensor_event(wall_time, step, tag, tensor, "images");
}

EventFile::EventFile(const std::filesystem::path& folder, double wall_time) {
    make_folder(folder);
    char host[256] = "";
    ::gethostname(host, sizeof host - 1);
    path_ = folder / fmt::format("events.out.tfevents.{:010}.{}.{}.0.v2", static_cast<std::int64_t>(wall_time), host,
                                 ::getpid());
    fd_ = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0644);
    if (fd_ < 0) {
        cannot_write(path_, "open");
    }
    write(version_event(wall_time));
}

EventFile::~EventFile() {
    if (fd_ >= 0) {
        ::close(fd_);
    }
}

// A record in one call as a rule: a reader that comes in between sees none of it or all.
void EventFile::write(std::string_view event) {
    const std::string record = tfrecord(event);
    for (std::size_t done = 0; done < record.size();) {
        const ::ssize_t count = ::write(fd_, record.data() + done, record.size() - done);
        if (count < 0 && errno != EINTR) {
            cannot_write(path_, "write");
        }
        done += count > 0 ? static_cast<std::size_t>(count) : 0;
    }
}

}  // namespace fer

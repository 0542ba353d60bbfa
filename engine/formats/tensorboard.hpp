// Event files as TensorFlow 2 writes them: TFRecords of Event protocol buffers, scalars and images as tensors with the
// plugin's name, so that TensorBoard shows them beside Keras's. Record: u64 length, u32 masked CRC of it, the data, u32
// masked CRC of the data, little-endian; mask(c) = ((c >> 15) | (c << 17)) + 0xa282ead8 on CRC-32C. Sources:
// tensorflow/core/lib/io/record_writer.cc, tensorflow/core/util/event.proto, tensorflow/core/framework/summary.proto.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

namespace fer {

/// CRC-32C (Castagnoli) of the bytes.
std::uint32_t crc32c(std::string_view bytes);

/// One record around an Event.
std::string tfrecord(std::string_view event);

/// Events; wall_time in seconds since 1970.
std::string version_event(double wall_time);
std::string scalar_event(double wall_time, std::int64_t step, std::string_view tag, float value);
std::string image_event(double wall_time, std::int64_t step, std::string_view tag, int width, int height,
                        std::string_view png);

/// An event file that grows. TensorBoard may read it meanwhile.
class EventFile {
public:
    /// Makes `folder` and in it events.out.tfevents.SECONDS.HOST.PID.0.v2, which begins with the version. OutputError
    /// if that cannot be written.
    EventFile(const std::filesystem::path& folder, double wall_time);
    ~EventFile();
    EventFile(const EventFile&) = delete;
    EventFile& operator=(const EventFile&) = delete;

    void write(std::string_view event);
    const std::filesystem::path& path() const { return path_; }

private:
    std::filesystem::path path_;
    int fd_ = -1;
};

}  // namespace fer

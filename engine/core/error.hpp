// One exception type with a cause: what happened, why, and a command or change that helps.
// The cause decides the exit status of the program; nothing below tools/ prints or exits.
#pragma once

#include <fmt/format.h>

#include <stdexcept>
#include <string>
#include <utility>

namespace fer {

/// Whose failure it is. The value is the program's exit status.
enum class Fault {
    kInternal = 1,  // ours: a bug
    kUsage = 2,     // command line, configuration, or a call that breaks a contract
    kData = 3,      // an input file, data set or model that cannot be used
    kDevice = 4,    // the requested device is missing, too old, or failed
    kMemory = 5,    // out of host or device memory
    kDiverged = 6,  // training met NaN or infinity
    kGate = 7,      // a comparison or verification failed
    kNetwork = 8,   // a download failed
    kOutput = 9,    // a result cannot be written (disk full, read-only folder)
};

/// what() is one line: what and where. why() and hint() are optional second and third lines.
class Error : public std::runtime_error {
public:
    Error(Fault fault, const std::string& what) : std::runtime_error(what), fault_(fault) {}

    Fault fault() const { return fault_; }
    const std::string& why() const { return why_; }
    const std::string& hint() const { return hint_; }

protected:
    Fault fault_;
    std::string why_;
    std::string hint_;
};

/// throw DataError("train/happy/a.jpg: not an image").because("it starts with '<html'").try_this("download it again");
template <Fault kFault>
class ErrorOf : public Error {
public:
    explicit ErrorOf(const std::string& what) : Error(kFault, what) {}

    ErrorOf& because(std::string why) {
        why_ = std::move(why);
        return *this;
    }
    ErrorOf& try_this(std::string hint) {
        hint_ = std::move(hint);
        return *this;
    }
    /// Another exit status than that of its kind: a device that is missing is not one that broke down.
    ErrorOf& counts_as(Fault fault) {
        fault_ = fault;
        return *this;
    }
};

using InternalError = ErrorOf<Fault::kInternal>;
using UsageError = ErrorOf<Fault::kUsage>;
using DataError = ErrorOf<Fault::kData>;
using DeviceError = ErrorOf<Fault::kDevice>;
using MemoryError = ErrorOf<Fault::kMemory>;
using DivergedError = ErrorOf<Fault::kDiverged>;
using GateError = ErrorOf<Fault::kGate>;
using NetworkError = ErrorOf<Fault::kNetwork>;
using OutputError = ErrorOf<Fault::kOutput>;

}  // namespace fer

/// A contract the caller broke. The message carries the values:
///     FER_CHECK(rate < 1, "dropout rate must be below 1, got {}", rate);
#define FER_CHECK(condition, ...)                              \
    do {                                                       \
        if (!(condition)) {                                    \
            throw ::fer::UsageError(fmt::format(__VA_ARGS__)); \
        }                                                      \
    } while (false)

/// A condition only a bug in this program can break.
#define FER_ASSERT(condition, ...)                                \
    do {                                                          \
        if (!(condition)) {                                       \
            throw ::fer::InternalError(fmt::format(__VA_ARGS__)); \
        }                                                         \
    } while (false)

// libhdf5's handles, closed by scope.
#pragma once

#include <hdf5.h>

#include <utility>

namespace fer {

/// A handle and the function that closes it.
class Hdf5Handle {
public:
    using Close = herr_t (*)(hid_t);
    Hdf5Handle(hid_t id, Close close) : id_(id), close_(close) {}
    ~Hdf5Handle() {
        if (id_ >= 0) {
            close_(id_);
        }
    }
    Hdf5Handle(Hdf5Handle&& other) noexcept : id_(std::exchange(other.id_, -1)), close_(other.close_) {}
    Hdf5Handle(const Hdf5Handle&) = delete;
    Hdf5Handle& operator=(const Hdf5Handle&) = delete;
    Hdf5Handle& operator=(Hdf5Handle&&) = delete;

    hid_t id() const { return id_; }
    bool good() const { return id_ >= 0; }

private:
    hid_t id_;
    Close close_;
};

}  // namespace fer

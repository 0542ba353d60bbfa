// Work in a process of its own.
#pragma once

#include <functional>

#include "engine/measure/results.hpp"

namespace fer::tool {

/// What `work` returns. It runs in a child, so that its peak memory and its cold start are its own, and a device that
/// breaks down leaves this process whole. An Error comes out as it was thrown there; a child that dies is a DeviceError
/// that names the signal, counted as out of memory where the system killed it.
Json apart(const std::function<Json()>& work);

}  // namespace fer::tool

// The model of cp.async: between issue and wait a copy may land at any moment, so it lands at the worst one.
#pragma once

#include <cstddef>

namespace fer::emulated {

void async_copy(void* dst, const void* src, unsigned bytes, bool valid);
void async_commit();
void async_wait(unsigned newest);

}  // namespace fer::emulated

// Which L2 factor an element of the flat block has.
#pragma once

#include "kernels/l2.hpp"
#include "kernels/support.cuh"

namespace fer::FER_PORT {

/// A factor and the first element that may have another one.
struct L2Stretch {
    float lambda;
    unsigned until;
};

/// By bisection. A thread that walks upwards asks again only when it has passed `until`.
FER_DEVICE L2Stretch l2_stretch(const L2Segment* segments, int count, unsigned element) {
    int low = 0;  // the first segment that ends after the element is in [low, high]
    int high = count;
    while (low < high) {
        const int middle = (low + high) / 2;
        if (segments[middle].end > element) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    if (low == count) {
        return {0.0f, 0xffffffffu};
    }
    const L2Segment s = segments[low];
    return s.begin <= element ? L2Stretch{s.lambda, s.end} : L2Stretch{0.0f, s.begin};
}

}  // namespace fer::FER_PORT

// The number of threads, for a scope. Tiny tensors gain nothing from a second thread and pay for waking it.
#pragma once

#include <omp.h>

namespace fer::test {

class Threads {
public:
    explicit Threads(int count) : before_(omp_get_max_threads()) { omp_set_num_threads(count); }
    ~Threads() { omp_set_num_threads(before_); }
    Threads(const Threads&) = delete;
    Threads& operator=(const Threads&) = delete;

private:
    int before_;
};

}  // namespace fer::test

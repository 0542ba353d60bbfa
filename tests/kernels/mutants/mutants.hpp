// What seed.py writes into a kernel: places that can be made wrong, one at a time, when the program runs.
//
//     if (i < count)  becomes  if (mutants::less(7, i, count)), which compares with <= where FER_MUTANT=7
//
// In a constant expression nothing is ever wrong, so places that only the compiler evaluates are harmless.
#pragma once

#include <type_traits>

namespace fer::mutants {

extern int active;               // the number in FER_MUTANT; none: -1
extern unsigned char reached[];  // by number: whether a place was evaluated

#define FER_MUTANT_INLINE [[gnu::always_inline]] constexpr

FER_MUTANT_INLINE bool on(int n) {
    if (std::is_constant_evaluated()) {
        return false;
    }
    reached[n] = 1;
    return active == n;
}

template <class A, class B>
FER_MUTANT_INLINE bool less(int n, A a, B b) {
    return on(n) ? a <= b : a < b;
}
template <class A, class B>
FER_MUTANT_INLINE bool less_equal(int n, A a, B b) {
    return on(n) ? a < b : a <= b;
}
template <class A, class B>
FER_MUTANT_INLINE bool greater(int n, A a, B b) {
    return on(n) ? a >= b : a > b;
}
template <class A, class B>
FER_MUTANT_INLINE bool greater_equal(int n, A a, B b) {
    return on(n) ? a > b : a >= b;
}

/// The right operand of + or -, which it swaps: a + b becomes a + Swapped(7, b).
template <class B>
struct Swapped {
    int n;
    B b;
    FER_MUTANT_INLINE Swapped(int number, B value) : n(number), b(value) {}
};
template <class A, class B>
FER_MUTANT_INLINE auto operator+(A a, Swapped<B> s) {
    return on(s.n) ? static_cast<decltype(a + s.b)>(a - s.b) : a + s.b;
}
template <class A, class B>
FER_MUTANT_INLINE auto operator-(A a, Swapped<B> s) {
    return on(s.n) ? static_cast<decltype(a - s.b)>(a + s.b) : a - s.b;
}

/// What an index is off by.
FER_MUTANT_INLINE int shift(int n) { return on(n) ? 1 : 0; }

#undef FER_MUTANT_INLINE

}  // namespace fer::mutants

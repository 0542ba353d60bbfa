// What the primitives of kernels/port compute, against plain C++.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include "tests/kernels/port/primitives.hpp"
#include "tests/kernels/port_memory.hpp"
#include "tests/kernels/port_schedules.hpp"

namespace fer::FER_PORT {

namespace {

using Words = std::vector<unsigned>;

Words scrambled(std::size_t n) {
    Words x(n);
    for (std::size_t i = 0; i < n; ++i) {
        x[i] = static_cast<unsigned>((i + 1) * 0x9e3779b97f4a7c15u >> 20);
    }
    return x;
}

// What lane `lane` gets from each operation of warp_operations_kernel, in its order.
Words expected_of_lane(const Words& x, unsigned lane) {
    const auto fold = [&](unsigned from, unsigned to, auto op) {
        unsigned v = x[from];
        for (unsigned i = from + 1; i < to; ++i) {
            v = op(v, x[i]);
        }
        return v;
    };
    const auto add = [](unsigned a, unsigned b) { return a + b; };
    const auto signed_min = [](unsigned a, unsigned b) { return static_cast<int>(b) < static_cast<int>(a) ? b : a; };
    const auto signed_max = [](unsigned a, unsigned b) { return static_cast<int>(b) > static_cast<int>(a) ? b : a; };
    unsigned odd = 0;
    unsigned reversed = 0;
    for (unsigned i = 0; i < 32; ++i) {
        odd |= (x[i] & 1) << i;
        reversed |= (x[lane] >> i & 1) << (31 - i);
    }
    const unsigned half = lane < 16 ? 0 : 16;
    const unsigned mine = x[lane];
    return {
        x[5],
        x[lane / 8 * 8 + 3],
        x[lane * 7 % 32],
        lane < 3 ? mine : x[lane - 3],
        lane % 16 < 3 ? mine : x[lane - 3],
        lane + 5 > 31 ? mine : x[lane + 5],
        lane % 4 + 2 > 3 ? mine : x[lane + 2],
        x[lane ^ 1],
        x[lane ^ 16],
        lane / 8 % 2 == 0 ? mine : x[lane ^ 8],  // an earlier group may be read, a later one not
        odd,
        odd != 0,
        odd == ~0u,
        fold(0, 32, add),
        fold(0, 32, [](unsigned a, unsigned b) { return b < a ? b : a; }),
        fold(0, 32, [](unsigned a, unsigned b) { return b > a ? b : a; }),
        fold(0, 32, [](unsigned a, unsigned b) { return a & b; }),
        fold(0, 32, [](unsigned a, unsigned b) { return a | b; }),
        fold(0, 32, [](unsigned a, unsigned b) { return a ^ b; }),
        fold(0, 32, add),
        fold(0, 32, signed_min),
        fold(0, 32, signed_max),
        fold(half, half + 16, add),
        odd & (lane < 16 ? 0x0000ffffu : 0xffff0000u),
        fold(0, 32, add),
        fold(0, 32, signed_max),
        static_cast<unsigned>(std::popcount(mine)),
        mine == 0 ? 0u : static_cast<unsigned>(std::countr_zero(mine)) + 1,
        static_cast<unsigned>(std::countl_zero(mine)),
        reversed,
        static_cast<unsigned>(std::uint64_t{mine} * 0x9e3779b9u >> 32),
        mine & 0x3fffffffu,
    };
}

TEST(Warp, OperationsMatchTheirDefinition) {
    Words x = scrambled(32);
    x[9] = 0;
    const Array<unsigned> in(x);
    under_every_schedule([&] {
        const Array<unsigned> out(kWarpResults * 32);
        warp_operations({.x = in.get(), .out = out.get()}, nullptr);
        const Words got = out.read();
        for (unsigned lane = 0; lane < 32; ++lane) {
            const Words want = expected_of_lane(x, lane);
            for (std::size_t i = 0; i < kWarpResults; ++i) {
                EXPECT_EQ(got[i * 32 + lane], want[i]) << "operation " << i << ", lane " << lane;
            }
        }
    });
}

// Different integers in every place, so that a lane map with two places exchanged cannot pass; all sums are exact.
void expect_product(DType type, std::size_t k_size) {
    std::vector<float> a(16 * k_size);
    std::vector<float> b(k_size * 8);
    std::vector<float> c(16 * 8);
    for (std::size_t i = 0; i < a.size(); ++i) {
        a[i] = static_cast<float>(static_cast<int>(i * 37 % 251) - 125);
    }
    for (std::size_t i = 0; i < b.size(); ++i) {
        b[i] = static_cast<float>(static_cast<int>(i * 53 % 241) - 120);
    }
    std::iota(c.begin(), c.end(), 1000.0f);
    const Array<float> da(a);
    const Array<float> db(b);
    under_every_schedule([&] {
        const Array<float> dc(c);
        warp_product({.a = da.get(), .b = db.get(), .c = dc.get(), .type = type}, nullptr);
        const std::vector<float> got = dc.read();
        for (std::size_t row = 0; row < 16; ++row) {
            for (std::size_t col = 0; col < 8; ++col) {
                float want = c[row * 8 + col];
                for (std::size_t k = 0; k < k_size; ++k) {
                    want += a[row * k_size + k] * b[k * 8 + col];
                }
                EXPECT_EQ(got[row * 8 + col], want) << "row " << row << ", column " << col;
            }
        }
    });
}
TEST(Matrix, ProductOfHalves) { expect_product(DType::kF16, 16); }
TEST(Matrix, ProductOfBfloat16) { expect_product(DType::kBF16, 16); }
TEST(Matrix, ProductOfTf32) { expect_product(DType::kF32, 8); }

TEST(Matrix, LoadsTheDocumentedElements) {
    std::vector<std::uint16_t> x(4 * 64);
    std::iota(x.begin(), x.end(), std::uint16_t{1});
    const Array<std::uint16_t> in(x);
    under_every_schedule([&] {
        const Array<std::uint32_t> out(4 * 32 * 4);
        load_matrix({.x = in.get(), .out = out.get()}, nullptr);
        const std::vector<std::uint32_t> got = out.read();
        for (unsigned variant = 0; variant < 4; ++variant) {
            const bool transposed = variant >= 2;
            const unsigned matrices = variant % 2 == 0 ? 4 : 2;
            for (unsigned lane = 0; lane < 32; ++lane) {
                for (unsigned i = 0; i < matrices; ++i) {
                    const unsigned r = lane / 4;
                    const unsigned c = lane % 4 * 2;
                    const std::uint32_t low = x[64 * i + (transposed ? 8 * c + r : 8 * r + c)];
                    const std::uint32_t high = x[64 * i + (transposed ? 8 * (c + 1) + r : 8 * r + c + 1)];
                    EXPECT_EQ(got[(variant * 32 + lane) * 4 + i], low | high << 16)
                        << "variant " << variant << ", lane " << lane << ", matrix " << i;
                }
            }
        }
    });
}

TEST(Matrix, Tf32RoundsToNearestTiesAway) {
    const auto value = [](std::uint32_t bits) { return std::bit_cast<float>(bits); };
    const std::vector<float> x{0.0f,
                               -0.0f,
                               1.0f,
                               value(0x3f800fff),  // below the middle
                               value(0x3f801000),  // the middle: away from zero
                               value(0xbf801000),
                               value(0x3f801001),
                               value(0x3fffffff),  // carries into the exponent
                               value(0x00001000),  // subnormal
                               std::numeric_limits<float>::infinity()};
    const std::vector<std::uint32_t> want{0x00000000, 0x80000000, 0x3f800000, 0x3f800000, 0x3f802000,
                                          0xbf802000, 0x3f802000, 0x40000000, 0x00002000, 0x7f800000};
    const Array<float> in(x);
    const Array<std::uint32_t> out(x.size());
    round_tf32({.x = in.get(), .bits = out.get(), .n = static_cast<int>(x.size())}, nullptr);
    EXPECT_EQ(out.read(), want);
}

TEST(CopyAsync, BringsWhatIsValidAndZerosElsewhere) {
    std::vector<float> x(256);
    std::iota(x.begin(), x.end(), 1.0f);
    for (const int bytes : {4, 8, 16}) {
        const int floats = bytes / 4;
        const auto valid = static_cast<std::size_t>(40 * floats);
        const Array<float> in(std::vector<float>(x.begin(), x.begin() + static_cast<std::ptrdiff_t>(valid)));
        under_every_schedule([&] {
            const Array<float> out(static_cast<std::size_t>(64 * floats));
            copy_async({.x = in.get(), .y = out.get(), .valid = 40 * floats, .bytes = bytes}, nullptr);
            const std::vector<float> y = out.read();
            for (std::size_t i = 0; i < y.size(); ++i) {
                EXPECT_EQ(y[i], i < valid ? x[i] : 0.0f) << bytes << " bytes, element " << i;
            }
        });
    }
}

TEST(Reduce, SumsAndMaximaOfBlocksAndOfTheGrid) {
    constexpr int kBlocks = 5;
    std::vector<float> x(kBlocks * 128);
    for (std::size_t i = 0; i < x.size(); ++i) {
        x[i] = static_cast<float>(static_cast<int>(i * 31 % 199) - 150);  // integers: any order gives the same sum
    }
    const Array<float> in(x);
    const Array<unsigned> counter(Words{0});
    under_every_schedule([&] {
        for (int repeat = 0; repeat < 2; ++repeat) {  // the ticket counter is left at zero
            const Array<float> sum(kBlocks);
            const Array<float> largest(kBlocks);
            const Array<float> total(1);
            reduce({.x = in.get(),
                    .sum = sum.get(),
                    .largest = largest.get(),
                    .total = total.get(),
                    .counter = counter.get(),
                    .blocks = kBlocks},
                   nullptr);
            for (std::size_t b = 0; b < kBlocks; ++b) {
                const auto first = x.begin() + static_cast<std::ptrdiff_t>(b * 128);
                EXPECT_EQ(sum.read()[b], std::accumulate(first, first + 128, 0.0f));
                EXPECT_EQ(largest.read()[b], *std::max_element(first, first + 128));
            }
            EXPECT_EQ(total.read()[0], std::accumulate(x.begin(), x.end(), 0.0f));
        }
    });
}

TEST(Convert, RoundsToNearestEvenAndBack) {
    const float tiny = std::ldexp(1.0f, -24);
    const std::vector<float> x{
        0.0f, 1.0f, 1.0f + std::ldexp(1.0f, -11), 1.0f + 3 * std::ldexp(1.0f, -11), 65504.0f, 65520.0f, tiny, -3.5f};
    const std::vector<float> halves{0.0f, 1.0f, 1.0f, 1.0f + std::ldexp(1.0f, -9), 65504.0f, INFINITY, tiny, -3.5f};
    const std::vector<float> bfloats{0.0f, 1.0f, 1.0f, 1.0f, 65536.0f, 65536.0f, tiny, -3.5f};
    const Array<float> in(x);
    for (const DType type : {DType::kF32, DType::kF16, DType::kBF16}) {
        const Array<float> stored(x.size());
        const Array<float> back(x.size());
        round_trip({.x = in.get(), .y = stored.get(), .z = back.get(), .n = 8, .type = type}, nullptr);
        EXPECT_EQ(back.read(), type == DType::kF32 ? x : type == DType::kF16 ? halves : bfloats) << name_of(type);
    }
}

TEST(Atomics, LoseNothing) {
    under_every_schedule([] {
        const Array<int> ints(std::vector<int>{0, -1, 1, 0});
        const Array<unsigned> unsigneds(Words{0, 0, ~0u, 0});
        const Array<unsigned long long> wides(std::vector<unsigned long long>{0});
        const Array<float> floats(std::vector<float>{0});
        const Array<double> doubles(std::vector<double>{0});
        atomics({.ints = ints.get(),
                 .unsigneds = unsigneds.get(),
                 .wides = wides.get(),
                 .floats = floats.get(),
                 .doubles = doubles.get()},
                nullptr);
        constexpr int kSum = 256 * 255 / 2;
        EXPECT_EQ(ints.read(), (std::vector<int>{kSum, 255, -255, 0x7fffffff}));
        EXPECT_EQ(unsigneds.read(), (Words{kSum, 255, 745, 256}));
        EXPECT_EQ(wides.read()[0], 256ull << 32);
        EXPECT_EQ(floats.read()[0], kSum);
        EXPECT_EQ(doubles.read()[0], kSum);
    });
}

}  // namespace

}  // namespace fer::FER_PORT

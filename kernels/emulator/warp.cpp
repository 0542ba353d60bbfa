#include "kernels/emulator/warp.hpp"

#include <algorithm>
#include <array>
#include <vector>

#include "engine/core/error.hpp"
#include "kernels/emulator/block.hpp"
#include "kernels/emulator/observer.hpp"

namespace fer::emulated {

namespace {

// One rendezvous per mask. Two sets of deposits, used in turn: a lane that is ahead may already be in its next
// collective while a slow one still reads the results of this one. It cannot be two ahead.
struct Meeting {
    unsigned mask = 0;
    unsigned arrived = 0;
    unsigned round = 0;
    const char* name = "";
    Site site;
    std::array<std::byte, 32 * kDepositBytes> deposits[2];
};

struct Warp {
    unsigned alive = 0;    // lanes that exist and have not exited
    std::size_t used = 0;  // meetings of this block; the rest are kept for their memory
    std::vector<Meeting> meetings;

    Meeting& of(unsigned mask) {
        for (std::size_t i = 0; i < used; ++i) {
            if (meetings[i].mask == mask) {
                return meetings[i];
            }
        }
        if (used == meetings.size()) {
            meetings.emplace_back();
        }
        Meeting& fresh = meetings[used++];
        fresh.mask = mask;
        fresh.arrived = 0;
        fresh.round = 0;
        return fresh;
    }
};

std::array<Warp, 32>& warps() {
    static std::array<Warp, 32> all;
    return all;
}

}  // namespace

void warp_block_begins(unsigned threads) {
    for (unsigned w = 0; w < 32; ++w) {
        Warp& warp = warps()[w];
        warp.used = 0;
        const unsigned lanes = std::min(32u, threads - std::min(threads, w * 32));
        warp.alive = lanes == 32 ? ~0u : (1u << lanes) - 1;
    }
}

void warp_exit(const Thread& thread) {
    Warp& warp = warps()[thread.warp];
    warp.alive &= ~(1u << thread.lane);
    for (std::size_t i = 0; i < warp.used; ++i) {
        const Meeting& m = warp.meetings[i];
        if (m.arrived != 0 && (m.mask >> thread.lane & 1) != 0) {
            FER_FAULT("divergent warp: lane {} exits while others wait for it in {} (mask {:#010x}) at {}", thread.lane,
                      m.name, m.mask, describe_site(m.site));
        }
    }
}

__attribute__((noinline)) Deposits exchange(unsigned mask, const void* value, std::size_t bytes, Combine combine,
                                            const char* name, const std::source_location& where, const void* code) {
    const Site site{where, code != nullptr ? code : __builtin_return_address(0)};
    Thread& me = *current_thread;
    Warp& warp = warps()[me.warp];
    me.site = site;
    if ((mask >> me.lane & 1) == 0) {
        FER_FAULT("{} at {}: lane {} is not in its own mask {:#010x}", name, describe_site(site), me.lane, mask);
    }
    if ((mask & ~warp.alive) != 0) {
        FER_FAULT("{} at {}: mask {:#010x} names lanes {:#010x}, which have exited or do not exist", name,
                  describe_site(site), mask, mask & ~warp.alive);
    }
    ++work().warp_operations;

    Meeting* m = &warp.of(mask);
    const unsigned round = m->round;
    auto& deposits = m->deposits[round & 1];
    if (m->arrived == 0) {
        m->name = name;
        m->site = site;
        deposits.fill(std::byte{0xff});
    } else if (!(m->site == site)) {
        FER_FAULT("divergent warp: lanes of mask {:#010x} meet in {} at {} and in {} at {}", mask, m->name,
                  describe_site(m->site), name, describe_site(site));
    }
    std::memcpy(deposits.data() + kDepositBytes * me.lane, value, bytes);
    m->arrived |= 1u << me.lane;

    if (m->arrived == mask) {
        if (combine != nullptr) {
            combine(deposits.data());
        }
        m->arrived = 0;
        ++m->round;
        Thread* const lanes = block_threads_of_grid().data() + std::size_t{me.warp} * 32;
        for (unsigned lane = 0; lane < 32; ++lane) {
            if (lane != me.lane && (mask >> lane & 1) != 0) {
                wake(lanes[lane]);
            }
        }
    } else {
        me.state = Thread::State::kAtWarp;
        wait();
        m = &warp.of(mask);  // the vector may have grown meanwhile
    }
    return m->deposits[round & 1].data();
}

__attribute__((noinline)) void meet_warp(unsigned mask, const std::source_location& where) {
    const Combine tell_observer = [](Deposits all) {
        if (observer != nullptr) {
            observer->warp_meets(current_thread->warp, deposit<unsigned>(all, current_thread->lane));
        }
    };
    exchange(mask, &mask, sizeof mask, tell_observer, "__syncwarp", where, __builtin_return_address(0));
}

}  // namespace fer::emulated

// Mirrored and moved images, pixel by pixel.
#include "engine/data/views.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "tests/support/expect_error.hpp"

namespace fer::test {
namespace {

using ::testing::ElementsAre;

Dataset two_images() {
    Dataset data;
    data.height = 2;
    data.width = 3;
    data.classes = {"a", "b"};
    data.pixels = {9, 9, 9, 9, 9, 9, 1, 2, 3, 4, 5, 6};
    data.labels = {0, 1};
    data.files = {"no.png", "yes.png"};
    return data;
}

std::vector<std::uint8_t> seen(const View& view) {
    return with_views(two_images(), std::vector<std::int32_t>{1}, std::vector<View>{view}).pixels;
}

TEST(Views, MirrorAndMove) {
    EXPECT_THAT(seen({}), ElementsAre(1, 2, 3, 4, 5, 6));
    EXPECT_THAT(seen({true, 0, 0}), ElementsAre(3, 2, 1, 6, 5, 4));
    EXPECT_THAT(seen({false, 1, 0}), ElementsAre(1, 1, 2, 4, 4, 5));
    EXPECT_THAT(seen({false, -2, 0}), ElementsAre(3, 3, 3, 6, 6, 6));
    EXPECT_THAT(seen({false, 0, 1}), ElementsAre(1, 2, 3, 1, 2, 3));
    EXPECT_THAT(seen({false, 0, -1}), ElementsAre(4, 5, 6, 4, 5, 6));
    EXPECT_THAT(seen({true, 1, 0}), ElementsAre(3, 3, 2, 6, 6, 5)) << "mirrored, then moved to the right";
}

TEST(Views, ByName) {
    EXPECT_EQ(views_of("none").size(), 1u);
    EXPECT_EQ(views_of("flip").size(), 2u);
    std::set<std::tuple<bool, int, int>> all;
    for (const View& view : views_of("flip_shift")) {
        all.emplace(view.mirrored, view.right, view.down);
    }
    EXPECT_EQ(all.size(), 10u);
    EXPECT_THAT(error_of<UsageError>([] { views_of("flop"); }), ::testing::HasSubstr("unknown views 'flop'"));
}

TEST(Views, StandImageByImage) {
    const Dataset data = with_views(two_images(), std::vector<std::int32_t>{1, 0}, views_of("flip"));
    EXPECT_EQ(data.size(), 4);
    EXPECT_THAT(data.labels, ElementsAre(1, 1, 0, 0));
    EXPECT_THAT(data.files, ElementsAre("yes.png", "yes.png", "no.png", "no.png"));
    EXPECT_EQ(data.pixels[6], 3);
}

}  // namespace
}  // namespace fer::test

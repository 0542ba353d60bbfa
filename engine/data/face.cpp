// synthetic_face(): who, in what mood, seen how.
#include <array>
#include <bit>
#include <cmath>

#include "engine/core/error.hpp"
#include "engine/core/random.hpp"
#include "engine/data/canvas.hpp"
#include "engine/data/synthetic.hpp"

namespace fer {
namespace {

/// One number after the other from a counter-based stream.
class Dice {
public:
    Dice(std::uint64_t seed, std::uint64_t index, std::string_view name) : stream_(seed, index, stream_of(name)) {}

    std::uint32_t word() {
        if (next_ % 4 == 0) {
            block_ = stream_.words(next_ / 4);
        }
        return block_.v[next_++ % 4];
    }
    float range(float low, float high) { return low + (high - low) * uniform01(word()); }
    float around(float spread) { return range(-spread, spread); }
    bool chance(float probability) { return uniform01(word()) < probability; }

private:
    RandomStream stream_;
    std::uint32_t next_ = 0;
    Philox4 block_{};
};

/// The muscles that tell emotions apart. Lengths in face units; y grows downwards, so a raised brow is negative.
struct Expression {
    float brow_inner, brow_outer, brow_arch;  // heights of the two ends, bow of the middle
    float brow_together;                      // inner ends towards the nose
    float eye_up, eye_down, eye_slant;        // lids from the middle of the eye; outer corner lower
    float mouth_y, mouth_width, mouth_bend;   // half width; bend > 0: corners down
    float open_up, open_down, round;          // the opening
    float teeth;                              // part of the opening
    float lips;                               // thickness
    float nose_wrinkle, frown, fold;          // lines across the nose, between the brows, from nose to mouth
};

// clang-format off
constexpr std::array<Expression, 7> kExpressions{{
    //        brow: inner  outer  arch  together  eye: up   down   slant  mouth: y   width  bend   open: up  down  round teeth lips   wrinkle frown fold
    /* angry    */ { .14f, -.07f, .01f, .07f,         .060f, .055f, -.03f,     .00f, .25f,  .05f,       .00f, .00f, 0.f,  .0f,  .030f, .15f,  1.0f, .20f},
    /* disgust  */ { .07f,  .03f, .01f, .04f,         .045f, .030f, -.02f,    -.06f, .25f,  .10f,       .10f, .01f, .2f,  .8f,  .050f, 1.0f,  .30f, 1.0f},
    /* fear     */ {-.13f, -.02f, .00f, .05f,         .145f, .085f,  .00f,     .02f, .31f,  .05f,       .06f, .13f, .4f,  .40f, .035f, .00f,  .20f, .10f},
    /* happy    */ {-.02f, -.02f, .05f, .00f,         .065f, .025f,  .00f,    -.02f, .40f, -.17f,       .01f, .15f, .1f,  .65f, .045f, .00f,  .00f, .70f},
    /* neutral  */ { .00f,  .00f, .04f, .00f,         .085f, .065f,  .00f,     .00f, .29f,  .00f,       .00f, .00f, 0.f,  .0f,  .050f, .00f,  .00f, .05f},
    /* sad      */ {-.12f,  .09f, .00f, .03f,         .055f, .065f,  .05f,     .03f, .25f,  .13f,       .00f, .00f, 0.f,  .0f,  .055f, .00f,  .10f, .15f},
    /* surprise */ {-.19f, -.17f, .09f, .00f,         .150f, .100f,  .00f,     .03f, .17f,  .00f,       .13f, .20f, 1.f,  .15f, .045f, .00f,  .00f, .00f},
}};
// clang-format on
constexpr std::size_t kNeutral = 4;

/// From neutral towards `label` by `strength`; every muscle a little off.
Expression expression_of(int label, Dice& dice) {
    using Muscles = std::array<float, sizeof(Expression) / sizeof(float)>;
    const auto rest = std::bit_cast<Muscles>(kExpressions[kNeutral]);
    const auto target = std::bit_cast<Muscles>(kExpressions[static_cast<std::size_t>(label)]);
    const float strength = dice.range(0.7f, 1.15f);
    Muscles muscles{};
    for (std::size_t i = 0; i < muscles.size(); ++i) {
        const float full = target[i] - rest[i];
        muscles[i] = rest[i] + strength * full * (1.0f + dice.around(0.2f));
    }
    auto e = std::bit_cast<Expression>(muscles);
    for (float* height : {&e.brow_inner, &e.brow_outer, &e.mouth_bend}) {
        *height += dice.around(0.015f);
    }
    return e;
}

/// What stays the same in every mood.
struct Person {
    float skin, hair, lips, iris, brow;                               // tones
    float head_width, head_height, jaw;                               // half sizes
    float hairline, hair_sweep, hair_bend, hair_volume, hair_length;  // hair_length 0: above the ears
    float eye_y, eye_spacing, eye_width, eye_size;                    // eye_size scales the lids
    float brow_gap, brow_thickness, brow_width;                       // brow_gap: from eye to brow
    float nose_y, nose_width, mouth_y, mouth_scale;
    bool bald, beard, moustache, glasses, ears;
};

Person person_of(Dice& dice) {
    Person p{};
    p.skin = dice.range(0.38f, 0.85f);
    p.hair = dice.chance(0.2f) && p.skin > 0.55f ? dice.range(0.55f, 0.9f) : dice.range(0.05f, 0.3f);
    p.lips = p.skin * dice.range(0.62f, 0.82f);
    p.iris = dice.range(0.08f, 0.28f);
    p.brow = std::min(p.hair, p.skin * 0.45f) * dice.range(0.6f, 1.0f);
    p.head_width = dice.range(0.70f, 0.84f);
    p.head_height = dice.range(0.92f, 1.05f);
    p.jaw = dice.range(0.48f, 0.62f);
    p.hairline = dice.range(-0.78f, -0.58f);
    p.hair_sweep = dice.around(0.16f);
    p.hair_bend = dice.range(0.15f, 0.5f);
    p.hair_volume = dice.range(0.04f, 0.14f);
    p.hair_length = dice.chance(0.4f) ? dice.range(0.4f, 1.0f) : 0.0f;
    p.eye_y = dice.range(-0.20f, -0.12f);
    p.eye_spacing = dice.range(0.31f, 0.37f);
    p.eye_width = dice.range(0.15f, 0.18f);
    p.eye_size = dice.range(0.85f, 1.1f);
    p.brow_gap = dice.range(0.19f, 0.24f);
    p.brow_thickness = dice.range(0.026f, 0.048f);
    p.brow_width = dice.range(0.19f, 0.23f);
    p.nose_y = dice.range(0.17f, 0.25f);
    p.nose_width = dice.range(0.10f, 0.15f);
    p.mouth_y = p.nose_y + dice.range(0.27f, 0.32f);
    p.mouth_scale = dice.range(0.9f, 1.12f);
    p.bald = dice.chance(0.08f);
    p.beard = p.hair_length == 0 && dice.chance(0.15f);
    p.moustache = p.hair_length == 0 && dice.chance(0.12f);
    p.glasses = dice.chance(0.12f);
    p.ears = dice.chance(0.7f);
    return p;
}

Pose pose_of(Dice& dice) {
    return {.shift_x = dice.around(0.09f),
            .shift_y = dice.around(0.08f),
            .roll = dice.around(0.16f),
            .scale = dice.range(0.88f, 1.1f),
            .yaw = dice.around(0.13f)};
}

template <class Shape>
void draw(Canvas& canvas, const Shape& shape, const Ink& ink) {
    canvas.paint(shape.box(), ink, shape);
}

/// The shape, only where it lies inside `clip`.
template <class Shape, class Clip>
void draw_inside(Canvas& canvas, const Shape& shape, const Clip& clip, const Ink& ink) {
    canvas.paint(shape.box(), ink, [&](float x, float y) { return std::max(shape(x, y), clip(x, y)); });
}

void draw_background(Canvas& canvas, Dice& dice) {
    const float tone = dice.range(0.1f, 0.9f);
    const float across = dice.around(0.2f), down = dice.around(0.2f);
    canvas.fill([&](float x, float y) { return tone + across * x + down * y; });
}

void draw_head(Canvas& canvas, const Person& p) {
    const float w = p.head_width, h = p.head_height;
    if (!p.bald) {
        const float volume = p.hair_volume;
        draw(canvas, Ellipse{0, -0.08f, w + volume, h + volume}, {.tone = p.hair});
        if (p.hair_length > 0) {
            draw(canvas, Ellipse{0, 0.3f * p.hair_length, w + volume + 0.08f, h}, {.tone = p.hair});
        }
    }
    draw(canvas, Ellipse{0, 1.25f, 0.42f, 0.6f}, {.tone = p.skin * 0.7f});  // neck
    if (p.ears && p.hair_length == 0) {
        for (const float side : {-1.0f, 1.0f}) {
            draw(canvas, Ellipse{side * (w + 0.02f), 0.0f, 0.09f, 0.18f}, {.tone = p.skin * 0.88f});
        }
    }
    // Dark at the edge, lit in the middle: round.
    draw(canvas, Ellipse{0, -0.1f, w, h - 0.1f}, {.tone = p.skin * 0.74f});
    draw(canvas, Ellipse{0, h - p.jaw, p.jaw, p.jaw}, {.tone = p.skin * 0.74f});
    draw(canvas, Ellipse{0, -0.05f, w - 0.17f, h - 0.2f}, {.tone = p.skin, .softness = 0.3f});
    if (!p.bald) {
        const Lens fringe{0, p.hairline, 1.0f, p.hair_sweep, p.hair_bend, 0.6f, 0, 0};
        const Ellipse outline{0, -0.08f, w + p.hair_volume, h + p.hair_volume};
        draw_inside(canvas, fringe, outline, {.tone = p.hair, .softness = 0.03f});
        draw_inside(canvas, Arc{0.15f, -0.86f, 0.55f, 0, 0.2f, 0.05f}, outline,
                    {.tone = std::min(1.0f, p.hair + 0.15f), .alpha = 0.6f, .softness = 0.12f});
    }
}

void draw_eye(Canvas& canvas, const Person& p, const Expression& e, float side, float gaze) {
    const float x = side * p.eye_spacing;
    const float up = e.eye_up * p.eye_size, down = e.eye_down * p.eye_size;
    const float slant = side * e.eye_slant;
    draw(canvas, Ellipse{x, p.eye_y - 0.03f, p.eye_width + 0.05f, 0.15f},
         {.tone = p.skin * 0.62f, .alpha = 0.45f, .softness = 0.12f});  // socket
    const Lens opening{x, p.eye_y, p.eye_width, slant, 0, up, down, 0.5f};
    draw(canvas, opening, {.tone = std::min(0.95f, p.skin * 0.5f + 0.5f)});
    const float radius = 0.072f;
    draw_inside(canvas, Ellipse{x + gaze, p.eye_y - 0.005f, radius, radius}, opening, {.tone = p.iris});
    draw_inside(canvas, Ellipse{x + gaze, p.eye_y - 0.005f, 0.035f, 0.035f}, opening, {.tone = 0.02f});
    draw_inside(canvas, Ellipse{x + gaze - 0.025f, p.eye_y - 0.03f, 0.018f, 0.018f}, opening, {.tone = 1.0f});
    draw(canvas, Arc{x, p.eye_y - up, p.eye_width * 1.05f, slant, up, 0.024f}, {.tone = 0.08f, .alpha = 0.9f});
    draw(canvas, Arc{x, p.eye_y + down, p.eye_width * 0.95f, slant, -down, 0.014f},
         {.tone = p.skin * 0.4f, .alpha = 0.7f});
}

void draw_brow(Canvas& canvas, const Person& p, const Expression& e, float side) {
    const float inner = e.brow_inner, outer = e.brow_outer;
    const float x = side * (p.eye_spacing - e.brow_together);
    const float y = p.eye_y - p.brow_gap + 0.5f * (inner + outer) - e.brow_arch;
    // t runs from left to right; the outer end is on the side's own side.
    const float slope = side * 0.5f * (outer - inner);
    draw(canvas, Arc{x, y, p.brow_width, slope, e.brow_arch, p.brow_thickness}, {.tone = p.brow, .softness = 0.015f});
    if (e.frown > 0.05f) {
        draw(canvas, UprightArc{{p.eye_y - 0.16f, side * 0.06f, 0.10f, 0, 0.01f, 0.016f}},
             {.tone = p.skin * 0.4f, .alpha = std::min(1.0f, 0.7f * e.frown)});
    }
}

void draw_nose(Canvas& canvas, const Person& p, const Expression& e, float light_side) {
    const float raised = 0.05f * e.nose_wrinkle;
    const float y = p.nose_y - raised, w = p.nose_width * (1.0f + 0.2f * e.nose_wrinkle);
    draw(canvas,
         UprightArc{{0.5f * (p.eye_y + y), -light_side * 0.075f, 0.5f * (y - p.eye_y), -light_side * 0.02f, 0, 0.02f}},
         {.tone = p.skin * 0.6f, .alpha = 0.55f, .softness = 0.05f});
    draw(canvas, Ellipse{0, y - 0.02f, w, 0.07f},
         {.tone = std::min(1.0f, p.skin * 1.12f), .alpha = 0.6f, .softness = 0.08f});
    for (const float side : {-1.0f, 1.0f}) {
        draw(canvas, Ellipse{side * w * 0.5f, y + 0.045f, 0.036f, 0.022f}, {.tone = p.skin * 0.25f, .softness = 0.01f});
        draw(canvas, UprightArc{{y, side * (w + 0.02f), 0.06f, 0, -side * 0.03f, 0.014f}},
             {.tone = p.skin * 0.5f, .alpha = 0.6f});
    }
    const float wrinkles = std::min(1.0f, e.nose_wrinkle);
    if (wrinkles > 0.1f) {
        for (const float line : {0.0f, 1.0f, 2.0f}) {
            draw(canvas, Arc{0, p.eye_y + 0.02f + 0.075f * line, 0.11f, 0, 0.03f, 0.017f},
                 {.tone = p.skin * 0.4f, .alpha = 0.8f * wrinkles});
        }
    }
    if (e.fold > 0.08f) {
        const float strength = std::min(1.0f, e.fold);
        for (const float side : {-1.0f, 1.0f}) {
            draw(canvas, UprightArc{{y + 0.14f, side * (w + 0.15f), 0.17f, side * 0.10f, -side * 0.02f, 0.022f}},
                 {.tone = p.skin * 0.5f, .alpha = 0.75f * strength, .softness = 0.01f});
        }
    }
}

void draw_mouth(Canvas& canvas, const Person& p, const Expression& e) {
    const float w = e.mouth_width * p.mouth_scale;
    // The middle moves against the corners, so that the mouth as a whole stays in place.
    const float y = p.mouth_y + e.mouth_y - 0.45f * e.mouth_bend;
    const float up = std::max(0.0f, e.open_up), down = std::max(0.0f, e.open_down);
    const float lips = e.lips;
    draw(canvas, Lens{0, y, w + 0.02f, 0, e.mouth_bend, up + lips, down + lips * 1.4f, 0.4f + 0.6f * e.round},
         {.tone = p.lips});
    draw(canvas, Arc{0, y + down + lips + 0.06f, w * 0.6f, 0, e.mouth_bend * 0.5f, 0.03f},
         {.tone = p.skin * 0.7f, .alpha = 0.5f, .softness = 0.04f});  // shadow under the lower lip
    if (up + down > 0.03f) {
        const Lens opening{0, y, w, 0, e.mouth_bend, up, down, e.round};
        draw(canvas, opening, {.tone = 0.08f});
        const float teeth = (up + down) * e.teeth;
        const Lens upper{0, y, w * 0.92f, 0, e.mouth_bend, up, teeth - up, e.round};
        draw_inside(canvas, upper, opening, {.tone = 0.92f, .alpha = std::min(1.0f, 3.0f * e.teeth)});
    } else {
        draw(canvas, Arc{0, y, w, 0, e.mouth_bend, 0.024f}, {.tone = p.skin * 0.22f});
    }
}

void draw_extras(Canvas& canvas, const Person& p, const Expression& e) {
    if (p.moustache) {
        draw(canvas, Arc{0, p.mouth_y + e.mouth_y - e.open_up - e.lips - 0.07f, 0.26f, 0, 0.05f, 0.045f},
             {.tone = p.hair, .alpha = 0.85f, .softness = 0.03f});
    }
    if (p.glasses) {
        for (const float side : {-1.0f, 1.0f}) {
            const Ellipse rim{side * p.eye_spacing, p.eye_y + 0.02f, 0.25f, 0.19f};
            canvas.paint(Ellipse{rim.x, rim.y, 0.28f, 0.22f}.box(), {.tone = 0.1f, .alpha = 0.85f},
                         [&](float x, float y) { return std::abs(rim(x, y)) - 0.018f; });
        }
        draw(canvas, Arc{0, p.eye_y - 0.01f, p.eye_spacing - 0.24f, 0, 0.02f, 0.03f}, {.tone = 0.1f, .alpha = 0.85f});
    }
}

void draw_beard(Canvas& canvas, const Person& p) {
    if (p.beard) {
        const Ellipse chin{0, p.mouth_y + 0.05f, 0.62f, 0.62f};
        const Ellipse free{0, p.mouth_y - 0.1f, 0.48f, 0.36f};
        const Ellipse head{0, 0, p.head_width, p.head_height};
        canvas.paint(chin.box(), {.tone = p.hair, .alpha = 0.75f, .softness = 0.08f}, [&](float x, float y) {
            return std::max({chin(x, y), -free(x, y), head(x, y), p.mouth_y - 0.25f - y});
        });
    }
}

/// [1 2 1] weights scaled by `strength`, along rows and columns.
void blur(std::vector<float>& pixels, int size, float strength) {
    const float side = 0.25f * strength, middle = 1.0f - 2.0f * side;
    const auto along = [&](int start, int stride) {
        float before = pixels[static_cast<std::size_t>(start)];
        for (int i = 0; i < size; ++i) {
            float& here = pixels[static_cast<std::size_t>(start + i * stride)];
            const float next = i + 1 < size ? pixels[static_cast<std::size_t>(start + (i + 1) * stride)] : here;
            const float old = here;
            here = side * (before + next) + middle * old;
            before = old;
        }
    };
    for (int i = 0; i < size; ++i) {
        along(i * size, 1);
        along(i, size);
    }
}

/// Light, contrast and noise of the camera, then 8 bits.
GrayImage photograph(std::vector<float> pixels, int size, Dice& dice) {
    const float across = dice.around(0.25f), down = dice.around(0.2f);
    const float contrast = dice.range(0.7f, 1.15f), brightness = dice.around(0.08f);
    blur(pixels, size, dice.range(0.0f, 0.8f));
    const float noise = dice.range(2.0f, 9.0f);
    GrayImage image{size, size, {}};
    image.pixels.reserve(pixels.size());
    const float step = 2.0f / static_cast<float>(size);
    for (std::size_t i = 0; i < pixels.size(); ++i) {
        const float x = static_cast<float>(i % static_cast<std::size_t>(size)) * step - 1.0f;
        const float y = static_cast<float>(i / static_cast<std::size_t>(size)) * step - 1.0f;
        const float lit = pixels[i] * (1.0f + across * x + down * y);
        // Four bytes sum to nearly a normal number: mean 510, standard deviation 147.8.
        const std::uint32_t w = dice.word();
        const auto sum = static_cast<float>((w & 255) + (w >> 8 & 255) + (w >> 16 & 255) + (w >> 24));
        const float value = 255.0f * ((lit - 0.5f) * contrast + 0.5f + brightness) + noise * (sum - 510.0f) / 147.8f;
        image.pixels.push_back(static_cast<std::uint8_t>(std::clamp(value + 0.5f, 0.0f, 255.0f)));
    }
    return image;
}

}  // namespace

GrayImage synthetic_face(std::uint64_t seed, std::uint64_t index, int label, int size) {
    FER_CHECK(label >= 0 && label < static_cast<int>(kExpressions.size()), "a label is 0..6, got {}", label);
    FER_CHECK(size >= 8 && size <= 4096, "a face is 8..4096 pixels wide, got {}", size);
    Dice person_dice(seed, index, "person");
    Dice mood_dice(seed, index, "mood");
    Dice camera_dice(seed, index, "camera");
    const Person person = person_of(person_dice);
    const Expression expression = expression_of(label, mood_dice);

    Canvas canvas(size, pose_of(camera_dice));
    draw_background(canvas, camera_dice);
    draw_head(canvas, person);
    draw_beard(canvas, person);
    const float light_side = camera_dice.chance(0.5f) ? 1.0f : -1.0f;
    const float gaze = mood_dice.around(0.035f);
    for (const float side : {-1.0f, 1.0f}) {
        draw_eye(canvas, person, expression, side, gaze);
        draw_brow(canvas, person, expression, side);
    }
    draw_nose(canvas, person, expression, light_side);
    draw_mouth(canvas, person, expression);
    draw_extras(canvas, person, expression);
    return photograph(canvas.resolve(), size, camera_dice);
}

}  // namespace fer

// The affine map of the augmentation and its sampling, apart from the random draws that choose it.
//
// The map takes output places to input places. With theta the rotation, phi the shear, (tx, ty) the
// shift in pixels, (zx, zy) the zoom, c, s = cos, sin(theta), S, C = sin, cos(theta + phi):
//     Keras 2.15:  u = col - oh, v = row - ow, oh = h/2 - 0.5, ow = w/2 - 0.5
//                  col_in = oh + c zx u - S zy v + c tx - s ty;   row_in = ow + s zx u + C zy v + s tx + c ty
//     centred:     u = col - ow, v = row - oh, tx along columns, ty along rows, otherwise the same
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numbers>

#include "engine/graph/op.hpp"
#include "engine/run/cpu/reference/typed.hpp"

namespace fer::cpu::reference {

struct AffineParameters {
    double theta = 0, tx = 0, ty = 0, shear = 0, zx = 1, zy = 1;  // degrees, pixels, factors
};

struct Affine {
    double a = 1, b = 0, c = 0;  // col_in = a col + b row + c
    double d = 0, e = 1, f = 0;  // row_in = d col + e row + f
};

inline Affine affine_matrix(const AffineParameters& p, double h, double w, bool centred) {
    const double theta = p.theta * std::numbers::pi / 180;
    const double phi = p.shear * std::numbers::pi / 180;
    const double cos_t = std::cos(theta), sin_t = std::sin(theta);
    const double sin_tp = std::sin(theta + phi), cos_tp = std::cos(theta + phi);
    const double col0 = centred ? w / 2 - 0.5 : h / 2 - 0.5;
    const double row0 = centred ? h / 2 - 0.5 : w / 2 - 0.5;
    Affine m{.a = cos_t * p.zx, .b = -sin_tp * p.zy, .d = sin_t * p.zx, .e = cos_tp * p.zy};
    m.c = col0 + cos_t * p.tx - sin_t * p.ty - m.a * col0 - m.b * row0;
    m.f = row0 + sin_t * p.tx + cos_t * p.ty - m.d * col0 - m.e * row0;
    return m;
}

/// Half-sample symmetric: d c b a | a b c d | d c b a
inline double reflect(double at, double size) {
    const double period = 2 * size;
    at = std::fmod(at + 0.5, period);
    at = at < 0 ? at + period : at;
    return (at < size ? at : period - at) - 0.5;
}

/// Bilinear, as scipy's order 1: coordinates first follow the fill mode, then clamp to the edge pixels' centres.
template <class In>
double sample(const In* image, const Nhwc& x, double row, double col, std::int64_t channel, FillMode fill,
              double fill_value) {
    const auto last_row = static_cast<double>(x.h - 1);
    const auto last_col = static_cast<double>(x.w - 1);
    if (fill == FillMode::kConstant && (row < 0 || col < 0 || row > last_row || col > last_col)) {
        return fill_value;
    }
    if (fill == FillMode::kReflect) {
        row = reflect(row, static_cast<double>(x.h));
        col = reflect(col, static_cast<double>(x.w));
    }
    row = std::clamp(row, 0.0, last_row);
    col = std::clamp(col, 0.0, last_col);
    const auto r0 = static_cast<std::int64_t>(row);
    const auto c0 = static_cast<std::int64_t>(col);
    const std::int64_t r1 = std::min(r0 + 1, x.h - 1);
    const std::int64_t c1 = std::min(c0 + 1, x.w - 1);
    const double fr = row - static_cast<double>(r0);
    const double fc = col - static_cast<double>(c0);
    const auto at = [&](std::int64_t r, std::int64_t c) { return static_cast<double>(image[x(0, r, c, channel)]); };
    return (1 - fr) * ((1 - fc) * at(r0, c0) + fc * at(r0, c1)) + fr * ((1 - fc) * at(r1, c0) + fc * at(r1, c1));
}

}  // namespace fer::cpu::reference

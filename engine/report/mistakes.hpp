// Which wrong answers are worth looking at, and their pictures.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "engine/report/predictions.hpp"

namespace fer {

/// Wrong rows, the surest of its wrong answer first; equal ones in order.
std::vector<std::int64_t> worst_mistakes(const Predictions& predictions, int count);
/// The same among the images of class `truth` taken for `predicted`.
std::vector<std::int64_t> worst_mistakes(const Predictions& predictions, int count, int truth, int predicted);

/// What a report shows of one evaluation.
inline constexpr int kWorstShown = 24;
inline constexpr int kPairsShown = 5;
inline constexpr int kImagesOfAPair = 8;

/// All rows a report shows as pictures, ascending.
std::vector<std::int64_t> rows_to_picture(const Predictions& predictions);

/// PNG files by row.
using Pictures = std::map<std::int64_t, std::string>;
/// pictures.json: {"format": 1, "images": [{"row": 17, "file": "...", "png": "<base64>"}]}.
std::string pictures_json(const Pictures& pictures, const Predictions& predictions);
/// The reverse. DataError naming `path` if it is something else; a picture whose file is not that of its row in
/// `predictions` is left out.
Pictures parse_pictures(const std::string& json, const Predictions& predictions, const std::string& path);

std::string base64(const std::string& bytes);

}  // namespace fer

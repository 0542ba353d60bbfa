# cmake -DOUT=recipes.cpp -DFOLDER=models/recipes -P embed.cmake: the TOML files as one C++ file.
file(GLOB files ${FOLDER}/*.toml)
list(SORT files)
set(rows "")
foreach(path ${files})
  get_filename_component(name ${path} NAME)
  string(REGEX REPLACE "[.]toml$" "" name ${name})
  file(READ ${path} text)
  string(APPEND rows "    Recipe{\"${name}\", R\"toml(${text})toml\"},\n")
endforeach()
file(WRITE ${OUT} "// Generated from models/recipes/*.toml.
#include <array>

#include \"engine/train/config.hpp\"

namespace fer {
namespace {

constexpr std::array kRecipes{
${rows}};

}  // namespace

std::span<const Recipe> recipes() { return kRecipes; }

}  // namespace fer
")

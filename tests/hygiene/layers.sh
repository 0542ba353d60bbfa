#!/usr/bin/env bash
# Arrows point one way: which part may include which.
# shellcheck source=tests/hygiene/files.sh
source "$(dirname "$0")/files.sh"

cpp_files | xargs grep -Hn '^ *# *include *"' | awk -F: '
    BEGIN {
        # part                   what it may include, besides itself
        may["engine/core"]    = ""
        may["engine/fetch"]   = "engine/core"
        may["engine/data"]    = "engine/core"
        may["engine/vision"]  = "engine/core engine/data"
        may["engine/formats"] = "engine/core"
        may["engine/graph"]   = "engine/core"
        may["engine/plan"]    = "engine/core engine/graph"
        may["engine/run"]     = "engine/core engine/graph engine/plan"
        may["engine/train"]   = "engine/core engine/graph engine/plan engine/run engine/data engine/formats"
        may["engine/interchange"] = "engine/core engine/graph engine/plan engine/run engine/formats"
        may["engine/measure"] = "engine/core engine/graph engine/plan engine/run engine/data engine/train"
        may["engine/report"]  = "engine/core engine/graph engine/data engine/formats engine/train"
        may["kernels"]        = "engine/core"
        may["models"]         = "engine/core engine/graph"
        may["tools"]          = "engine/core engine/graph engine/plan engine/run engine/data engine/vision engine/formats engine/train engine/report engine/interchange engine/fetch engine/measure models"
        may["bench"]          = may["tools"] " kernels"
        may["tests"]          = may["tools"] " kernels tools bench"
        status = 0
    }
    function part_of(path,   p) {
        split(path, p, "/")
        return p[1] == "engine" ? p[1] "/" p[2] : p[1]
    }
    {
        match($0, /"[^"]*"/)
        included = substr($0, RSTART + 1, RLENGTH - 2)
        from = part_of($1)
        to = part_of(included)
        fine = from == to || index(" " may[from] " ", " " to " ") > 0
        # Only the executors of CUDA sources know kernels.
        if (to == "kernels" && $1 ~ /^engine\/run\/(cuda|emulated)\//) fine = 1
        # A contract is read without the port: cudaStream_t is all it takes of it.
        if ($1 ~ /^kernels\/[^\/]*\.hpp$/ && included ~ /^kernels\/port\// && included != "kernels/port/config.hpp") fine = 0
        # The CPU code of one library does not know the CUDA code beside it, nor the other way round.
        if ($1 ~ /^engine\/run\/cpu\// && included ~ /^engine\/run\/cuda\//) fine = 0
        if ($1 ~ /^engine\/run\/cuda\// && included ~ /^engine\/run\/cpu\//) fine = 0
        if (!(to in may)) { print $1 ":" $2 ": \"" included "\" is to be written from the root of the tree"; status = 1 }
        else if (!(from in may)) { print $1 ":" $2 ": " from " is in no layer; name it in tests/hygiene/layers.sh"; status = 1 }
        else if (!fine) { print $1 ":" $2 ": " from " must not include " included; status = 1 }
    }
    END { exit status }'

# Raw CUDA has one door.
raw=$(files '*.cu' '*.cuh' | grep -v '^kernels/port/' | xargs -r grep -nE '__shared__|<<<|\basm\b' || true)
if [ -n "$raw" ]; then
    printf '%s\n^ belongs in kernels/port/\n' "$raw"
    exit 1
fi

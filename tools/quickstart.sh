#!/usr/bin/env bash
# From a clone to a trained network: packages, build, training on drawn faces, evaluation, pictures, predictions.
# Another run redoes what has changed and writes into the same folders.
#
#     bash tools/quickstart.sh
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=tools/steps.sh
source tools/steps.sh
use_logs build/quickstart
for name in $(compgen -v FER_); do
    unset "$name" # settings of the caller's own runs
done

preset=$(best_preset)
fer=build/$preset/bin/fer
out=runs/quickstart
run=$out/simpler_cnn
least=0.95

# The steps; each is one chain of &&, because a step's failure is asked for, which turns "set -e" off inside it.
packages() {
    bash tools/setup.sh build &&
        note=$(tail -n 1 "$logs/packages.log")
}
configure() {
    cmake --preset "$preset" &&
        note="preset $preset"
}
build() {
    cmake --build --preset "$preset" --parallel "$(nproc)" --target fer fer-bench &&
        note=$fer
}
train() {
    "$fer" train --recipe quickstart --out "$out" --name simpler_cnn --exist-ok &&
        note=$(last_line train 'best epoch')
}
evaluate() {
    "$fer" evaluate "$run" --split test &&
        note=$(last_line evaluate 'accuracy .*(')
}
# The faces are drawn from another seed: people the network has never seen.
pictures() {
    rm -rf "$out/faces" &&
        "$fer" data preview synthetic --out "$out/faces.png" &&
        "$fer" data export synthetic:35 --seed 1 --count 14 --out "$out/faces" &&
        note=$out/faces.png
}
report() {
    "$fer" predict "$run" --sample 10 --grid "$out/sample.png" &&
        "$fer" report "$run" &&
        note=$run/report.html
}
predict() {
    "$fer" predict "$run" "$out/faces" | tee "$out/predictions.txt" &&
        note="$(wc -l <"$out/predictions.txt") faces, $out/predictions.txt"
}
check() {
    accuracy=$(sed -n 's/^ *"accuracy": *\([0-9.e+-]*\),*$/\1/p' "$run/eval/test/metrics.json") &&
        echo "test accuracy '$accuracy' in $run/eval/test/metrics.json; at least $least is expected" &&
        awk -v got="$accuracy" -v least="$least" 'BEGIN { exit !(got != "" && got + 0 >= least) }' &&
        note="test accuracy $(printf '%.4f' "$accuracy"), at least $least expected"
}

echo "fer quickstart in $PWD"
for name in packages configure build train evaluate pictures predict report check; do
    step "$name" "$name" || exit 1
done

cat <<END

Done in $SECONDS s. All of it lies in $PWD:
  programs      $fer, $(dirname "$fer")/fer-bench
  run           $run (config.toml, run.json, results.csv, weights/)
  report        $run/report.html, to be looked at in a browser; its figures in $run/eval/test/
  predictions   $run/eval/test/predictions.csv (the test faces), $out/predictions.txt (the new ones)
  pictures      $out/faces.png, $out/faces/, $out/sample.png
  logs          build/quickstart/
Next, on FER2013 (a folder with train/ and test/, or the zip of it):
  $fer train --recipe simpler_cnn --data fer2013.zip
END

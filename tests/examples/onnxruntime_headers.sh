#!/usr/bin/env bash
# Unpacks the headers of ONNX Runtime's C++ API into a folder: they are in no package of PyPI or npm, and Debian has them
# since 13 (libonnxruntime-dev), so from there, whichever Debian this is. Any version of them does: the library takes
# what asks for an older interface. Nothing is installed, and the lists of this machine's packages stay as they are.
set -euo pipefail
target=$(realpath -m "$1")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | sed -n 1p)
echo "deb $mirror trixie main" > "$work/sources.list"
mkdir -p "$work/lists/partial" "$work/cache/archives/partial"
options=(-o "Dir::Etc::sourcelist=$work/sources.list" -o Dir::Etc::sourceparts=/dev/null
  -o "Dir::State::lists=$work/lists" -o "Dir::Cache=$work/cache" -o APT::Sandbox::User=root -qq)
apt-get "${options[@]}" update
cd "$work"
apt-get "${options[@]}" download libonnxruntime-dev
dpkg-deb -x libonnxruntime-dev_*.deb unpacked
mkdir -p "$(dirname "$target")"
rm -rf "$target"
mv unpacked/usr/include/onnxruntime "$target"

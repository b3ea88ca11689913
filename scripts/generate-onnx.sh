#!/bin/sh
# Regenerates src/onnx/generated from the public ONNX schema (onnx-ml.proto of the PyPI package `onnx`, Apache-2.0).
# Run by hand when the schema moves; the result is committed. Needs the Python environment of scripts/python-env.ts.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
python=$("$root/scripts/node" "$root/scripts/python-env.ts" train)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
npm init -y >/dev/null
npm install --ignore-scripts --silent @bufbuild/protoc-gen-es@2.17.0
schema=$("$python" -c 'import onnx, os; print(os.path.join(os.path.dirname(onnx.__file__), "onnx-ml.proto"))')
# The schema's prose stays with its authors: only the format is generated.
sed -E 's://.*$::' "$schema" > onnx.proto
printf '#!/bin/sh\nexec "%s/scripts/node" "%s/node_modules/@bufbuild/protoc-gen-es/bin/protoc-gen-es" "$@"\n' "$root" "$work" > plugin
chmod +x plugin
"$python" -m grpc_tools.protoc -I. --plugin=protoc-gen-es=./plugin --es_out="$root/src/onnx/generated" --es_opt=target=js+dts onnx.proto

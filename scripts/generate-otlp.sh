#!/bin/sh
# Regenerates src/serving/observe/tracing/generated from the public schemas of OTLP (opentelemetry.proto of the PyPI package
# opentelemetry-proto) and of gRPC's error details (google.rpc of googleapis-common-protos), both Apache-2.0: from their descriptors, which
# have no prose. Run by hand when a schema moves; the result is committed. Needs python3 with venv.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check opentelemetry-proto==1.45.2 googleapis-common-protos==1.76.0 grpcio-tools==1.85.1
npm init -y >/dev/null
npm install --ignore-scripts --silent @bufbuild/protoc-gen-es@2.17.0
venv/bin/python - <<'PYTHON'
from google.protobuf import descriptor_pb2
from google.rpc import error_details_pb2, status_pb2
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2

files = {}

def add(file):
    for needed in file.dependencies:
        add(needed)
    if file.name not in files:
        files[file.name] = descriptor_pb2.FileDescriptorProto.FromString(file.serialized_pb)

for module in (trace_service_pb2, status_pb2, error_details_pb2):
    add(module.DESCRIPTOR)
with open("schemas", "wb") as out:
    out.write(descriptor_pb2.FileDescriptorSet(file=files.values()).SerializeToString())
PYTHON
printf '#!/bin/sh\nexec "%s/scripts/node" "%s/node_modules/@bufbuild/protoc-gen-es/bin/protoc-gen-es" "$@"\n' "$root" "$work" > plugin
chmod +x plugin
out="$root/src/serving/observe/tracing/generated"
rm -rf "$out"
mkdir -p "$out"
venv/bin/python -m grpc_tools.protoc --descriptor_set_in=schemas --plugin=protoc-gen-es=./plugin --es_out="$out" --es_opt=target=js+dts,import_extension=js \
  opentelemetry/proto/collector/trace/v1/trace_service.proto opentelemetry/proto/trace/v1/trace.proto opentelemetry/proto/common/v1/common.proto \
  opentelemetry/proto/resource/v1/resource.proto google/rpc/status.proto google/rpc/error_details.proto

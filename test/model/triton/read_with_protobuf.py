"""Reads configurations with protobuf's own reader of the text format and Triton's own descriptor.

Standard input: a JSON list of texts. Standard output: for each its message, or null where it is refused; then the descriptor.
"""

import json
import struct
import sys

from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2


def short(descriptor):
    return descriptor.full_name.split(".", 1)[1]


def is_map(field):
    return field.message_type is not None and field.message_type.GetOptions().map_entry


def kind(field):
    names = {2: "float", 1: "double", 5: "int32", 3: "int64", 13: "uint32", 4: "uint64", 8: "bool", 9: "string"}
    if field.message_type is not None:
        return short(field.message_type)
    return short(field.enum_type) if field.enum_type is not None else names[field.type]


def scalar(field, value):
    if field.enum_type is not None:
        known = field.enum_type.values_by_number.get(value)
        return value if known is None else known.name
    if kind(field) in ("float", "double"):
        return struct.pack(">d", value).hex() if value == value else "nan"
    return str(value) if kind(field) in ("int64", "uint64") else value


def single(field, value):
    return message(value) if field.message_type is not None else scalar(field, value)


def message(read):
    fields = {}
    for field, value in read.ListFields():
        if is_map(field):
            of = field.message_type.fields_by_name["value"]
            fields[field.name] = sorted([str(key), single(of, value[key])] for key in value)
        elif field.is_repeated:
            fields[field.name] = [single(field, one) for one in value]
        else:
            fields[field.name] = single(field, value)
    return fields


def descriptor(root, seen):
    fields = {}
    seen["messages"][short(root)] = fields
    if root.oneofs:
        seen["one_of"][short(root)] = [field.name for field in root.oneofs[0].fields]
    for field in root.fields:
        parts = field.message_type.fields_by_name if is_map(field) else None
        for inner in parts.values() if parts is not None else [field]:
            if inner.enum_type is not None:
                seen["enums"][short(inner.enum_type)] = [value.name for value in inner.enum_type.values]
            if inner.message_type is not None and short(inner.message_type) not in seen["messages"]:
                descriptor(inner.message_type, seen)
        if parts is not None:
            fields[field.name] = f"map<{kind(parts['key'])},{kind(parts['value'])}>"
        else:
            fields[field.name] = kind(field) + ("[]" if field.is_repeated else "")
    return seen


def read(text):
    try:
        return message(text_format.Parse(text, model_config_pb2.ModelConfig()))
    except text_format.ParseError:
        return None


seen = descriptor(model_config_pb2.ModelConfig.DESCRIPTOR, {"messages": {}, "enums": {}, "one_of": {}})
json.dump({"read": [read(text) for text in json.load(sys.stdin)], "descriptor": seen}, sys.stdout)

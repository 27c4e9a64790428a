"""Reads messages in Avro with Confluent's client: read_avro.py URL FILE.

FILE has a topic, a key and a value in each line, the latter two in hexadecimal
or "-". For each line the two are printed as JSON: decimals as their digits,
bytes in base64. The last line tells what the registry says of the schemas.
"""

import base64
import decimal
import json
import sys

from confluent_kafka.schema_registry import Schema, SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer
from confluent_kafka.schema_registry.error import SchemaRegistryError
from confluent_kafka.serialization import MessageField, SerializationContext


def plain(value):
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, decimal.Decimal):
        return format(value, "f")
    raise TypeError(f"{type(value)} {value}")


def code(call, *args):
    try:
        return f"{call(*args)} was answered"
    except SchemaRegistryError as e:
        return [e.http_status_code, e.error_code, e.error_message]


registry = SchemaRegistryClient({"url": sys.argv[1]})
deserialize = AvroDeserializer(registry)
with open(sys.argv[2]) as lines:
    for line in lines:
        topic, key, value = line.split()
        parts = []
        for field, text in (MessageField.KEY, key), (MessageField.VALUE, value):
            parts.append(None if text == "-" else deserialize(bytes.fromhex(text), SerializationContext(topic, field)))
        print(json.dumps(parts, default=plain))

subjects = {}
for subject in registry.get_subjects():
    for version in registry.get_versions(subject):
        listed = registry.get_version(subject, version)
        found = registry.lookup_schema(subject, Schema(listed.schema.schema_str, "AVRO"))
        same = registry.get_schema(listed.schema_id).schema_str == listed.schema.schema_str
        subjects.setdefault(subject, []).append(same and (found.version, found.schema_id) == (version, listed.schema_id))
    subjects[subject].append(registry.get_latest_version(subject).version == version)
print(json.dumps({
    "subjects": subjects,
    "no id": code(registry.get_schema, 1),
    "no subject": code(registry.get_latest_version, "nix"),
    "no version": code(registry.get_version, subject, 99),
    "no such schema": code(registry.lookup_schema, subject, Schema('"double"', "AVRO")),
    "none is registered": code(registry.register_schema, subject, Schema('"double"', "AVRO"))[:2],
}))
